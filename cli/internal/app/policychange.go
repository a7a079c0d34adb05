package app

import (
	"auditrelay"
	"auditrelay/cli/internal/api"
	"auditrelay/document"
	"auditrelay/internal/exposure"
	"context"
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

// Compare applies both policies to an event and counts the difference. was and is are their
// results. changed is false if the results are equal, or if the new policy fails and so exposes
// nothing.
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
	diff := exposure.Compare(exposure.Leaves(&original), old.Leaves, now.Leaves)
	for counts, paths := range map[*map[string]int][]string{&c.Leaks: diff.Exposed, &c.Hidden: diff.Hidden, &c.Otherwise: diff.Otherwise} {
		for _, path := range paths {
			(*counts)[path]++
		}
	}
	if len(diff.Exposed) > 0 {
		c.Leaking++
	}
	return old.Data, now.Data, true, nil
}
