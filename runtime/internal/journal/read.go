package journal

import (
	"errors"
	"fmt"

	"auditrelay"
)

// Read returns events from sequence from on, without gaps and at least one if there is one. It
// returns at most maxEvents, stops once their Data exceeds maxBytes, and stops at the end of
// the first event's period. next is the from of the next call. The events are immutable and may
// share memory with those of other calls.
//
// Errors: ErrTrimmed if from is below Oldest; *ErasedError if the period's key was destroyed,
// with the period's end; *CorruptError with the damaged or missing sequences. Read returns the
// events before the fault together with the error.
func (j *Journal) Read(from uint64, maxEvents int, maxBytes int64) (events []auditrelay.Event, next uint64, err error) {
	done, err := j.reading()
	if err != nil {
		return nil, from, err
	}
	defer done()
	s := j.state.Load()
	if from < s.oldest {
		return nil, from, fmt.Errorf("journal: read from %d, oldest is %d: %w", from, s.oldest, ErrTrimmed)
	}
	if from >= s.next || maxEvents <= 0 {
		return nil, from, nil
	}
	p, end := j.keyring.Load().at(from)
	end = min(end, s.next)
	if p != nil && p.Erased() {
		return nil, from, &ErasedError{Period: p.Number, From: from, To: end}
	}
	events, ok := j.recent.read(from, end, maxEvents, maxBytes)
	if !ok {
		events, err = j.behind.read(j, from, end, maxEvents, maxBytes)
	}
	return events, from + uint64(len(events)), err
}

// raw has the offsets of one event in the arena.
type raw struct {
	received          int64
	start, head, data int // offsets of head and data, and the end of data
}

func (j *Journal) read(from, end uint64, maxEvents int, maxBytes int64) ([]auditrelay.Event, error) {
	it, err := j.store.Iterate(eventKey(from), eventKey(end))
	if err != nil {
		return nil, j.damaged(from, end, err)
	}
	defer it.Close()
	var (
		heads, arena []byte
		scratch      []byte
		raws         []raw
		bytes        int64
		fault        error
		sequence     = from
	)
	for ok := it.First(); ok && len(raws) < maxEvents; ok = it.Next() {
		if k := keySequence(it.Key()); k != sequence {
			fault = &CorruptError{From: sequence, To: k, Err: errMissing}
			break
		}
		record, err := it.ValueAndErr()
		if err != nil {
			fault = j.damaged(sequence, sequence+1, err)
			break
		}
		received, body, err := j.body(sequence, record, scratch)
		var head, data []byte
		if err == nil {
			head, data, err = splitBody(body)
		}
		if err != nil {
			fault = j.damaged(sequence, sequence+1, err)
			break
		}
		if cap(body) > cap(scratch) && recordSealed(record) {
			scratch = body
		}
		if bytes += int64(len(data)); len(raws) > 0 && bytes > maxBytes {
			break
		}
		r := raw{received: received, start: len(heads), head: len(head)}
		heads = append(heads, head...)
		arena = append(arena, data...)
		r.data = len(arena)
		raws = append(raws, r)
		sequence++
	}
	if err := it.Error(); err != nil && fault == nil {
		fault = j.damaged(sequence, end, err)
	}
	if fault == nil && len(raws) < maxEvents && sequence < end && !it.Valid() {
		fault = &CorruptError{From: sequence, To: end, Err: errMissing}
	}

	text := string(heads)
	events := make([]auditrelay.Event, len(raws))
	start := 0
	for i, r := range raws {
		head := r.start + r.head
		e, err := decodeEvent(from+uint64(i), r.received, text[r.start:head], heads[r.start:head], arena[start:r.data:r.data])
		if err != nil {
			return events[:i], j.damaged(from+uint64(i), from+uint64(i)+1, err)
		}
		events[i], start = e, r.data
	}
	return events, fault
}

// Event returns one event in newly allocated memory.
func (j *Journal) Event(sequence uint64) (auditrelay.Event, error) {
	events, _, err := j.Read(sequence, 1, 0)
	if err == nil && len(events) == 0 {
		err = fmt.Errorf("journal: there is no event %d yet", sequence)
	}
	if err != nil {
		return auditrelay.Event{}, err
	}
	return events[0], nil
}

// stored reads one durable event. The caller must hold the journal open.
func (j *Journal) stored(sequence uint64) (auditrelay.Event, error) {
	events, err := j.read(sequence, sequence+1, 1, 0)
	if err != nil {
		return auditrelay.Event{}, err
	}
	return events[0], nil
}

// identified reports whether the event at sequence has this identity.
func (j *Journal) identified(sequence uint64, namespace, id string) (bool, error) {
	record, closer, err := j.store.Get(eventKey(sequence))
	if err != nil {
		if errors.Is(err, ErrAbsent) {
			err = errMissing
		}
		return false, j.damaged(sequence, sequence+1, err)
	}
	defer closer.Close()
	_, body, err := j.body(sequence, record, nil)
	if err != nil {
		return false, j.damaged(sequence, sequence+1, err)
	}
	head, _, err := splitBody(body)
	return err == nil && sameIdentity(head, namespace, id), j.damaged(sequence, sequence+1, err)
}

func firstOf(a, b error) error {
	if a != nil {
		return a
	}
	return b
}
