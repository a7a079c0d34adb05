package cli

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"auditrelay"
	"auditrelay/cli/internal/api"
)

type deadLetterReplay struct {
	remote
	Callback  string   `arg:"" help:"The callback."`
	Sequences []uint64 `arg:"" optional:"" help:"The events' sequences."`
	All       bool     `help:"All of the callback."`

	Cause  []string `help:"Only those with this cause, such as refused or trap. May be repeated, as all filters." placeholder:"CAUSE"`
	Filter []string `help:"Only dead letters on which this filter failed." placeholder:"NAME"`
	Action []string `help:"Only events with this action." placeholder:"ACTION"`
	Table  []string `help:"Only events with this table_name." placeholder:"TABLE"`
	ID     []string `help:"Only the event with this id." placeholder:"ID"`
	From   string   `help:"Only dead letters from this time on, such as 2026-01-31T14:00:00Z." placeholder:"TIME"`
	To     string   `help:"Only dead letters from before this time." placeholder:"TIME"`
	Rate   string   `help:"At most this many, such as 10/s, 600/m or 1000/h." placeholder:"N/s"`
	DryRun bool     `help:"Only show the number; start nothing."`
	JSON   bool     `help:"Print JSON."`
}

func (c *deadLetterReplay) Run(a *program) error {
	request := api.DeadLetterReplay{
		Sequences: c.Sequences, All: c.All, Filters: c.Filter, Actions: c.Action, Tables: c.Table, IDs: c.ID, DryRun: c.DryRun,
	}
	var err error
	if request.Causes, err = causes(c.Cause); err != nil {
		return err
	}
	if request.From, err = instant("--from", c.From); err != nil {
		return err
	}
	if request.To, err = instant("--to", c.To); err != nil {
		return err
	}
	if request.Rate, err = perSecond(c.Rate); err != nil {
		return err
	}
	filtered := len(c.Cause)+len(c.Filter)+len(c.Action)+len(c.Table)+len(c.ID) > 0 || c.From != "" || c.To != ""
	if c.All == (filtered || len(c.Sequences) > 0) {
		return usage("name sequences, give a filter such as --cause, or use --all")
	}
	cl, err := c.client()
	if err != nil {
		return err
	}
	done, err := cl.ReplayDeadLetters(a.ctx, c.Callback, request)
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(done)
	}
	switch {
	case done.Job == nil:
		_, err = fmt.Fprintf(a.stdout, "%d given to the callback again\n", done.Changed)
	case c.DryRun:
		_, err = fmt.Fprintf(a.stdout, "would replay %d dead letters of %s\n", done.Job.Matched, c.Callback)
	case done.Job.ID == "":
		_, err = fmt.Fprintf(a.stdout, "no dead letter of %s matches\n", c.Callback)
	default:
		_, err = fmt.Fprintf(a.stdout, "replay %s started: %d dead letters of %s; auditrelay dead-letter jobs shows its progress\n", done.Job.ID, done.Job.Matched, c.Callback)
	}
	return err
}

// instant parses a time. An empty text is the zero time.
func instant(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, usage("%s: expected a time such as 2026-01-31T14:00:00Z or 2026-01-31 (UTC)", flag)
}

// perSecond parses a rate. An empty text is 0.
func perSecond(text string) (float64, error) {
	if text == "" {
		return 0, nil
	}
	number, unit, ok := strings.Cut(text, "/")
	n, err := strconv.ParseFloat(number, 64)
	seconds := map[string]float64{"s": 1, "m": 60, "h": 3600}[unit]
	if !ok || err != nil || seconds == 0 || !(n > 0 && n/seconds <= 1e6) {
		return 0, usage("--rate: expected a number above 0 and a unit, such as 10/s, 600/m or 1000/h, at most 1000000/s")
	}
	return n / seconds, nil
}

type deadLetterJobs struct {
	remote
	JSON bool `help:"Print JSON."`
}

func (c *deadLetterJobs) Run(a *program) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	jobs, err := cl.DeadReplays(a.ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(jobs)
	}
	rows := [][]string{{"REPLAY", "CALLBACK", "STATE", "GIVEN", "MATCHED", "RATE", "STARTED", "ENDED", "BY", "ERROR"}}
	for _, j := range jobs {
		rate := ""
		if j.Rate > 0 {
			rate = strconv.FormatFloat(j.Rate, 'g', 4, 64) + "/s"
		}
		rows = append(rows, []string{j.ID, j.Callback, j.State, count(j.Given), count(j.Matched), rate, moment(j.Started), moment(j.Ended), j.By, shortened(j.Error)})
	}
	return a.table(rows)
}

type deadLetterCancel struct {
	remote
	why
	ID   string `arg:"" help:"The replay's id."`
	JSON bool   `help:"Print JSON."`
}

func (c *deadLetterCancel) Run(a *program) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	job, err := cl.CancelDeadReplay(a.ctx, c.ID, c.api())
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(job)
	}
	_, err = fmt.Fprintf(a.stdout, "replay %s is %s: %d of %d were given to %s\n", job.ID, job.State, job.Given, job.Matched, job.Callback)
	return err
}

// causes parses the values of --cause. A misspelt cause is an error, since it would match
// nothing.
func causes(names []string) (all []auditrelay.Cause, err error) {
	known := auditrelay.Causes()
	for _, name := range names {
		if !slices.Contains(known, auditrelay.Cause(name)) {
			return nil, usage("--cause %q: expected one of %s", name, strings.Trim(fmt.Sprint(known), "[]"))
		}
		all = append(all, auditrelay.Cause(name))
	}
	return all, nil
}
