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

	"auditrelay"
	"auditrelay/cli/internal/api"
	"auditrelay/cli/internal/app"
	"auditrelay/runtime"
)

type policyCommands struct {
	List policyList `cmd:"" help:"List the built-in policies, or those in force on a running relay."`
	Show policyShow `cmd:"" help:"Print a policy."`
	Use  policyUse  `cmd:"" help:"Put another policy of a filter in force on a running relay, or go back (role admin)."`
	Diff policyDiff `cmd:"" help:"Show what another policy would change; fails if anything is newly exposed."`
}

type policyList struct {
	remote
	Running bool `help:"List the policies in force on the running relay (role view)."`
	JSON    bool `help:"Print those in force as JSON; needs --running." name:"json"`
}

func (c *policyList) Run(a *program) error {
	if c.Running {
		return c.running(a)
	}
	if c.JSON {
		return usage("--json needs --running")
	}
	for _, name := range app.Presets() {
		p, err := app.OpenPolicy(a.ctx, name, nil)
		if err != nil {
			return err
		}
		fmt.Fprintf(a.stdout, "%-10s %s\n", name, p.Digest())
	}
	return nil
}

func (c *policyList) running(a *program) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	all, err := cl.Policies(a.ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(all)
	}
	rows := [][]string{{"NAME", "KIND", "SOURCE", "CALLBACKS", "DIGEST"}}
	for _, p := range all {
		rows = append(rows, []string{p.Name, p.Kind, p.Source, strings.Join(p.Callbacks, ","), p.Digest})
	}
	return a.table(rows)
}

type policyShow struct {
	remote
	Policy string `arg:"" help:"A preset, a file with a policy, FILE:FILTER of a configuration, or a digest from a receipt (asks the running relay)."`
}

// policyDigest is the form of a policy's digest in receipts, or of a prefix of it.
var policyDigest = regexp.MustCompile(`^[0-9a-fA-F]{8,64}$`)

// showKept prints what the running relay stores under a digest.
func (c *policyShow) showKept(a *program) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	t, err := cl.Policy(a.ctx, c.Policy)
	if err != nil {
		return err
	}
	return a.printKept(&t, ": the SHA-256 of what follows")
}

// printKept prints a text stored by the relay. of names what its digest covers.
func (a *program) printKept(t *api.KeptText, of string) error {
	force := "in force since " + t.Since.Format(time.RFC3339)
	if !t.Until.IsZero() {
		force = fmt.Sprintf("in force from %s until %s, for events before sequence %d", t.Since.Format(time.RFC3339), t.Until.Format(time.RFC3339), t.Head)
	}
	fmt.Fprintf(a.stdout, "# %s %s, digest %s%s\n# %s\n", t.Kind, printable(t.Name), t.Digest, of, force)
	_, err := a.stdout.Write(escaped([]byte(t.Text)))
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
	_, err = a.stdout.Write(escaped(p.Text))
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

// errLeaks reports that the new policy exposes more values.
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
	change := app.NewPolicyChange(before, after)
	for i := range events {
		if err := a.ctx.Err(); err != nil {
			return err
		}
		if err := c.compare(a, change, before, after, &events[i]); err != nil {
			return err
		}
	}
	if c.JSON {
		err = a.printJSON(change.PolicyChange)
	} else {
		err = printChange(a, &change.PolicyChange)
	}
	if err == nil && change.Leaking > 0 {
		err = fmt.Errorf("%w, in %d of %d events", errLeaks, change.Leaking, change.Events)
	}
	return err
}

func (c *policyDiff) events(a *program) ([]auditrelay.Event, error) {
	if c.Stored {
		return storedEvents(a, &c.remote, c.From, c.Limit, runtime.Limits{})
	}
	return sampleEvents(a, c.Events, c.Limit, nil, runtime.Limits{})
}

// compare applies both policies to one event.
func (c *policyDiff) compare(a *program, change *app.PolicyChange, before, after *app.Policy, event *auditrelay.Event) error {
	was, is, changed, err := change.Compare(a.ctx, before, after, event)
	if err != nil || !changed || change.Changed > c.Show || c.JSON {
		return err
	}
	fmt.Fprintf(a.stdout, "event %s\n", printable(event.ID))
	return a.difference(was, is)
}

func printChange(a *program, p *api.PolicyChange) error {
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
