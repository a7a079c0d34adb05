package cli

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"auditrelay"
	"auditrelay/cli/internal/api"
	"auditrelay/config"
)

type shadowCommands struct {
	Start shadowStart `cmd:"" help:"Start a shadow: nothing of it is delivered."`
	List  shadowList  `cmd:"" help:"Show all shadows."`
	Show  shadowShow  `cmd:"" help:"Show what a shadow found, by path (paths need the role comply)."`
	Use   shadowUse   `cmd:"" help:"Put in force what the shadow tries."`
	Drop  shadowDrop  `cmd:"" help:"End a shadow and forget its result."`
}

type shadowStart struct {
	why
	remote
	Filter   string        `arg:"" help:"The filter."`
	Module   string        `help:"The uploaded module to try: its digest, or at least its first 8 digits." placeholder:"DIGEST"`
	Policy   string        `help:"The file of the policy to try." placeholder:"FILE"`
	Callback string        `help:"The callback. Default: the only one that lists the filter." placeholder:"NAME"`
	Events   uint64        `help:"End after this many events. Default: 10000; at most 1000000." placeholder:"N"`
	For      time.Duration `help:"End after this time. Default: 15m; at most 24h." placeholder:"DURATION"`
	JSON     bool          `help:"Print JSON."`
}

func (c *shadowStart) Run(a *program) error {
	if (c.Module == "") == (c.Policy == "") {
		return usage("give --module or --policy")
	}
	if c.For < 0 || c.For > 0 && c.For < time.Second {
		return usage("--for: expected 1s or more")
	}
	want := api.StartShadow{Filter: c.Filter, Callback: c.Callback, Module: c.Module, Events: c.Events, Seconds: uint64(c.For / time.Second), Reason: c.Reason}
	if c.Policy != "" {
		text, err := config.Read(c.Policy)
		if err != nil {
			return err
		}
		want.Policy = string(text)
	}
	cl, err := c.client()
	if err != nil {
		return err
	}
	s, err := cl.StartShadow(a.ctx, want)
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(s)
	}
	_, err = fmt.Fprintf(a.stdout, "callback %s: %s %.12s runs in the shadow of filter %s for %d events, until %s at the latest\nshow it with: auditrelay shadow show %[1]s\n",
		s.Callback, s.Kind, s.Digest, s.Filter, s.Limit, moment(s.Until))
	return err
}

type shadowList struct {
	remote
	JSON bool `help:"Print JSON."`
}

func (c *shadowList) Run(a *program) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	all, err := cl.Shadows(a.ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(all)
	}
	rows := [][]string{{"CALLBACK", "FILTER", "TRIES", "EVENTS", "CHANGED", "EXPOSING", "FAILED", "MISSED", "STATE"}}
	for i := range all {
		s := &all[i]
		rows = append(rows, []string{s.Callback, s.Filter, fmt.Sprintf("%s %.12s", s.Kind, s.Digest), number(s.Events), number(s.Changed), number(s.Exposing), number(failed(s)), number(s.Missed), cmp.Or(s.End, "runs")})
	}
	return a.table(rows)
}

func number(n uint64) string { return strconv.FormatUint(n, 10) }

func failed(s *api.Shadow) (n uint64) {
	for _, k := range s.Failures {
		n += k
	}
	return n
}

type shadowShow struct {
	remote
	Callback string `arg:"" help:"The callback."`
	JSON     bool   `help:"Print JSON."`
}

func (c *shadowShow) Run(a *program) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	s, err := cl.Shadow(a.ctx, c.Callback)
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(s)
	}
	rows := [][]string{
		{"callback", s.Callback}, {"filter", s.Filter}, {"tries", s.Kind + " " + s.Digest}, {"beside", s.Running},
		{"state", cmp.Or(s.End, "runs until "+moment(s.Until))},
		{"events", fmt.Sprintf("%d of %d: %d the same, %d changed, %d missed", s.Events, s.Limit, s.Same, s.Changed, s.Missed)},
		{"exposing", fmt.Sprintf("%d events that would expose a value that the current version withholds", s.Exposing)},
	}
	if s.Emitting > 0 {
		rows = append(rows, []string{"emitted", fmt.Sprintf("%d events with other emitted records", s.Emitting)})
	}
	for _, o := range s.Outcomes {
		rows = append(rows, []string{"outcome", fmt.Sprintf("%d events %v instead of %v", o.Events, o.Would, o.Now)})
	}
	for _, cause := range slices.Sorted(maps.Keys(s.Failures)) {
		rows = append(rows, []string{"failed", fmt.Sprintf("%d events: %s", s.Failures[cause], cause)})
	}
	if s.Failure != "" {
		rows = append(rows, []string{"last failure", printable(s.Failure)})
	}
	rows = append(rows, []string{"cost now", costText(s.Now)}, []string{"cost in shadow", costText(s.Would)})
	if err := a.table(rows); err != nil {
		return err
	}
	if len(s.Paths) == 0 {
		return nil
	}
	fmt.Fprintln(a.stdout)
	rows = [][]string{{"PATH", "NEWLY EXPOSED", "NO LONGER EXPOSED", "OTHERWISE"}}
	for _, p := range s.Paths {
		rows = append(rows, []string{printable(p.Path), number(p.Exposed), number(p.Hidden), number(p.Otherwise)})
	}
	if s.OtherPaths > 0 {
		rows = append(rows, []string{"(further paths)", "", "", number(s.OtherPaths)})
	}
	return a.table(rows)
}

