package cli

import (
	"cmp"
	"fmt"
	"strconv"
	"time"

	"auditrelay/cli/internal/api"
)

type deliveriesCommand struct {
	remote
	Callback  string `arg:"" optional:"" help:"Only of this callback and its replays, or of one replay (callback@id). Default: all."`
	State     string `help:"Only in this state: waiting, sending, failing, undelivered (these three), delivered, replaced, given_up, erased." placeholder:"STATE"`
	Event     string `help:"Only payloads with the event that has this id." placeholder:"ID"`
	Namespace string `help:"The event's namespace, such as litellm, emitted, auditrelay." placeholder:"NAME"`
	After     string `help:"Continue after a page." placeholder:"MARK"`
	Limit     int    `help:"Maximum number." default:"20"`
	Attempts  bool   `help:"Show each attempt."`
	JSON      bool   `help:"Print JSON."`
}

func (c *deliveriesCommand) Run(a *program) error {
	if c.Limit < 1 || c.Limit > 1000 {
		return usage("--limit: a number from 1 to 1000")
	}
	cl, err := c.client()
	if err != nil {
		return err
	}
	q := api.DeliveryQuery{Callback: c.Callback, State: c.State, ID: c.Event, Namespace: c.Namespace, After: c.After, Limit: c.Limit}
	page, err := cl.Deliveries(a.ctx, q)
	for err == nil && len(page.Deliveries) == 0 && page.Next != "" { // nothing in this range
		q.After = page.Next
		page, err = cl.Deliveries(a.ctx, q)
	}
	if err != nil {
		return err
	}
	if page.Next != "" {
		fmt.Fprintf(a.stderr, "there may be more; continue with: --after %s\n", page.Next)
	}
	if c.JSON {
		return a.printJSON(page)
	}
	rows := [][]string{{"CALLBACK", "PAYLOAD", "STATE", "SEQUENCES", "ATTEMPTS", "SETTLED", "NEXT TRY", "WHERE", "WHY"}}
	for i := range page.Deliveries {
		rows = append(rows, deliveryRow(&page.Deliveries[i]))
	}
	if err := a.table(rows); err != nil || !c.Attempts {
		return err
	}
	for i := range page.Deliveries {
		d := &page.Deliveries[i]
		if len(d.History) == 0 {
			continue
		}
		fmt.Fprintf(a.stdout, "\nattempts at payload %d of %s\n", d.Payload, laneName(d.Callback, d.Replay))
		if err := a.table(attemptRows(d.History)); err != nil {
			return err
		}
	}
	return nil
}

func deliveryRow(d *api.Delivery) []string {
	sequences := "manifest"
	switch {
	case d.State == "erased":
		sequences = ""
	case d.First == d.Last && d.Last > 0:
		sequences = count(d.First)
	case d.Last > 0:
		sequences = count(d.First) + "-" + count(d.Last)
	}
	why := string(d.Cause)
	if n := len(d.History); n > 0 {
		why = cmp.Or(why, string(d.History[n-1].Reason))
	}
	if d.Error != "" {
		why += "; " + shortened(d.Error)
	}
	return []string{
		laneName(d.Callback, d.Replay), count(d.Payload), d.State, sequences, strconv.Itoa(d.Attempts),
		moment(d.At), moment(d.NextTry), cmp.Or(d.Location, d.Key), why,
	}
}

// attemptRows returns a table of attempts, in the given order.
func attemptRows(attempts []api.Attempt) [][]string {
	rows := [][]string{{"AT", "PAYLOAD", "TRY", "RESULT", "STATUS", "TOOK", "BYTES", "KIND", "REASON", "NEXT TRY", "WORDS"}}
	for i := range attempts {
		t := &attempts[i]
		status := ""
		if t.Status != 0 {
			status = strconv.Itoa(t.Status)
		}
		rows = append(rows, []string{
			moment(t.At), count(t.Payload), strconv.Itoa(t.Number), t.Result, status, t.Took.Round(time.Microsecond).String(),
			strconv.Itoa(t.Bytes), t.Kind, string(t.Reason), moment(t.NextTry), shortened(cmp.Or(t.Answer, t.Error)),
		})
	}
	return rows
}

// laneName returns the name of a callback or of one of its replays.
func laneName(callback, replay string) string {
	if replay == "" {
		return callback
	}
	return callback + "@" + replay
}
