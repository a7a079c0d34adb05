package runtime

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"auditrelay"
	"auditrelay/filter"
	"auditrelay/internal/format"
	"auditrelay/internal/gate"
	"auditrelay/internal/ingest"
	"auditrelay/runtime/internal/delivery"
	"auditrelay/runtime/internal/journal"
)

// ParseEvent returns data as the event that Submit would accept, without sequence and time of receipt. The
// event refers to data, so do not change data. The error is an *EventError.
func ParseEvent(data []byte, l Limits) (auditrelay.Event, error) {
	e, err := ingest.Check(data, l.ingest())
	if err != nil {
		return auditrelay.Event{}, err
	}
	if e.TimeFrom == auditrelay.TimeMissing || e.TimeFrom == auditrelay.TimeUnreadable {
		e.Time = e.Received
	}
	return e, nil
}

// Trial is the result of a callback's condition, filters and gate for one event.
type Trial struct {
	Outcome auditrelay.Outcome // Delivered: the sink would get the event
	Cause   auditrelay.Cause
	Filter  string // the filter that decided or failed
	Reason  string
	Err     error
	Data    []byte // the document after all filters; nil if the sink gets none
	Record  []byte // Data in the callback's format; nil if it has no format
	Steps   []TrialStep
	Emitted []TrialRecord
}

// TrialStep is one filter's work on the event.
type TrialStep struct {
	Filter  string
	Verdict auditrelay.Verdict
	Reason  string
	Err     error
	Usage   filter.Usage
	// Description and Touched are as in the receipt.
	Description filter.Description
	Touched     []filter.Touch
}

// TrialRecord is a record that a filter would emit.
type TrialRecord struct {
	Target, Filter string
	Data           []byte
}

// Try runs events through a callback's condition, filters and gate, with the same code and limits as in
// production. It accepts, delivers, emits and stores nothing. If a filter cannot run now, the event would
// wait in production; its Trial has an error and the outcome Pending. The caller keeps ownership of the
// filters and must close them. If ctx ends, Try returns the trials so far and ctx's error.
func Try(ctx context.Context, c Callback, limits Limits, events []auditrelay.Event) ([]Trial, error) {
	if c.Sink == nil && !c.emits() {
		return nil, fmt.Errorf("callback %s has neither a sink nor a filter that may emit: its events would go nowhere", c.Name)
	}
	if _, err := c.newGate(); err != nil {
		return nil, fmt.Errorf("callback %s: must_not_leave: %w", c.Name, err)
	}
	j := judging{workers: 1, record: limits.record(), log: slog.New(slog.DiscardHandler), journal: preview}.newJudge(&c)
	defer j.close()
	w := j.worker()
	defer j.release(w)
	trials := make([]Trial, 0, len(events))
	for i := range events {
		var t Trial
		var final []byte
		w.concluded = func(data []byte) { final = bytes.Clone(data) }
		w.trace = func(v *visit, step int, call *filter.Call, verdict auditrelay.Verdict, err error) {
			s := TrialStep{Filter: j.steps[step].Name, Verdict: verdict, Reason: v.reason(call), Err: err, Usage: call.Usage,
				Description: describe(j.steps[step].Filter, w.instances[step])}
			if err == nil {
				s.Touched = slices.Clone(call.Touched)
			}
			t.Steps = append(t.Steps, s)
		}
		judged, err := j.one(ctx, w, &events[i])
		if ctx.Err() != nil {
			return trials, ctx.Err()
		}
		if _, held := errors.AsType[*heldError](err); err != nil && !held {
			return trials, err
		}
		if err == nil && judged.Outcome == auditrelay.Delivered && j.gate != nil && c.Sink != nil {
			err = tryGate(j.gate, j.format, &c, &judged)
		}
		t.Outcome, t.Cause, t.Filter, t.Reason, t.Err = judged.Outcome, judged.Cause, judged.Filter, judged.Reason, judged.Err
		if err != nil {
			t.Outcome, t.Err = auditrelay.Pending, err
		}
		if t.Outcome == auditrelay.Delivered {
			t.Data = final
			if j.format != nil {
				t.Record = bytes.Clone(judged.Data)
			}
		}
		if t.Outcome == auditrelay.Delivered || t.Outcome == auditrelay.Filtered {
			t.Emitted = records(judged.Emitted)
		}
		trials = append(trials, t)
	}
	return trials, nil
}

// preview replaces the journal's name in the records that Try makes.
const preview = "preview"

// tryGate checks the payload that the sink would make of one event.
func tryGate(g *gate.Gate, f *format.Formatter, c *Callback, judged *delivery.Judged) error {
	at := delivery.Place{Callback: c.Name, Journal: preview, Sink: c.Sink, Gate: g, Format: f}
	a, err := delivery.Assemble(delivery.Batch{From: judged.Event.Sequence, To: judged.Event.Sequence + 1, Judged: []delivery.Judged{*judged}}, at)
	if err != nil {
		return err
	}
	*judged = a.Judged[0]
	return nil
}

func records(emitted []delivery.Emitted) []TrialRecord {
	var out []TrialRecord
	for _, e := range emitted {
		out = append(out, TrialRecord{e.Target, e.Filter, e.Data})
	}
	return out
}

// Try is the function Try for a running callback. with replaces filters by name; the caller keeps ownership
// of those. Try changes nothing in the running callback. Do not call it during Apply.
func (r *Runtime) Try(ctx context.Context, callback string, with map[string]filter.Filter, events []auditrelay.Event) ([]Trial, error) {
	running := r.callbackNamed(callback)
	if running == nil {
		return nil, fmt.Errorf("try callback %s: %w", callback, ErrNoCallback)
	}
	c := running.Callback
	c.Steps = slices.Clone(c.Steps)
	for name, f := range with {
		i := slices.IndexFunc(c.Steps, func(s Step) bool { return s.Name == name })
		if i < 0 {
			return nil, conflict("try callback %s: it has no filter %s", callback, name)
		}
		c.Steps[i].Filter = f
	}
	return Try(ctx, c, r.Limits(), events)
}

// Stored returns at most limit accepted events from sequence from on. next is the from of the next call; at
// the end it equals from. Stored skips erased events. The caller owns the events' Data.
func (r *Runtime) Stored(from uint64, limit int) (events []auditrelay.Event, next uint64, err error) {
	from = max(from, r.journal.Oldest())
	for {
		events, next, err = r.journal.Read(from, limit, 16<<20)
		erased, ok := errors.AsType[*journal.ErasedError](err)
		if !ok || erased.To <= from {
			return events, next, err
		}
		from = erased.To
	}
}