// costText formats a filter's cost for one event.
func costText(c api.ShadowCost) string {
	if c.Events == 0 {
		return "not measured"
	}
	n := int64(c.Events)
	text := fmt.Sprintf("%v an event", (c.Time / time.Duration(n)).Round(100*time.Nanosecond))
	if c.Memory > 0 {
		text += fmt.Sprintf(", %d fuel, at most %v of memory", c.Fuel/n, auditrelay.ByteSize(c.Memory))
	}
	return text
}

type shadowUse struct {
	why
	remote
	Callback string `arg:"" help:"The callback."`
}

func (c *shadowUse) Run(a *program) error {
	cl, err := c.clientFor(c.Seen)
	if err != nil {
		return err
	}
	shadow, err := cl.Shadow(a.ctx, c.Callback)
	if err != nil {
		return err
	}
	used, err := cl.UseShadow(a.ctx, c.Callback, c.why.api())
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "%s has %s %s from the next event on; back with: auditrelay %s use %s --previous\n", used.Filter, shadow.Kind, used.Digest, shadow.Kind, used.Filter)
	return err
}

type shadowDrop struct {
	why
	remote
	Callback string `arg:"" help:"The callback."`
}

func (c *shadowDrop) Run(a *program) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	if err := cl.DropShadow(a.ctx, c.Callback, c.why.api()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "the shadow of callback %s is dropped\n", c.Callback)
	return err
}

type policyUse struct {
	why
	remote
	Filter     string `arg:"" help:"The native filter's name in the configuration."`
	File       string `arg:"" optional:"" help:"The file of the policy." type:"existingfile"`
	Previous   bool   `help:"Go back to the policy before."`
	Configured bool   `help:"Go back to the configuration's policy."`
	rolloutShare
	JSON bool `help:"Print JSON."`
}

func (c *policyUse) Run(a *program) error {
	if c.given() {
		return c.rollOut(a)
	}
	given := 0
	for _, is := range []bool{c.File != "", c.Previous, c.Configured} {
		if is {
			given++
		}
	}
	if given != 1 {
		return usage("give a file, --previous or --configured")
	}
	want := api.UsePolicy{Previous: c.Previous, Configured: c.Configured, Reason: c.Reason}
	if c.File != "" {
		text, err := config.Read(c.File)
		if err != nil {
			return err
		}
		want.Policy = string(text)
	}
	cl, err := c.clientFor(c.Seen)
	if err != nil {
		return err
	}
	used, err := cl.UsePolicy(a.ctx, c.Filter, want)
	if err != nil {
		return err
	}
	switch {
	case c.JSON:
		return a.printJSON(used)
	case !used.Changed:
		_, err = fmt.Fprintf(a.stdout, "%s applies policy %s already\n", used.Filter, used.Digest)
	default:
		_, err = fmt.Fprintf(a.stdout, "%s applies policy %s from the next event on; back with: auditrelay policy use %s --previous\n", used.Filter, used.Digest, used.Filter)
	}
	return err
}

// rollOut starts a rollout of the policy.
func (c *policyUse) rollOut(a *program) error {
	if c.File == "" || c.Previous || c.Configured || c.Seen != "" {
		return usage("--share, --rollback-at and --after start a rollout of a policy: give its file, and none of --previous, --configured and --if-match")
	}
	request, err := c.want(api.StartRollout{Filter: c.Filter, Reason: c.Reason})
	if err != nil {
		return err
	}
	text, err := config.Read(c.File)
	if err != nil {
		return err
	}
	request.Policy = string(text)
	return a.startRollout(&c.remote, request, c.JSON)
}
