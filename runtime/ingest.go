package runtime

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"auditrelay"
	"auditrelay/document"
	"auditrelay/internal/ingest"
	"auditrelay/runtime/internal/delivery"
	"auditrelay/runtime/internal/journal"
)

// ingestFilters process events before the journal stores them.
type ingestFilters struct {
	judge   *judge
	steps   Callback // a Callback that only serves to release its filters
	failing atomic.Bool
}

// SetIngest replaces the filters before the journal, between two events; see Options.Ingest. The runtime
// owns the new filters from the call on, and closes the old ones.
func (r *Runtime) SetIngest(steps []Step) {
	var next *ingestFilters
	if len(steps) > 0 {
		c := Callback{Name: "ingest", Steps: slices.Clone(steps)}
		for i := range c.Steps {
			c.Steps[i].Emits = nil // a record needs a source event in the journal, which does not exist yet
		}
		next = &ingestFilters{judge: r.judging().newJudge(&c), steps: c}
		r.retain(c)
	}
	// Each Submit holds accepting for reading. So under the write lock no Submit uses the old filters.
	r.accepting.Lock()
	old := r.ingest.Swap(next)
	r.accepting.Unlock()
	if err := r.closeIngest(old); err != nil {
		r.log.Error("filters before the journal could not be closed", "error", err)
	}
}

func (r *Runtime) closeIngest(f *ingestFilters) error {
	if f == nil {
		return nil
	}
	f.judge.close()
	return r.release(f.steps)
}

// filterIngest returns the event to store. An error means that the filters made no decision; the sender may
// retry.
func (r *Runtime) filterIngest(ctx context.Context, f *ingestFilters, e auditrelay.Event) (auditrelay.Event, error) {
	mark := &auditrelay.Ingest{Digest: r.receivedDigest(e.Data)}
	judged, err := f.judge.single(ctx, &e)
	switch {
	case err != nil:
	case judged.Cause == auditrelay.CausePanic:
		err = judged.Err
	case judged.Outcome == auditrelay.Delivered:
		e.Ingest = mark
		if bytes.Equal(judged.Data, oneLine(e.Data)) {
			return e, nil
		}
		return r.left(e, judged.Data), nil
	case judged.Outcome == auditrelay.Filtered:
		mark.Outcome = auditrelay.Filtered
		return r.emptied(e, mark), nil
	default:
		mark.Outcome = auditrelay.Discarded
		r.counters.ingestFailed.Add(1)
		if !f.failing.Swap(true) {
			r.log.Error("a filter before the journal fails; its events are rejected (counted, and not logged again until the filters change)",
				"filter", judged.Filter, "cause", judged.Cause, "error", judged.Err)
		}
		return r.emptied(e, mark), nil
	}
	if ctx.Err() != nil {
		return e, ctx.Err()
	}
	return e, &UnavailableError{RetryAfter: blockedRetry, Err: fmt.Errorf("%w: %w", errCannotJudge, err)}
}

var errCannotJudge = errors.New("a filter before the journal could not judge")

// left returns e with the data that the filters left. It takes all fields that the journal stores from that
// data too.
func (r *Runtime) left(e auditrelay.Event, data []byte) auditrelay.Event {
	received := e
	e.Data = data
	if e.Mapping != nil {
		return r.leftMapped(e, &received)
	}
	now, err := ingest.Check(data, ingest.Limits{EventBytes: maxIngested, Depth: maxIngestedDepth, IDBytes: r.limits.IDBytes, Reserved: true})
	if err != nil { // it lacks a required field
		return r.bare(e)
	}
	now.Provenance, now.Ingest, now.Namespace = e.Provenance, e.Ingest, e.Namespace
	if now.ID != received.ID {
		now.ID = r.idDigest(received)
	}
	return now
}

// Limits of the filtered document: the received event and the maximum size of edits.
const (
	maxIngested      = 1 << 30
	maxIngestedDepth = 10_000
)

// emptied returns e without its data.
func (r *Runtime) emptied(e auditrelay.Event, mark *auditrelay.Ingest) auditrelay.Event {
	e.Ingest, e.Data = mark, []byte("{}")
	return r.bare(e)
}

// bare returns e without its time and without any text that its sender chose.
func (r *Runtime) bare(e auditrelay.Event) auditrelay.Event {
	e.ID = r.idDigest(e)
	e.TimeFrom = auditrelay.TimeMissing
	if !e.Action.Known() {
		e.Action = ""
	}
	return e
}

func (r *Runtime) idDigest(e auditrelay.Event) string {
	mac := hmac.New(sha256.New, r.tombstoneKey)
	fmt.Fprintf(mac, "id\x00%s\x00%s", e.Namespace, e.ID)
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// receivedDigest returns a keyed digest of the event as received. Equal events have equal digests, even if
// their JSON text differs.
func (r *Runtime) receivedDigest(data []byte) (digest [16]byte) {
	mac := hmac.New(sha256.New, r.tombstoneKey)
	mac.Write([]byte("received\x00"))
	text, ok := document.AppendCanonical(nil, data)
	if !ok {
		text = data
	}
	mac.Write(text)
	copy(digest[:], mac.Sum(nil))
	return digest
}

// bury stores the tombstones of events on which a filter failed, and namespaces that had no event yet.
func (r *Runtime) bury(events []auditrelay.Event, fresh []string) error {
	var tx journal.Tx
	for _, name := range fresh {
		tx.Set(namespaceKey(name), []byte{1})
	}
	for _, e := range events {
		tx.Append(e)
	}
	if _, err := r.journal.Commit(&tx); err != nil {
		return unavailable(err)
	}
	r.namespaces.add(fresh)
	return nil
}

// atIngest returns the outcome of an event that a filter before the journal dropped or failed on.
func atIngest(e *auditrelay.Event) (delivery.Judged, bool) {
	if e.Ingest == nil || e.Ingest.Outcome == auditrelay.Pending {
		return delivery.Judged{}, false
	}
	return delivery.Judged{Event: e, Outcome: e.Ingest.Outcome, Cause: auditrelay.CauseIngest}, true
}

// single processes one event outside a chunk.
func (j *judge) single(ctx context.Context, e *auditrelay.Event) (delivery.Judged, error) {
	select {
	case w := <-j.idle:
		if w == nil {
			w = j.newWorker()
		}
		defer j.release(w)
		v := j.outcomes(ctx, w, []*auditrelay.Event{e})[0]
		return v.judged, v.err
	case <-ctx.Done():
		return delivery.Judged{}, ctx.Err()
	}
}
