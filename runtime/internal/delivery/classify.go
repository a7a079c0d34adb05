package delivery

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"auditrelay"
	"auditrelay/runtime/internal/journal"
)

// Sent is the result of one delivery attempt, with the replacement that the owner prepared
// outside the lane. The sink's Split and Render are pure, but may be slow.
type Sent struct {
	Number  uint64
	Receipt auditrelay.Receipt
	Err     error // the error of Sink.Deliver
	// replacement replaces a payload that failed permanently.
	replacement *replacement
}

// Replaced reports whether the payload failed permanently and has a replacement.
func (s *Sent) Replaced() bool { return s.replacement != nil }

type replacement struct {
	payloads []auditrelay.Payload
	marks    []payloadMarks
	dead     []*Judged // the events that become dead letters
	given    bool      // tombstones or a manifest that are given up
}

// Classify prepares the handling of a payload after an attempt. It prepares nothing for a
// success or a retry. For a permanent failure it prepares halves, or dead letters with
// tombstones. It does no I/O except reading from the journal, and is safe for concurrent use.
func Classify(j *journal.Journal, laneID string, p auditrelay.Payload, receipt auditrelay.Receipt, err error, at Place) (Sent, error) {
	sent := Sent{Number: p.Number, Receipt: receipt, Err: err}
	if err == nil || !permanent(err) {
		return sent, nil
	}
	meta, tombstones, loadErr := loadMeta(j, laneID, p.Number)
	if loadErr != nil {
		return sent, loadErr
	}
	if meta.Manifest {
		sent.replacement = &replacement{given: true}
		return sent, nil
	}
	_, partial := errors.AsType[*auditrelay.RecordErrors](err)
	if !partial && auditrelay.KindOf(err) == auditrelay.TooLarge && len(p.Sequences) == 1 && len(tombstones) == 1 {
		sent.Err = limitTooLow(p, err)
		return sent, nil
	}
	var failure error
	if splitter, ok := at.Sink.(auditrelay.Splitter); ok && !partial && len(p.Sequences) > 1 {
		sent.replacement, failure = halve(splitter, p, tombstones, at)
	} else {
		r := refusal{journal: j, laneID: laneID, payload: p, meta: meta, tombstones: tombstones, partial: partial}
		sent.replacement, failure = r.replace(err, at)
	}
	return sent, failure
}

// limitTooLow returns the failure of a single tombstone that the destination calls too large. It is
// smaller than nearly every event, so all of them would become dead letters: the callback stalls.
func limitTooLow(p auditrelay.Payload, err error) error {
	stalled := &auditrelay.DeliveryError{}
	if refused, ok := errors.AsType[*auditrelay.DeliveryError](err); ok {
		*stalled = *refused
	}
	stalled.Kind = auditrelay.Misconfigured
	stalled.Err = fmt.Errorf("%w: even a tombstone of %d bytes is too large: correct the destination's limit, or a proxy's, then replay the dead letters", err, len(p.Body))
	return stalled
}

// permanent reports whether the same payload always fails.
func permanent(err error) bool {
	if _, partial := errors.AsType[*auditrelay.RecordErrors](err); partial {
		return true
	}
	kind := auditrelay.KindOf(err)
	return kind == auditrelay.Refused || kind == auditrelay.TooLarge
}

