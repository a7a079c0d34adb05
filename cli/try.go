package cli

import (
	"encoding/json"
	"errors"
	"fmt"

	"auditrelay"
	"auditrelay/cli/internal/app"
	"auditrelay/runtime"
)

// tryCommand shows contents of events. For events of a running relay it requires the role
// comply.
type tryCommand struct {
	configFlag
	moduleFlags
	Callback string `help:"The callback whose filters to try. Default: the only one." placeholder:"NAME"`
	File     string `arg:"" optional:"" help:"Events: a JSON object, an array or NDJSON; - for standard input."`
	Stored   bool   `help:"Use events that a running relay accepted (role comply)."`
	From     uint64 `help:"With --stored: the first sequence. Default: the oldest." placeholder:"SEQUENCE"`
	Limit    int    `help:"Maximum number of events." default:"100" placeholder:"N"`
	Schema   string `help:"The schema of the file's events: a shipped one, such as kubernetes, or one of the configuration's. Default: LiteLLM's." placeholder:"NAME"`
	JSON     bool   `help:"Print one JSON object a line."`
}

func (c *tryCommand) Run(a *program) error {
	switch {
	case (c.File != "") == c.Stored:
		return usage("give a file, - or --stored")
	case c.Limit < 1 || c.Limit > maxTried:
		return usage("--limit: expected 1 to %d", maxTried)
	}
	files, err := c.files()
	if err != nil {
		return err
	}
	modules, clean, err := c.modules(a)
	if err != nil {
		return err
	}
	defer clean()
	t, err := app.NewTrier(a.ctx, files, c.Callback, app.TryOptions{Sinks: makers(a.sinks), Compiler: compiler(), Worker: guestWorker(), Log: a.stderr, Modules: modules})
	if err != nil {
		return err
	}
	defer t.Close()
	var events []auditrelay.Event
	if c.Stored {
		events, err = storedEvents(a, &c.remote, c.From, c.Limit, t.Limits())
	} else if schema, unknown := t.Schema(c.Schema); unknown != nil {
		err = unknown
	} else {
		events, err = sampleEvents(a, c.File, c.Limit, schema, t.Limits())
	}
	if err != nil {
		return err
	}
	counts, failed := map[auditrelay.Outcome]int{}, 0
	for at := 0; at < len(events); at += 100 {
		part := events[at:min(at+100, len(events))]
		trials, err := t.Try(a.ctx, part)
		if err != nil {
			return err
		}
		for i := range trials {
			counts[trials[i].Outcome]++
			if trials[i].Err != nil {
				failed++
			}
			if err := c.show(a, &part[i], &trials[i]); err != nil {
				return err
			}
		}
	}
	if !c.JSON {
		fmt.Fprintf(a.stdout, "%d events: %d would be delivered, %d filtered, %d dead-lettered, %d discarded, %d held\n", len(events),
			counts[auditrelay.Delivered], counts[auditrelay.Filtered], counts[auditrelay.DeadLettered], counts[auditrelay.Discarded], counts[auditrelay.Pending])
	}
	for _, line := range t.Unmatched() {
		fmt.Fprintf(a.stderr, "%s: warning: %s\n", files[0], line)
	}
	if failed > 0 {
		return fmt.Errorf("%w on %d of %d events", errTried, failed, len(events))
	}
	return nil
}

// errTried reports that a filter failed on a tried event.
var errTried = errors.New("a filter failed")

func (c *tryCommand) show(a *program, e *auditrelay.Event, t *runtime.Trial) error {
	out := app.NewTried(e, t)
	if c.JSON {
		encoder := json.NewEncoder(a.stdout)
		encoder.SetEscapeHTML(false)
		return encoder.Encode(out)
	}
	fmt.Fprintf(a.stdout, "event %d %s: %s", e.Sequence, printable(e.ID), t.Outcome)
	parts := []string{string(t.Cause), t.Filter, t.Reason}
	if t.Cause == auditrelay.CauseLeak {
		parts = append(parts, out.Error) // no filter's line shows it
	}
	for _, part := range parts {
		if part != "" {
			fmt.Fprintf(a.stdout, "; %s", printable(part))
		}
	}
	fmt.Fprintln(a.stdout)
	for _, f := range out.Filters {
		fmt.Fprintf(a.stdout, "  %s: %s, %d units of fuel, %d KiB", printable(f.Filter), f.Verdict, f.Fuel, f.Memory>>10)
		for _, touch := range f.Touched {
			fmt.Fprintf(a.stdout, "; %s %s x%d", touch.Operation, printable(touch.Path), touch.Count)
		}
		if f.Error != "" {
			fmt.Fprintf(a.stdout, ": %s", printable(f.Error))
		}
		fmt.Fprintln(a.stdout)
	}
	if t.Data != nil && string(t.Data) != string(e.Data) {
		if err := a.difference(e.Data, t.Data); err != nil {
			return err
		}
	}
	if t.Record != nil {
		fmt.Fprintf(a.stdout, "  record: %s\n", printable(string(t.Record)))
	}
	for _, r := range out.Emitted {
		fmt.Fprintf(a.stdout, "  emitted to %s: %s\n", printable(r.Target), printable(string(r.Data)))
	}
	return nil
}
