package cli

import (
	"fmt"
	"strconv"

	"auditrelay"
	"auditrelay/cli/internal/api"
)

type explainCommand struct {
	remote
	ID        string `arg:"" name:"event-id" help:"The event's id."`
	Namespace string `help:"Only of this namespace, such as litellm, emitted, auditrelay." placeholder:"NAME"`
	Data      bool   `help:"Show the event's contents too (role comply)."`
	JSON      bool   `help:"Print JSON."`
}

func (c *explainCommand) Run(a *program) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	e, err := cl.Explain(a.ctx, api.EventQuery{Namespace: c.Namespace, ID: c.ID, Data: c.Data})
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(e)
	}
	return a.printExplained(e)
}

func (a *program) printExplained(e api.Explained) error {
	rows := [][]string{
		{"id", e.ID},
		{"namespace", e.Namespace},
		{"sequence", count(e.Sequence)},
		{"action", e.Action},
		{"accepted", moment(e.Received)},
		{"event time", moment(e.Time) + " (" + e.TimeFrom + ")"},
		{"came by", provenance(e.Provenance)},
	}
	for _, n := range e.Namesakes {
		rows = append(rows, []string{namesakeLabel(e.Namespace, &n), fmt.Sprintf("sequence %s in %s, accepted %s, by %s", count(n.Sequence), n.Namespace, moment(n.Received), provenance(n.Provenance))})
	}
	for _, p := range e.AlsoFrom {
		rows = append(rows, []string{"again by", provenance(p)})
	}
	if m := e.Emission; m != nil {
		rows = append(rows, []string{"emitted", fmt.Sprintf("by filter %s of callback %s, for sequence %d, to %s", m.Filter, m.Callback, m.Sequence, m.Target)})
	}
	if err := a.table(rows); err != nil {
		return err
	}
	fmt.Fprintln(a.stdout)
	rows = [][]string{{"CALLBACK", "OUTCOME", "AT", "ATTEMPTS", "WHERE", "WHY"}}
	for i := range e.Callbacks {
		rows = append(rows, endingRow(&e.Callbacks[i]))
	}
	if err := a.table(rows); err != nil {
		return err
	}
	rows = receiptHeader()
	for _, end := range e.Callbacks {
		for i := range end.Receipts {
			rows = append(rows, receiptRow(&end.Receipts[i], end.Outcome.String()))
		}
	}
	if len(rows) > 1 {
		fmt.Fprintln(a.stdout)
		if err := a.table(rows); err != nil {
			return err
		}
	}
	if err := a.printHistories(e.Callbacks); err != nil {
		return err
	}
	if e.Data != nil {
		_, err := fmt.Fprintf(a.stdout, "\n%s\n", escaped(e.Data))
		return err
	}
	return nil
}

// endingRow describes the event's state on one callback. While delivery is retried, it includes
// the number of attempts and the last failure.
func endingRow(end *api.Ending) []string {
	name, outcome, where := laneName(end.Callback, end.Replay), end.Outcome.String(), end.Location
	if !end.Assigned {
		outcome = "not assigned"
	}
	if where == "" {
		where = end.Key
	}
	if end.Tombstone {
		outcome += " (tombstone)"
	}
	if end.Unverified {
		outcome += " (unverified)"
	} else if end.Duplicate {
		outcome += " (duplicate)"
	}
	why := string(end.Cause)
	for _, part := range []string{end.Filter, end.Reason, end.Error} {
		if part != "" {
			why += "; " + part
		}
	}
	attempts := ""
	if end.Attempts > 0 {
		attempts = strconv.Itoa(end.Attempts)
	}
	if n := len(end.History); n > 0 && end.Outcome == auditrelay.Pending {
		last := &end.History[n-1]
		attempts, why = strconv.Itoa(last.Number), string(last.Reason)
		if !last.NextTry.IsZero() {
			why += "; next try " + moment(last.NextTry)
		}
	}
	return []string{name, outcome, moment(end.At), attempts, where, why}
}

// printHistories prints the delivery attempts of the event's payloads, by callback.
func (a *program) printHistories(ends []api.Ending) error {
	for _, end := range ends {
		if len(end.History) == 0 {
			continue
		}
		fmt.Fprintf(a.stdout, "\nattempts at payload %d of %s\n", end.Payload, laneName(end.Callback, end.Replay))
		if err := a.table(attemptRows(end.History)); err != nil {
			return err
		}
	}
	return nil
}

// namesakeLabel describes the relation of another event with the id to the first.
func namesakeLabel(namespace string, n *api.Namesake) string {
	switch {
	case n.Same:
		return "sent again"
	case n.Namespace == namespace:
		return "conflict"
	}
	return "same id"
}

func provenance(p api.Provenance) string {
	s := p.Source
	if p.Principal != "" {
		s += " as " + p.Principal
	}
	if p.Address != "" {
		s += " from " + p.Address
	}
	return s
}
