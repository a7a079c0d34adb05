package client

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"auditrelay"
	"auditrelay/cli/internal/api"
)

// Limits of a report.
const (
	maxReportDays     = 92
	maxReportReceipts = 200_000
	maxReportActs     = 2_000
)

var errEnough = errors.New("enough")

// Report builds a report of a period of whole UTC days from several requests. to is exclusive.
// It omits data that the caller's roles do not show, and adds a note.
func (c *Client) Report(ctx context.Context, from, to time.Time) (api.Report, error) {
	r := api.Report{From: from.UTC(), To: to.UTC(), Made: time.Now().UTC(), Days: []api.CompleteDay{}, Callbacks: []api.ReportCallback{}, Policies: []api.KeptText{}, Acts: []api.ReportAct{}, Logs: []api.CompleteLog{}}
	if !from.Before(to) {
		return r, &api.Error{Status: http.StatusBadRequest, Reason: api.ReasonBadRequest, Field: "to", Message: "expected a day after from"}
	}
	days := int(r.Made.Sub(from).Hours()/24) + 1
	if days > maxReportDays {
		r.Notes = append(r.Notes, fmt.Sprintf("Days more than %d days ago are not counted.", maxReportDays))
	}
	complete, err := c.Completeness(ctx, min(max(days, 1), maxReportDays))
	if err != nil {
		return r, err
	}
	r.Logs = complete.Logs
	for _, d := range complete.Days {
		if !d.Day.Before(from) && d.Day.Before(to) {
			r.Days = append(r.Days, d)
			r.Events += d.Events
		}
	}
	history, err := c.PolicyHistory(ctx)
	if err != nil {
		return r, err
	}
	for _, k := range history {
		if k.Since.Before(to) && (k.Until.IsZero() || k.Until.After(from)) {
			r.Policies = append(r.Policies, k)
		}
	}
	if err := c.reportReceipts(ctx, &r); err != nil {
		return r, err
	}
	return r, c.reportActs(ctx, &r)
}

// reportReceipts counts the receipts of the period's events. Most events have equal receipts,
// which are stored once.
func (c *Client) reportReceipts(ctx context.Context, r *api.Report) error {
	type place struct {
		callback string
		sequence uint64
	}
	type kind struct {
		receipt api.Receipt
		events  uint64
	}
	last, kinds := map[place]*kind{}, map[string]*kind{}
	n := 0
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	err := c.Receipts(ctx, api.ReceiptQuery{From: r.From.Format(time.RFC3339), To: r.To.Format(time.RFC3339)}, func(line []byte) error {
		if n++; n > maxReportReceipts {
			return errEnough
		}
		var one struct {
			api.Receipt
			Now *auditrelay.Outcome `json:"now"` // nil if the relay does not send it
		}
		if err := json.Unmarshal(line, &one); err != nil {
			return err
		}
		if one.Now == nil {
			one.Now = &one.Outcome
			if one.Refused != "" {
				one.Now = new(auditrelay.DeadLettered)
			}
		}
		if one.Replay != "" {
			return nil
		}
		same := api.Receipt{Callback: one.Callback, Now: *one.Now, Cause: one.Cause, Filter: one.Filter, Refused: one.Refused, Filters: one.Filters}
		key, err := json.Marshal(same)
		if err != nil {
			return err
		}
		k := kinds[string(key)]
		if k == nil {
			k = &kind{receipt: same}
			kinds[string(key)] = k
		}
		at := place{k.receipt.Callback, one.Sequence}
		if before := last[at]; before != nil {
			before.events--
		}
		last[at] = k
		k.events++
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
		r.Notes = append(r.Notes, fmt.Sprintf("Only the first %d receipts of the period are counted. Ask for a shorter period.", maxReportReceipts))
	}
	if err != nil {
		return err
	}
	counts := map[string]*api.ReportCallback{}
	for _, k := range kinds {
		if k.events > 0 {
			countKind(counts, &k.receipt, k.events)
		}
	}
	for _, b := range counts {
		r.Callbacks = append(r.Callbacks, *b)
	}
	slices.SortFunc(r.Callbacks, func(a, b api.ReportCallback) int { return strings.Compare(a.Callback, b.Callback) })
	return nil
}

// countKind counts a number of events with the same receipt.
func countKind(counts map[string]*api.ReportCallback, one *api.Receipt, events uint64) {
	b := counts[one.Callback]
	if b == nil {
		b = &api.ReportCallback{Callback: one.Callback, Outcomes: map[auditrelay.Outcome]uint64{}, Causes: map[string]uint64{}, Edits: map[string]uint64{}, Versions: map[string]uint64{}}
		counts[one.Callback] = b
	}
	b.Outcomes[one.Now] += events
	if one.Now != auditrelay.Delivered {
		cause := cmp.Or(string(one.Refused), string(one.Cause))
		switch one.Now {
		case auditrelay.Pending:
			cause = "not delivered yet"
		case auditrelay.Skipped:
			cause = cmp.Or(cause, "given up")
		}
		b.Causes[strings.TrimSuffix(cause+", filter "+one.Filter, ", filter ")] += events
	}
	for _, f := range one.Filters {
		b.Versions[f.Name+" "+f.Digest[:min(12, len(f.Digest))]] += events
		for _, t := range f.Touched {
			b.Edits[t.Operation+" "+t.Path] += events * uint64(max(t.Count, 0))
		}
	}
}

// reportActs lists the own records of the period.
func (c *Client) reportActs(ctx context.Context, r *api.Report) error {
	first := uint64(0)
	for _, d := range r.Days {
		if d.Events > 0 && (first == 0 || d.First < first) {
			first = d.First
		}
	}
	if first == 0 {
		return nil
	}
	for next := first; next > 0; {
		page, err := c.Control(ctx, api.ControlQuery{From: next, Limit: 1000})
		if refused, ok := errors.AsType[*api.Error](err); ok && refused.Status == http.StatusForbidden {
			r.Notes = append(r.Notes, "Who did what needs the role auditor or comply.")
			return nil
		}
		if err != nil {
			return err
		}
		for i := range page.Records {
			e := &page.Records[i]
			if !e.Received.Before(r.To) {
				return nil
			}
			if len(r.Acts) == maxReportActs {
				r.Notes = append(r.Notes, fmt.Sprintf("Only the first %d acts are listed. The control records have all.", maxReportActs))
				return nil
			}
			act := api.ReportAct{Sequence: e.Sequence, At: e.Received}
			if own, err := e.OwnRecord(); err == nil {
				act.By, act.Act, act.On, act.Outcome, act.Reason = own.By, own.Control.Act, own.Table+" "+own.Object, own.Control.Outcome, own.Control.Reason
			}
			r.Acts = append(r.Acts, act)
		}
		next = page.Next
	}
	return nil
}
