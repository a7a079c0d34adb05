package cli

import (
	"encoding/json"
	"fmt"
	"time"

	"auditrelay/cli/internal/api"
)

type reconcileCommand struct {
	remote
	From   string `help:"From this time (updated_at), such as 2026-01-31T00:00:00Z or 2026-01-31." required:"" placeholder:"TIME"`
	To     string `help:"To this time, exclusive. Default: now." placeholder:"TIME"`
	Repair bool   `help:"Accept the rows that the journal lacks (role admin)."`
	JSON   bool   `help:"Print one JSON object a line; the last has the totals."`
}

// differError reports that the table and the journal differ.
type differError struct{ missing uint64 }

func (e differError) Error() string {
	return fmt.Sprintf("the table and the journal differ by %d events", e.missing)
}

func (c *reconcileCommand) Run(a *program) error {
	want := api.Reconcile{To: time.Now().UTC(), Repair: c.Repair}
	for _, t := range []struct {
		flag, text string
		to         *time.Time
	}{{"--from", c.From, &want.From}, {"--to", c.To, &want.To}} {
		if t.text == "" {
			continue
		}
		at, err := day(t.text)
		if err != nil {
			return usage("%s: expected a time, as in 2026-01-31T00:00:00Z or 2026-01-31", t.flag)
		}
		*t.to = at
	}
	if !want.From.Before(want.To) {
		return usage("--from: not before --to")
	}
	cl, err := c.client()
	if err != nil {
		return err
	}
	e := json.NewEncoder(a.stdout)
	e.SetEscapeHTML(false)
	done, err := cl.Reconcile(a.ctx, want, func(d api.Difference) error {
		if c.JSON {
			return e.Encode(d)
		}
		_, err := fmt.Fprintf(a.stdout, "%s  %s  %s\n", moment(d.Time), printable(d.ID), tellDifference(d))
		return err
	})
	if err != nil {
		return err
	}
	if c.JSON {
		err = e.Encode(done)
	} else {
		_, err = fmt.Fprintf(a.stdout, "%d rows in the table, %d events in the journal; missing in the journal: %d (repaired: %d), in the table: %d\n",
			done.Rows, done.Events, done.MissingInJournal, done.Repaired, done.MissingInTable)
		if err == nil && done.Unsure > 0 {
			_, err = fmt.Fprintf(a.stdout, "%d more rows are older than what the journal keeps (from %s): whether they were accepted cannot be told\n", done.Unsure, moment(done.JournalSince))
		}
		if err == nil && done.Unstorable > 0 {
			_, err = fmt.Fprintf(a.stdout, "%d of the events missing in the table cannot be there: jsonb refuses what they hold\n", done.Unstorable)
		}
		if err == nil && done.Unreadable > 0 {
			_, err = fmt.Fprintf(a.stdout, "%d rows cannot be compared: the server cannot give their ids; the tail puts them into quarantine\n", done.Unreadable)
		}
		if err == nil && done.Incomparable > 0 {
			_, err = fmt.Fprintf(a.stdout, "%d events of the journal cannot be compared: filters took their ids before they were stored\n", done.Incomparable)
		}
	}
	if err == nil && done.Differ() {
		err = differError{done.MissingInJournal - done.Repaired + done.MissingInTable - done.Unstorable}
	}
	return err
}

func tellDifference(d api.Difference) string {
	switch {
	case d.Unstorable:
		return fmt.Sprintf("not in the table (sequence %d), which cannot have it: jsonb refuses NaN, Infinity, null characters and half characters", d.Sequence)
	case d.MissingFrom == api.MissingFromTable:
		return fmt.Sprintf("not in the table (sequence %d)", d.Sequence)
	case d.Repaired:
		return "was not in the journal: accepted now"
	case d.Quarantined:
		return "not in the journal: in quarantine now"
	case d.Unsure:
		return "not in the journal, which may have forgotten it"
	}
	return "not in the journal"
}

// day reads a time, or a date as its beginning in UTC.
func day(text string) (time.Time, error) {
	if at, err := time.Parse(time.DateOnly, text); err == nil {
		return at, nil
	}
	return time.Parse(time.RFC3339, text)
}
