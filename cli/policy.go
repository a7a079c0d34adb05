package cli

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"auditrelay"
	"auditrelay/cli/internal/app"
	"auditrelay/document"
	"auditrelay/internal/diff"
	"auditrelay/runtime"
)

type policyCommands struct {
	List policyList `cmd:"" help:"List the built-in policies."`
	Show policyShow `cmd:"" help:"Print a policy."`
	Diff policyDiff `cmd:"" help:"Show what another policy would change; fails if anything is newly exposed."`
}

type policyList struct{}

func (c *policyList) Run(a *program) error {
	for _, name := range app.Presets() {
		p, err := app.OpenPolicy(a.ctx, name, nil)
		if err != nil {
			return err
		}
		fmt.Fprintf(a.stdout, "%-10s %s\n", name, p.Digest())
	}
	return nil
}

type policyShow struct {
	remote
	Policy string `arg:"" help:"A preset, a file with a policy, FILE:FILTER of a configuration, or a digest from a receipt (asks the running relay)."`
}

// policyDigest is what receipts call a policy, or the beginning of it.
var policyDigest = regexp.MustCompile(`^[0-9a-fA-F]{8,64}$`)

// showKept prints what the running relay keeps under a digest.
func (c *policyShow) showKept(a *program) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	t, err := cl.Policy(a.ctx, c.Policy)
	if err != nil {
		return err
	}
	force := "in force since " + t.Since.Format(time.RFC3339)
	if !t.Until.IsZero() {
		force = fmt.Sprintf("in force from %s until %s, for events before sequence %d", t.Since.Format(time.RFC3339), t.Until.Format(time.RFC3339), t.Head)
	}
	fmt.Fprintf(a.stdout, "# %s %s, digest %s: the SHA-256 of what follows\n# %s\n", t.Kind, printable(t.Name), t.Digest, force)
	_, err = a.stdout.Write(escaped([]byte(t.Text)))
	return err
}

func (c *policyShow) Run(a *program) error {
	if _, err := os.Stat(c.Policy); err != nil && policyDigest.MatchString(c.Policy) {
		return c.showKept(a)
	}
	p, err := app.OpenPolicy(a.ctx, c.Policy, makers(a.sinks))
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "# policy %s, digest %s\n", c.Policy, p.Digest())
	if p.Preset != "" {
		fmt.Fprintf(a.stdout, "# on top of: auditrelay policy show %s\n", p.Preset)
	}
	_, err = a.stdout.Write(p.Text)
	return err
}

type policyDiff struct {
	remote
	Old    string `arg:"" help:"The present policy: a preset, a file, or FILE:FILTER."`
	New    string `arg:"" help:"The new policy: a preset, a file, or FILE:FILTER."`
	Events string `help:"File of events; - for standard input." placeholder:"FILE"`
	Stored bool   `help:"Use events that a running relay accepted (role comply)."`
	From   uint64 `help:"With --stored: the first sequence. Default: the oldest." placeholder:"SEQUENCE"`
	Limit  int    `help:"Maximum number of events." default:"10000" placeholder:"N"`
	Show   int    `help:"Number of changed events to show." default:"3" placeholder:"N"`
	JSON   bool   `help:"Print JSON."`
}

// policyChange is what would change, in figures.
type policyChange struct {
	Old     string         `json:"old"`
	New     string         `json:"new"`
	Events  int            `json:"events"`
	Same    int            `json:"same"`
	Changed int            `json:"changed"`
	Leaking int            `json:"leaking"`          // events in which something would leave that does not now
	Failed  int            `json:"failed"`           // on which the new policy fails and the old one does not
	Leaks   map[string]int `json:"leaks,omitempty"`  // values that would leave, by path
	Hidden  map[string]int `json:"hidden,omitempty"` // values that would leave no longer, by path
	// Otherwise are values that neither lets out, redacted in different ways.
	Otherwise map[string]int `json:"otherwise,omitempty"`
}

// errLeaks says that the new policy lets out more.
var errLeaks = errors.New("the new policy lets out what the old one does not")