// halve splits a rejected payload in two.
func halve(splitter auditrelay.Splitter, p auditrelay.Payload, tombstones map[uint64]bool, at Place) (*replacement, error) {
	first, second, err := split(splitter, p)
	var marks []payloadMarks
	halves := []auditrelay.Payload{first, second}
	if err == nil {
		marks, err = checkSplit(p, halves, tombstones)
	}
	if err == nil && at.Gate != nil {
		inspector := at.Gate.Inspector()
		for i := range halves {
			if leak := inspector.Payload(&halves[i], nil); leak != nil {
				err = withheld(leak)
				break
			}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("split a refused payload of callback %s: %w", at.Callback, err)
	}
	return &replacement{payloads: halves, marks: marks}, nil
}

// refusal is a rejected payload that cannot be split, or whose sink named the rejected records.
type refusal struct {
	journal    *journal.Journal
	laneID     string
	payload    auditrelay.Payload
	meta       payloadMeta
	tombstones map[uint64]bool
	partial    bool // the sink named the rejected records and delivered all others
}

// replace dead-letters the rejected records and prepares their tombstones.
func (f *refusal) replace(err error, at Place) (*replacement, error) {
	failed, wrong := f.failed(err)
	if wrong != nil {
		return nil, fmt.Errorf("callback %s: %w", at.Callback, wrong)
	}
	r := &replacement{}
	batch := Batch{From: f.meta.First, To: f.meta.Last + 1}
	for _, s := range f.payload.Sequences {
		record, ok := failed[s]
		if !ok {
			continue // delivered
		}
		if f.tombstones[s] {
			if !f.partial { // rejected only because it was in this payload
				judged, err := tombstoned(f.journal, f.laneID, f.meta.Chunk, s)
				if err != nil {
					return nil, err
				}
				batch.Judged = append(batch.Judged, judged)
			}
			continue
		}
		event, err := originOf(f.journal, f.laneID, s, f.meta.Dead)
		if err != nil {
			return nil, err
		}
		judged := Judged{Event: event, Outcome: auditrelay.DeadLettered, Cause: cmp.Or(record.Cause, auditrelay.CauseRefused), Err: record.Err}
		r.dead = append(r.dead, &judged)
		if !f.meta.Dead { // a replay of dead letters leaves no second tombstone
			batch.Judged = append(batch.Judged, judged)
		}
	}
	if len(r.dead) == 0 && !f.partial {
		// The destination rejected a payload of tombstones. There is nothing smaller to send.
		r.given = true
		return r, nil
	}
	if len(batch.Judged) > 0 {
		at.Receipts = nil // the chunk's frame has the receipts
		a, err := Assemble(batch, at)
		if err != nil {
			return nil, err
		}
		r.payloads, r.marks = a.payloads, a.marks
	}
	return r, nil
}

// failed returns the rejected records with their errors.
func (f *refusal) failed(err error) (map[uint64]auditrelay.RecordError, error) {
	failed := map[uint64]auditrelay.RecordError{}
	if named, ok := errors.AsType[*auditrelay.RecordErrors](err); ok {
		for _, r := range named.Records {
			if !slices.Contains(f.payload.Sequences, r.Sequence) {
				// If a sink names records that were not in the payload, its answer about the
				// others is unreliable.
				return nil, fmt.Errorf("the sink's Deliver names record %d, which is not in payload %d: %w", r.Sequence, f.payload.Number, err)
			}
			failed[r.Sequence] = r
		}
		if len(failed) == 0 {
			return nil, fmt.Errorf("the sink's Deliver failed without naming a record: %w", err)
		}
		return failed, nil
	}
	cause := auditrelay.CauseRefused
	if auditrelay.KindOf(err) == auditrelay.TooLarge {
		cause = auditrelay.CauseTooLarge
	}
	for _, s := range f.payload.Sequences {
		failed[s] = auditrelay.RecordError{Sequence: s, Cause: cause, Err: err}
	}
	return failed, nil
}

// tombstoned returns the outcome and cause of the event behind a tombstone.
func tombstoned(j *journal.Journal, laneID string, chunk, sequence uint64) (Judged, error) {
	event, err := j.Event(sequence)
	if err != nil {
		return Judged{}, err
	}
	judged := Judged{Event: &event, Outcome: auditrelay.DeadLettered}
	d, err := loadDeadLetter(j, laneID, sequence)
	if err != nil {
		return judged, err
	}
	if d != nil {
		judged.Cause = d.Cause
		return judged, nil
	}
	record, err := loadChunk(j, laneID, chunk)
	if err != nil {
		return judged, err
	}
	runs, err := decodeRuns(record.Runs)
	if err != nil {
		return judged, err
	}
	for _, r := range runs {
		if r.first <= sequence && sequence <= r.last() {
			judged.Outcome, judged.Cause = r.outcome, r.cause
		}
	}
	return judged, nil
}

func loadChunk(j *journal.Journal, laneID string, from uint64) (chunkRecord, error) {
	var record chunkRecord
	value, ok, err := j.Get(journal.ChunkKey(laneID, from))
	if err == nil && !ok {
		err = journal.ErrCorrupt
	}
	if err == nil {
		err = json.Unmarshal(value, &record)
	}
	if err != nil {
		return record, fmt.Errorf("read the chunk from %d of callback %s: %w", from, laneID, err)
	}
	return record, nil
}

func split(s auditrelay.Splitter, p auditrelay.Payload) (first, second auditrelay.Payload, err error) {
	defer recoverInto(&err, "the sink's Split")
	return s.Split(p)
}

// checkSplit verifies the sink's contract: two payloads, neither empty, with the same records
// in the same order.
func checkSplit(p auditrelay.Payload, halves []auditrelay.Payload, tombstones map[uint64]bool) ([]payloadMarks, error) {
	marks := make([]payloadMarks, len(halves))
	n := 0
	for i, half := range halves {
		if len(half.Sequences) == 0 {
			return nil, errors.New("one half is empty")
		}
		m := &marks[i]
		m.tombstone = make([]bool, len(half.Sequences))
		m.first = half.Sequences[0]
		for k, s := range half.Sequences {
			if n >= len(p.Sequences) || p.Sequences[n] != s {
				return nil, errors.New("the halves do not hold the same records in the same order")
			}
			n++
			m.first, m.last = min(m.first, s), max(m.last, s)
			if tombstones[s] {
				m.tombstone[k] = true
				m.tombstones++
			} else {
				m.events++
			}
		}
	}
	if n != len(p.Sequences) {
		return nil, errors.New("the halves hold fewer records")
	}
	return marks, nil
}

func loadMeta(j *journal.Journal, laneID string, number uint64) (payloadMeta, map[uint64]bool, error) {
	var meta payloadMeta
	value, ok, err := j.Get(journal.PayloadKey(laneID, number))
	if err == nil && !ok {
		err = journal.ErrCorrupt
	}
	if err == nil {
		err = json.Unmarshal(value, &meta)
	}
	if err != nil {
		return meta, nil, fmt.Errorf("read sealed payload %d of callback %s: %w", number, laneID, err)
	}
	_, tombstones, err := decodeSequences(meta.Records)
	return meta, tombstones, err
}

// originOf reads the accepted event of a sequence.
func originOf(j *journal.Journal, laneID string, sequence uint64, dead bool) (*auditrelay.Event, error) {
	if dead {
		d, err := loadDeadLetter(j, laneID, sequence)
		if err == nil && d == nil {
			err = journal.ErrCorrupt
		}
		if err != nil {
			return nil, fmt.Errorf("read dead letter %d of callback %s: %w", sequence, laneID, err)
		}
		return d.event(), nil
	}
	e, err := j.Event(sequence)
	if err != nil {
		return nil, err
	}
	return &e, nil
}
