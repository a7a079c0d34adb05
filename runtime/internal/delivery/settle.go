package delivery

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"auditrelay"
	"auditrelay/runtime/internal/journal"
)

// Sent is the result of one delivery attempt, with what the owner prepared for
// it outside the lane: the sink's Split and Render are pure, but not quick.
type Sent struct {
	Number  uint64
	Receipt auditrelay.Receipt
	Err     error // as Sink.Deliver returned it
	// replacement is what stands in the payload's place from now on, where it
	// failed for good.
	replacement *replacement
}

// Replaced reports whether the payload failed for good, and what takes its place
// is prepared.
func (s *Sent) Replaced() bool { return s.replacement != nil }

type replacement struct {
	payloads []auditrelay.Payload
	marks    []payloadMarks
	dead     []*Judged // the records that are set aside
	given    bool      // tombstones or a manifest that are given up
}

// Judge prepares what becomes of a payload after an attempt: nothing more where
// it went well or may be tried again; halves, or dead letters with tombstones,
// where it is refused for good. It does no I/O but to read from the journal, and
// is safe to call from any goroutine.
func Judge(j *journal.Journal, laneID string, p auditrelay.Payload, receipt auditrelay.Receipt, err error, at Place) (Sent, error) {
	sent := Sent{Number: p.Number, Receipt: receipt, Err: err}
	if err == nil {
		return sent, nil
	}
	perRecord, partial := errors.AsType[*auditrelay.RecordErrors](err)
	kind := auditrelay.KindOf(err)
	if !partial && kind != auditrelay.Refused && kind != auditrelay.TooLarge {
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
	if splitter, ok := at.Sink.(auditrelay.Splitter); ok && !partial && len(p.Sequences) > 1 {
		first, second, splitErr := split(splitter, p)
		if splitErr != nil {
			return sent, fmt.Errorf("split a refused payload of callback %s: %w", at.Callback, splitErr)
		}
		halves := []auditrelay.Payload{first, second}
		marks, splitErr := checkSplit(p, halves, tombstones)
		if splitErr != nil {
			return sent, fmt.Errorf("split a refused payload of callback %s: %w", at.Callback, splitErr)
		}
		if at.Gate != nil {
			inspector := at.Gate.Inspector()
			for i := range halves {
				if leak := inspector.Payload(&halves[i], nil); leak != nil {
					return sent, fmt.Errorf("split a refused payload of callback %s: %w", at.Callback, withheld(leak))
				}
			}
		}
		sent.replacement = &replacement{payloads: halves, marks: marks}
		return sent, nil
	}

	failed := map[uint64]auditrelay.RecordError{}
	if partial {
		for _, r := range perRecord.Records {
			if !slices.Contains(p.Sequences, r.Sequence) {
				// Whoever names what was not sent cannot be believed about the rest.
				return sent, fmt.Errorf("callback %s: the sink's Deliver names record %d, which is not in payload %d: %w",
					at.Callback, r.Sequence, p.Number, err)
			}
			failed[r.Sequence] = r
		}
		if len(failed) == 0 {
			return sent, fmt.Errorf("callback %s: the sink's Deliver failed without naming a record: %w", at.Callback, err)
		}
	} else {
		cause := auditrelay.CauseRefused
		if kind == auditrelay.TooLarge {
			cause = auditrelay.CauseTooLarge
		}
		for _, s := range p.Sequences {
			failed[s] = auditrelay.RecordError{Sequence: s, Cause: cause, Err: err}
		}
	}
	r := &replacement{}
	batch := Batch{From: meta.First, To: meta.Last + 1}
	for _, s := range p.Sequences {
		f, ok := failed[s]
		if !ok {
			continue // delivered
		}
		if tombstones[s] {
			if !partial { // refused only for the company it was in
				judged, err := tombstoned(j, laneID, meta.Chunk, s)
				if err != nil {
					return sent, err
				}
				batch.Judged = append(batch.Judged, judged)
			}
			continue
		}
		if f.Cause == auditrelay.CauseNone {
			f.Cause = auditrelay.CauseRefused
		}
		event, err := originOf(j, laneID, s, meta.Dead)
		if err != nil {
			return sent, err
		}
		judged := Judged{Event: event, Outcome: auditrelay.DeadLettered, Cause: f.Cause, Err: f.Err}
		r.dead = append(r.dead, &judged)
		if !meta.Dead {
			batch.Judged = append(batch.Judged, judged)
		}
	}
	if len(r.dead) == 0 && !partial {
		// Tombstones alone, and refused: there is nothing smaller to send.
		r.given = true
		batch.Judged = nil
	}
	// A replay of dead letters leaves no second tombstone.
	if len(batch.Judged) > 0 {
		at.Receipts = nil // the chunk has them
		a, err := Assemble(batch, at)
		if err != nil {
			return sent, err
		}
		r.payloads, r.marks = a.payloads, a.marks
	}
	sent.replacement = r
	return sent, nil
}

// tombstoned tells again why a tombstone stands for the event of that sequence.
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

// checkSplit holds a sink to its contract: two payloads, neither empty, with the
// same records in the same order.
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

// originOf reads the event as it was accepted.
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

// Settle brings the result of an attempt into tx and into the lane. It reports
// whether anything durable changed, so that tx is to be committed.
func (l *Lane) Settle(tx *journal.Tx, now time.Time, sent Sent) (changed bool, err error) {
	p := l.find(sent.Number)
	if p == nil {
		return false, fmt.Errorf("settle payload %d of callback %s: it is not sealed", sent.Number, l.state.LaneName())
	}
	p.busy, p.failing = false, false
	if sent.Err == nil {
		l.holdUntil = time.Time{}
		l.recover(now)
		return true, l.settleDelivered(tx, now, p, sent)
	}
	if sent.replacement == nil {
		l.retryLater(now, p, sent.Err)
		return false, nil
	}
	l.failures[auditrelay.KindOf(sent.Err).String()]++
	return true, l.settleRefused(tx, now, p, sent)
}

// Unsettle reports that a delivery could not even be tried, or its refusal not
// be handled: the payload is tried again after a pause.
func (l *Lane) Unsettle(now time.Time, number uint64, err error) {
	if p := l.find(number); p != nil {
		p.busy = false
		l.retryLater(now, p, err)
	}
}

// Abandon reports that an attempt was broken off by the owner: it says nothing
// of the destination.
func (l *Lane) Abandon(number uint64) {
	if p := l.find(number); p != nil {
		p.busy = false
	}
}

func (l *Lane) settleDelivered(tx *journal.Tx, now time.Time, p *pending, sent Sent) error {
	if p.Dead && !p.Manifest {
		if err := l.resolveDelivered(tx, now, p, nil); err != nil {
			return err
		}
	} else {
		l.state.Counts.add(auditrelay.Delivered, int64(p.Events))
	}
	if err := l.close(tx, p, receipt{Number: p.Number, Key: p.Key, Location: sent.Receipt.Location, Version: sent.Receipt.Version,
		Duplicate: sent.Receipt.Duplicate, Unverified: sent.Receipt.Unverified, Attempts: p.attempts, At: now}); err != nil {
		return err
	}
	return l.state.put(tx)
}

// resolveDelivered resolves the dead letters in p, but for those that failed.
func (l *Lane) resolveDelivered(tx *journal.Tx, now time.Time, p *pending, failed map[uint64]bool) error {
	sequences, _, err := decodeSequences(p.Records)
	if err != nil {
		return err
	}
	for _, s := range sequences {
		if failed[s] {
			continue
		}
		d, err := loadDeadLetter(l.journal, l.state.ID, s)
		if err != nil {
			return err
		}
		if d == nil || d.Resolved != auditrelay.Pending {
			continue
		}
		l.resolve(d, auditrelay.Delivered, now)
		d.Payload = p.Number
		if err := l.putDeadLetter(tx, d); err != nil {
			return err
		}
	}
	return nil
}

// close removes a payload and leaves its receipt.
func (l *Lane) close(tx *journal.Tx, p *pending, r receipt) error {
	r.First, r.Last = p.First, p.Last
	value, err := json.Marshal(&r)
	if err != nil {
		return fmt.Errorf("encode a receipt of callback %s: %w", l.state.LaneName(), err)
	}
	tx.SetAbout(p.of(), journal.ReceiptKey(l.state.ID, p.Number), value)
	tx.Delete(journal.PayloadKey(l.state.ID, p.Number))
	tx.Delete(journal.BodyKey(l.state.ID, p.Number))
	l.remove(p.Number)
	return nil
}

// settleRefused replaces a payload that failed for good.
func (l *Lane) settleRefused(tx *journal.Tx, now time.Time, p *pending, sent Sent) error {
	r := sent.replacement
	l.note(now, sent.Err)
	halves := len(r.dead) == 0 && !r.given && len(r.payloads) > 0
	failed := map[uint64]bool{}
	for _, j := range r.dead {
		failed[j.Event.Sequence] = true
		l.cause(j.Cause)
		if p.Dead {
			d, err := loadDeadLetter(l.journal, l.state.ID, j.Event.Sequence)
			if err != nil {
				return err
			}
			if d == nil {
				continue
			}
			d.again(j, now)
			if err := l.putDeadLetter(tx, d); err != nil {
				return err
			}
			continue
		}
		l.state.Counts.add(auditrelay.DeadLettered, 1)
		if err := l.putDeadLetter(tx, newDeadLetter(j, now)); err != nil {
			return err
		}
	}
	if !halves && !p.Manifest {
		if p.Dead {
			if err := l.resolveDelivered(tx, now, p, failed); err != nil {
				return err
			}
		} else {
			l.state.Counts.add(auditrelay.Delivered, int64(p.Events)-int64(len(r.dead)))
		}
	}
	first := l.state.Number + 1
	entries, err := l.sealPayloads(tx, r.payloads, r.marks, sealing{chunk: p.Chunk, dead: p.Dead, of: p.of(), oldest: p.Oldest, origin: p.place()})
	if err != nil {
		return err
	}
	if !p.Manifest { // to tell of a manifest that was refused takes another, refused alike
		if err := l.amend(tx, p.of(), auditrelay.Amendment{Number: p.Number, By: entries}); err != nil {
			return err
		}
	}
	closing := receipt{Number: p.Number, Key: p.Key, Attempts: p.attempts, At: now, Error: errorText(sent.Err)}
	for i := range entries {
		closing.By = append(closing.By, first+uint64(i))
	}
	if err := l.close(tx, p, closing); err != nil {
		return err
	}
	l.order()
	return l.state.put(tx)
}

// order sorts what is pending so that what replaced a payload stands in its
// place: an in-order sink goes on where it was.
func (l *Lane) order() {
	slices.SortStableFunc(l.pending, func(a, b *pending) int {
		return cmp.Or(cmp.Compare(a.place(), b.place()), cmp.Compare(a.First, b.First), cmp.Compare(a.Number, b.Number))
	})
}

// place is the number of the payload that this one descends from, or its own.
func (p *pending) place() uint64 {
	if p.Origin != 0 {
		return p.Origin
	}
	return p.Number
}
