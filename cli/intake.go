package cli

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"auditrelay"
	"auditrelay/cli/internal/api"
	"auditrelay/cli/internal/client"
)

// printIntake prints the inputs, the reason for a silent source, and the contents of the
// quarantine. Older relays do not report these.
func (a *program) printIntake(cl *client.Client, silentAfter time.Duration) error {
	sources, err := cl.Sources(a.ctx)
	if e, ok := errors.AsType[*api.Error](err); ok && e.Status == http.StatusNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	stats, err := cl.Stats(a.ctx)
	if err != nil {
		return err
	}
	if len(sources) > 0 {
		fmt.Fprintln(a.stdout)
		rows := [][]string{{"SOURCE", "KIND", "SINCE", "EVENTS", "LAST SEEN"}}
		for _, s := range sources {
			last := moment(s.LastSeen)
			if s.Silent {
				last = "no events seen"
			}
			rows = append(rows, []string{s.Name, s.Kind, moment(s.Since), count(s.Events), last})
		}
		if err := a.table(rows); err != nil {
			return err
		}
	}
	for _, s := range sources {
		if s.Tail != nil {
			fmt.Fprintf(a.stdout, "\n%s (%s): %s\n", printable(s.Name), printable(s.Kind), printable(tailing(s.Tail)))
		}
		if s.Topic != nil {
			fmt.Fprintf(a.stdout, "\n%s (%s): %s\n", printable(s.Name), printable(s.Kind), printable(consuming(s.Topic)))
		}
		if !s.Silent || time.Since(s.Since) < silentAfter {
			continue // a source may need time after a start
		}
		fmt.Fprintf(a.stdout, "\n%s (%s): no events seen. Possible causes:\n", printable(s.Name), printable(s.Kind))
		for _, cause := range s.Causes {
			fmt.Fprintf(a.stdout, "  - %s\n", printable(cause))
		}
	}
	q := stats.Quarantine
	if q.Items > 0 || q.Full {
		full := ""
		if q.Full {
			full = "; it is FULL: invalid input is refused"
		}
		fmt.Fprintf(a.stdout, "\nquarantine: %d items, %v of %v%s (auditrelay quarantine list)\n",
			q.Items, auditrelay.ByteSize(q.Bytes), q.MostBytes, full)
	}
	return nil
}

// consuming describes the state of reading a topic in one line.
func consuming(t *api.Topic) string {
	text := fmt.Sprintf("%s since %s, group %s, %d partitions, %d messages behind", t.State, moment(t.Since), t.Group, t.Partitions, t.Lag)
	if t.Deleted > 0 {
		text += fmt.Sprintf("; the brokers deleted %d unread messages", t.Deleted)
	}
	if t.Error != "" {
		text += ": " + t.Error
	}
	return text
}

// tailing describes the state of reading a table in one line.
func tailing(t *api.Tail) string {
	text := fmt.Sprintf("%s since %s", t.State, moment(t.Since))
	if b := t.Backfill; b != nil {
		text += fmt.Sprintf(", %d of about %d rows of the past", b.Rows, b.Of)
	} else if !t.Complete.IsZero() {
		text += ", complete up to " + moment(t.Complete)
	}
	if n := t.Rows.Unreadable; n > 0 {
		text += fmt.Sprintf("; %d rows that the server cannot read are in quarantine (reason unreadable)", n)
	}
	if t.Error != "" {
		text += ": " + t.Error
	}
	return text
}
