package cli

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"auditrelay/cli/internal/api"
)

type reportCommand struct {
	remote
	From string `help:"The first day, in UTC." required:"" placeholder:"YYYY-MM-DD"`
	To   string `help:"The last day, included." required:"" placeholder:"YYYY-MM-DD"`
	JSON bool   `help:"Print JSON."`
}

func (c *reportCommand) Run(a *program) error {
	from, err := time.Parse("2006-01-02", c.From)
	if err != nil {
		return usage("--from: expected a day, such as 2026-01-31")
	}
	last, err := time.Parse("2006-01-02", c.To)
	if err != nil {
		return usage("--to: expected a day, such as 2026-01-31")
	}
	cl, err := c.client()
	if err != nil {
		return err
	}
	r, err := cl.Report(a.ctx, from, last.AddDate(0, 0, 1))
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(r)
	}
	return a.printReport(&r)
}

func (a *program) printReport(r *api.Report) error {
	fmt.Fprintf(a.stdout, "%d events accepted from %s to %s, UTC\n\n", r.Events, r.From.Format("2006-01-02"), r.To.AddDate(0, 0, -1).Format("2006-01-02"))
	rows := [][]string{{"CALLBACK", "WHAT", "COUNT"}}
	for i := range r.Callbacks {
		b := &r.Callbacks[i]
		outcomes := map[string]uint64{}
		for o, n := range b.Outcomes {
			outcomes[o.String()] = n
		}
		for _, part := range []struct {
			what   string
			counts map[string]uint64
		}{{"", outcomes}, {"withheld: ", b.Causes}, {"changed: ", b.Edits}, {"filter: ", b.Versions}} {
			for _, name := range slices.Sorted(maps.Keys(part.counts)) {
				rows = append(rows, []string{b.Callback, part.what + name, number(part.counts[name])})
			}
		}
	}
	if err := a.table(rows); err != nil {
		return err
	}
	rows = [][]string{{"POLICY", "FIRST IN FORCE", "LAST IN FORCE", "DIGEST"}}
	for i := range r.Policies {
		p := &r.Policies[i]
		rows = append(rows, []string{p.Name, moment(p.Since), cmp.Or(moment(p.Until), "now"), brief(p.Digest)})
	}
	fmt.Fprintln(a.stdout)
	if err := a.table(rows); err != nil {
		return err
	}
	rows = [][]string{{"WHEN", "BY", "ACT", "ON", "OUTCOME", "REASON"}}
	for i := range r.Acts {
		act := &r.Acts[i]
		rows = append(rows, []string{moment(act.At), act.By, act.Act, act.On, act.Outcome, act.Reason})
	}
	fmt.Fprintln(a.stdout)
	if err := a.table(rows); err != nil {
		return err
	}
	rows = [][]string{{"LOG", "ENTRIES", "SIGNED", "CHECK"}}
	for _, l := range r.Logs {
		check := cmp.Or(l.Fault, "as signed")
		if l.Signed == 0 && l.Fault == "" {
			check = "not signed"
		}
		rows = append(rows, []string{cmp.Or(l.Callback, "(accepted)"), number(l.Size), number(l.Signed), check})
	}
	fmt.Fprintln(a.stdout)
	if err := a.table(rows); err != nil {
		return err
	}
	for _, note := range r.Notes {
		fmt.Fprintln(a.stdout, note)
	}
	return nil
}