func (c *policyDiff) Run(a *program) error {
	switch {
	case (c.Events != "") == c.Stored:
		return usage("give --events FILE or --stored")
	case c.Limit < 1 || c.Limit > maxTried:
		return usage("--limit: expected 1 to %d", maxTried)
	}
	before, err := app.OpenPolicy(a.ctx, c.Old, makers(a.sinks))
	if err != nil {
		return err
	}
	after, err := app.OpenPolicy(a.ctx, c.New, makers(a.sinks))
	if err != nil {
		return err
	}
	events, err := c.events(a)
	if err != nil {
		return err
	}
	change := policyChange{Old: before.Digest(), New: after.Digest(), Events: len(events), Leaks: map[string]int{}, Hidden: map[string]int{}, Otherwise: map[string]int{}}
	for i := range events {
		if err := a.ctx.Err(); err != nil {
			return err
		}
		if err := c.compare(a, &change, before, after, &events[i]); err != nil {
			return err
		}
	}
	if c.JSON {
		err = a.printJSON(change)
	} else {
		err = change.print(a)
	}
	if err == nil && change.Leaking > 0 {
		err = fmt.Errorf("%w, in %d of %d events", errLeaks, change.Leaking, change.Events)
	}
	return err
}

func (c *policyDiff) events(a *program) ([]auditrelay.Event, error) {
	parse := func(data []byte) (auditrelay.Event, error) { return runtime.ParseEvent(data, runtime.Limits{}) }
	if c.Stored {
		return storedEvents(a, &c.remote, c.From, c.Limit, parse)
	}
	return sampleEvents(a, c.Events, c.Limit, parse)
}

// compare applies both policies to one event.
func (c *policyDiff) compare(a *program, change *policyChange, before, after *app.Policy, event *auditrelay.Event) error {
	was, err := before.Redact(a.ctx, event.Data)
	if err != nil {
		return err
	}
	is, err := after.Redact(a.ctx, event.Data)
	if err != nil {
		change.Failed++ // and nothing of it leaves
		return nil      //nolint:nilerr // it is counted
	}
	if string(was.Data) == string(is.Data) {
		change.Same++
		return nil
	}
	change.Changed++
	var original document.Document
	original.Reset(event.Data)
	leaking := false
	for path, value := range app.Leaves(&original) {
		old, kept := was.Leaves[path]
		now, keeps := is.Leaves[path]
		left, leaves := kept && old == value, keeps && now == value
		switch {
		case leaves && !left, !left && keeps && showsMore(value, old, now):
			leaking = true
			change.Leaks[path]++
		case left && !leaves:
			change.Hidden[path]++
		case !left && old != now:
			change.Otherwise[path]++
		}
	}
	if leaking {
		change.Leaking++
	}
	if change.Changed <= c.Show && !c.JSON {
		fmt.Fprintf(a.stdout, "event %s\n", printable(event.ID))
		return diff.Write(a.stdout, diff.Lines(escaped(was.Data)), diff.Lines(escaped(is.Data)), a.color())
	}
	return nil
}

// showsMore reports whether a part of a value stands in what is made of it now, and
// not in what was: any run of at least four letters and digits.
func showsMore(value, was, is string) bool {
	parts := strings.FieldsFunc(value, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	return slices.ContainsFunc(parts, func(part string) bool {
		return len(part) >= 4 && strings.Contains(is, part) && !strings.Contains(was, part)
	})
}

func (p *policyChange) print(a *program) error {
	fmt.Fprintf(a.stdout, "%d events: %d the same, %d changed, %d on which the new policy fails\n", p.Events, p.Same, p.Changed, p.Failed)
	for _, part := range []struct {
		title string
		paths map[string]int
	}{{"would leave, and does not now", p.Leaks}, {"would leave no longer", p.Hidden}, {"redacted in another way", p.Otherwise}} {
		for _, path := range slices.Sorted(maps.Keys(part.paths)) {
			fmt.Fprintf(a.stdout, "  %s: %s (%d)\n", part.title, printable(path), part.paths[path])
		}
	}
	return nil
}
