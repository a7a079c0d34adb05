package cli

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"auditrelay/cli/internal/api"
)

type completeCommand struct {
	remote
	Days int  `help:"The last days, in UTC. At most 92." default:"14" placeholder:"N"`
	JSON bool `help:"Print JSON."`
}

func (c *completeCommand) Run(a *program) error {
	if c.Days < 1 {
		return usage("--days: expected a number from 1 to 92")
	}
	cl, err := c.client()
	if err != nil {
		return err
	}
	got, err := cl.Completeness(a.ctx, c.Days)
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(got)
	}
	rows := [][]string{{"DAY", "EVENTS", "SEQUENCES", "KEPT", "SIGNED", "OPEN"}}
	for i := range got.Days {
		d := &got.Days[i]
		sequences := ""
		if d.Events > 0 {
			sequences = fmt.Sprintf("%d to %d", d.First, d.Next-1)
		}
		rows = append(rows, []string{d.Day.Format("2006-01-02"), number(d.Events), sequences, keptText(d), yesNo(d.Signed), openText(d)})
	}
	if err := a.table(rows); err != nil {
		return err
	}
	if got.DeadLettersCut {
		fmt.Fprintln(a.stdout, "more dead letters exist than were counted by day")
	}
	fmt.Fprintln(a.stdout)
	rows = [][]string{{"LOG", "ENTRIES", "SIGNED", "LAST CHECKPOINT", "CHECK"}}
	for _, l := range got.Logs {
		check := cmp.Or(l.Fault, "as signed")
		if l.Signed == 0 && l.Fault == "" {
			check = "not signed"
		}
		rows = append(rows, []string{cmp.Or(l.Callback, "(accepted)"), number(l.Size), number(l.Signed), moment(l.SignedAt), check})
	}
	if err := a.table(rows); err != nil || len(got.Verified) == 0 {
		return err
	}
	fmt.Fprintln(a.stdout)
	rows = [][]string{{"VERIFIED", "AT", "BY", "RECORDS", "FOUND", "LOGS"}}
	for i := range got.Verified {
		v := &got.Verified[i]
		rows = append(rows, []string{v.Place, moment(v.At), v.By, number(v.Records), faultsText(v.Faults), logsText(v.Logs)})
	}
	return a.table(rows)
}

// faultsText describes the faults that a run of verify found.
func faultsText(faults map[string]int) string {
	var parts []string
	for _, category := range slices.Sorted(maps.Keys(faults)) {
		parts = append(parts, fmt.Sprintf("%d %s", faults[category], category))
	}
	return cmp.Or(strings.Join(parts, ", "), "nothing wrong")
}

// logsText says whether verified logs belong to the relay.
func logsText(logs []api.VerifiedLog) string {
	var parts []string
	for _, l := range logs {
		if l.Fault != "" {
			parts = append(parts, l.Origin+": "+l.Fault)
		} else {
			parts = append(parts, fmt.Sprintf("%s: %d entries, as here", cmp.Or(l.Callback, "(accepted)"), l.Size))
		}
	}
	return strings.Join(parts, "; ")
}

// keptText says which of a day's events the journal still has.
func keptText(d *api.CompleteDay) string {
	switch {
	case d.Erased > 0:
		return fmt.Sprintf("%d erased", d.Erased)
	case d.Forgotten:
		return "earlier ones forgotten"
	}
	return "all"
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

// openText lists the callbacks with open events of a day.
func openText(d *api.CompleteDay) string {
	var parts []string
	for _, c := range d.Open {
		part := c.Callback + ":"
		if c.Pending {
			part += " pending"
		}
		if c.DeadLetters > 0 {
			part += fmt.Sprintf(" %d dead letters", c.DeadLetters)
		}
		parts = append(parts, part)
	}
	return cmp.Or(strings.Join(parts, "; "), "nothing")
}
