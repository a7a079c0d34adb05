package runtime

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"auditrelay"
	"auditrelay/internal/receipts"
	"auditrelay/runtime/internal/delivery"
	"auditrelay/runtime/internal/journal"
)

// Receipt says what one callback did to one event. It contains nothing of the event but its identity.
type Receipt struct {
	Callback  string
	Replay    string
	Sequence  uint64
	Namespace string // empty, like ID, if retention removed the event
	ID        string
	At        time.Time // time of the seal
	// Again: this processing replayed a dead letter.
	Again bool

	// Outcome is the outcome at the seal. Delivered means that delivery was due; Now has the result. If the
	// destination rejected the event later, Refused has the cause.
	Outcome auditrelay.Outcome
	// Now is the event's outcome when the receipt is read, the same for all receipts of the event. It is
	// Pending while the event waits for delivery.
	Now     auditrelay.Outcome
	Cause   auditrelay.Cause
	Filter  string // the filter that decided or failed
	Reason  string
	Refused auditrelay.Cause // the cause, if the event became a dead letter after the seal
	Emitted int              // number of emitted records

	Filters []ReceiptFilter // the filters that processed the event, in order
	// Input and Output are keyed digests, in hexadecimal, of the accepted event and of
	// the outgoing document. Equal documents have equal digests.
	Input  string
	Output string
	Config string // the digest of the callback's configuration
}

// ReceiptFilter is the work of one filter on the event.
type ReceiptFilter struct {
	Name    string
	Kind    string // wasm or redact
	Digest  string // digest of the module or the policy
	Version string // from the module's manifest
	Touched []ReceiptTouch
}

// ReceiptTouch counts one kind of edit by path and operation.
type ReceiptTouch struct {
	Path      string
	Operation string
	Count     int
}

// ReceiptQuery selects receipts. The zero value selects all.
type ReceiptQuery struct {
	Callback string // a callback with its replays; empty: all callbacks
	// From and To are the half-open range of sequences; To 0 means the head. FromTime and
	// ToTime, if set, bound the time of receipt instead.
	From, To         uint64
	FromTime, ToTime time.Time
	// ID selects one event in Namespace. An empty Namespace means any.
	Namespace, ID string
}

// Receipts calls fn with each receipt that q selects, by callback and then by sequence. Receipts of
// replayed dead letters come last. fn may keep the Receipt. Receipts stops with an error of fn, of ctx, or
// of a damaged frame of receipts. ErrNoCallback: no callback has this name. ErrNotSeen: no event has this
// ID.
func (r *Runtime) Receipts(ctx context.Context, q ReceiptQuery, fn func(Receipt) error) error {
	from, to := q.From, q.To
	if !q.FromTime.IsZero() {
		from = r.journal.SeekTime(q.FromTime)
	}
	if !q.ToTime.IsZero() {
		to = r.journal.SeekTime(q.ToTime)
	}
	if head := r.journal.Head().Next; to == 0 || to > head {
		to = head
	}
	if q.ID != "" {
		sequence, _, err := r.lookup(q.Namespace, q.ID)
		if err != nil {
			return err
		}
		from, to = max(from, sequence), min(to, sequence+1)
	}
	if from >= to {
		from, to = 0, 0
	}
	states, err := delivery.States(r.journal)
	if err != nil {
		return err
	}
	found := q.Callback == ""
	for _, s := range states {
		if q.Callback != "" && s.Callback != q.Callback {
			continue
		}
		found = true
		if from == to {
			continue
		}
		if err := r.laneReceipts(ctx, s, from, to, fn); err != nil {
			return err
		}
	}
	if !found {
		return fmt.Errorf("callback %q: %w", q.Callback, ErrNoCallback)
	}
	return nil
}

func (r *Runtime) laneReceipts(ctx context.Context, s *delivery.State, from, to uint64, fn func(Receipt) error) error {
	ends := delivery.NewExplainer(r.journal, s)
	return delivery.Receipts(r.journal, r.receipts, s, from, to, func(d delivery.Receipt) error {
		if err := errors.Join(ctx.Err(), r.ctx.Err()); err != nil {
			return err
		}
		end, err := ends.Explain(&auditrelay.Event{Sequence: d.Sequence}) // the event has a receipt, so it was assigned
		if err != nil {
			return err
		}
		out := receiptOf(s, &d)
		out.Now = d.Outcome // this is all that is known after retention removed the chunk
		if end.Assigned {
			out.Now = end.Outcome
		}
		if d.Again && (out.Now == auditrelay.DeadLettered || out.Now == auditrelay.Discarded) {
			out.Refused = end.Cause
		}
		if !d.Again && d.Outcome == auditrelay.Delivered {
			cause, err := delivery.Refused(r.journal, s, d.Sequence)
			if err != nil {
				return err
			}
			out.Refused = cause
		}
		e, err := r.journal.Event(d.Sequence)
		switch {
		case err == nil:
			out.Namespace, out.ID = e.Namespace, e.ID
		case !errors.Is(err, journal.ErrTrimmed):
			return err
		}
		return fn(out)
	})
}

func receiptOf(s *delivery.State, d *delivery.Receipt) Receipt {
	out := Receipt{Callback: s.Callback, Sequence: d.Sequence, At: d.At, Again: d.Again,
		Outcome: d.Outcome, Cause: d.Cause, Filter: d.Filter, Reason: d.Reason, Emitted: d.Emitted,
		Input: digestText(d.Input), Output: digestText(d.Output), Config: d.Config}
	if s.Replay != nil {
		out.Replay = s.Replay.ID
	}
	for _, v := range d.Trail {
		f := ReceiptFilter{Name: v.Filter, Kind: v.Kind, Digest: v.Digest, Version: v.Version}
		for _, t := range v.Touched {
			f.Touched = append(f.Touched, ReceiptTouch{t.Path, t.Operation, t.Count})
		}
		out.Filters = append(out.Filters, f)
	}
	return out
}

func digestText(d receipts.Digest) string {
	if d == (receipts.Digest{}) {
		return ""
	}
	return hex.EncodeToString(d[:])
}
