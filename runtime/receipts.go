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

// Receipt says what was done to one event on one callback when it was judged. It
// holds nothing of the event but its identity.
type Receipt struct {
	Callback  string
	Replay    string
	Sequence  uint64
	Namespace string // empty, like ID, where the event is forgotten
	ID        string
	At        time.Time // of the seal
	// Again: it was a dead letter, and was judged again.
	Again bool

	// Outcome is that of the seal. Delivered means that it was to be delivered; what
	// became of that is for Explain to say, and where the destination refused it,
	// Refused says so here.
	Outcome auditrelay.Outcome
	Cause   auditrelay.Cause
	Filter  string // that decided or failed
	Reason  string
	Refused auditrelay.Cause // set aside after the seal, and why
	Emitted int              // records

	Filters []ReceiptFilter // that saw it, in order
	// Input and Output are keyed digests, in hexadecimal, of the event as accepted and
	// of the document that went out. Equal documents have equal digests.
	Input  string
	Output string
	Config string // the digest of the callback's configuration
}

// ReceiptFilter is one filter's visit.
type ReceiptFilter struct {
	Name    string
	Kind    string // wasm, redact
	Digest  string // of the module or the policy
	Version string // as the module says
	Touched []ReceiptTouch
}

// ReceiptTouch is one kind of edit.
type ReceiptTouch struct {
	Path      string
	Operation string
	Count     int
}

// ReceiptQuery selects receipts. The zero value selects all.
type ReceiptQuery struct {
	Callback string // with its replays
	// From and To bound the sequences, half open; To 0 means up to the head. The
	// times bound the received time instead, where they are set.
	From, To         uint64
	FromTime, ToTime time.Time
	// ID selects one event, in Namespace or, where that is empty, in all.
	Namespace, ID string
}

// Receipts calls fn with the receipts that q selects: by callback, then by
// sequence, those of dead letters that were judged again last. The Receipt is fn's
// to keep. A frame of receipts that is damaged is an error, and so is fn's own; it
// ends with ctx too.
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
		sequence, err := r.lookup(q.Namespace, q.ID)
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
	return delivery.Receipts(r.journal, r.receipts, s, from, to, func(d delivery.Receipt) error {
		if err := errors.Join(ctx.Err(), r.ctx.Err()); err != nil {
			return err
		}
		out := receiptOf(s, &d)
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
