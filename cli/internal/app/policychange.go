package app

import (
	"context"
	"slices"
	"strings"
	"unicode"

	"auditrelay"
	"auditrelay/cli/internal/api"
	"auditrelay/document"
)

// PolicyChange counts what another policy would change, event by event.
type PolicyChange struct{ api.PolicyChange }

// NewPolicyChange returns an empty count.
func NewPolicyChange(before, after *Policy) *PolicyChange {
	return &PolicyChange{api.PolicyChange{
		Old: before.Digest(), New: after.Digest(),
		Leaks: map[string]int{}, Hidden: map[string]int{}, Otherwise: map[string]int{},
	}}
}

// Compare applies both policies to an event and counts the difference. was and is are
// what they make of it; changed is false if that is the same, or if the new policy fails
// and so exposes nothing.
func (c *PolicyChange) Compare(ctx context.Context, before, after *Policy, event *auditrelay.Event) (was, is []byte, changed bool, err error) {
	c.Events++
	old, err := before.Redact(ctx, event.Data)
	if err != nil {
		return nil, nil, false, err
	}
	now, err := after.Redact(ctx, event.Data)
	if err != nil {
		c.Failed++
		return nil, nil, false, ctx.Err()
	}
	if string(old.Data) == string(now.Data) {
		c.Same++
		return old.Data, now.Data, false, nil
	}
	c.Changed++
	var original document.Document
	original.Reset(event.Data)
	leaking := false
	for path, value := range Leaves(&original) {
		was, kept := old.Leaves[path]
		is, keeps := now.Leaves[path]
		left, leaves := kept && was == value, keeps && is == value
		switch {
		case leaves && !left, !left && keeps && showsMore(value, was, is):
			leaking = true
			c.Leaks[path]++
		case left && !leaves:
			c.Hidden[path]++
		case !left && was != is:
			c.Otherwise[path]++
		}
	}
	if leaking {
		c.Leaking++
	}
	return old.Data, now.Data, true, nil
}

// showsMore reports whether a part of a value, a run of at least four letters and digits,
// is in its new form but not in its old one.
func showsMore(value, was, is string) bool {
	parts := strings.FieldsFunc(value, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	return slices.ContainsFunc(parts, func(part string) bool {
		return len(part) >= 4 && strings.Contains(is, part) && !strings.Contains(was, part)
	})
}
