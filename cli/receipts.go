package cli

import (
	"encoding/json"
	"fmt"
	"strings"

	"auditrelay"
	"auditrelay/cli/internal/api"
)

type receiptsCommand struct {
	remote
	Callback  string `help:"Only of this callback and its replays." placeholder:"NAME"`
	From      string `help:"From this sequence, or this time of receipt, such as 2026-01-31T00:00:00Z." placeholder:"FROM"`
	To        string `help:"To this sequence or time, exclusive." placeholder:"TO"`
	ID        string `help:"Only of the event with this id." placeholder:"ID"`
	Namespace string `help:"With --id, only of this namespace, such as litellm, emitted, auditrelay." placeholder:"NAME"`
	JSON      bool   `help:"Print one JSON object a line."`
}

func (c *receiptsCommand) Run(a *program) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	query := api.ReceiptQuery{Callback: c.Callback, From: c.From, To: c.To, ID: c.ID, Namespace: c.Namespace}
	if c.JSON {
		return cl.Receipts(a.ctx, query, func(line []byte) error {
			_, err := fmt.Fprintf(a.stdout, "%s\n", line)
			return err
		})
	}
	rows := receiptHeader()
	err = cl.Receipts(a.ctx, query, func(line []byte) error {
		var r receiptNow
		if err := json.Unmarshal(line, &r); err != nil {
			return fmt.Errorf("%s sent an invalid receipt: %w", cl.Server(), err)
		}
		now := "-"
		if r.Now != nil {
			now = r.Now.String()
		}
		rows = append(rows, receiptRow(&r.Receipt, now))
		return nil
	})
	if err != nil {
		return err
	}
	return a.table(rows)
}

// receiptNow is a receipt as a relay sends it. An older relay does not send the current
// outcome.
type receiptNow struct {
	api.Receipt
	Now *auditrelay.Outcome `json:"now"`
}

func receiptHeader() [][]string {
	return [][]string{{"CALLBACK", "SEQUENCE", "ID", "SEALED", "OUTCOME", "NOW", "FILTERS", "INPUT", "OUTPUT", "WHY"}}
}

// receiptRow returns one line of the table. now is the current outcome, or "-" if the relay
// does not send it.
func receiptRow(r *api.Receipt, now string) []string {
	name, outcome := r.Callback, r.Outcome.String()
	if r.Replay != "" {
		name += "@" + r.Replay
	}
	if r.Refused != "" {
		outcome = "refused"
	}
	if r.Again {
		outcome += " (again)"
	}
	why := string(r.Cause) + string(r.Refused)
	for _, part := range []string{r.Filter, r.Reason} {
		if part != "" {
			why += "; " + part
		}
	}
	return []string{name, count(r.Sequence), r.ID, moment(r.At), outcome, now, visits(r.Filters), brief(r.Input), brief(r.Output), strings.TrimPrefix(why, "; ")}
}

// visits describes the filters that processed an event, with their version and their edits.
func visits(filters []api.Visit) string {
	var all []string
	for _, f := range filters {
		text := f.Name
		switch {
		case f.Version != "":
			text += "@" + f.Version
		case f.Digest != "":
			text += "@" + brief(f.Digest)
		}
		var touched []string
		for _, t := range f.Touched {
			touched = append(touched, fmt.Sprintf("%s %s x%d", t.Operation, t.Path, t.Count))
		}
		if touched != nil {
			text += " (" + strings.Join(touched, ", ") + ")"
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}

// brief returns enough of a digest for comparison by eye.
func brief(digest string) string { return digest[:min(len(digest), 12)] }
