package journal

import (
	"errors"
	"fmt"

	"auditrelay"
)

// Read returns events from sequence from on, without gaps: at most maxEvents,
// no further event once their Data exceeds maxBytes, and none of another period
// than the first; at least one, if there is one. next is where to go on. The events are
// immutable and may share memory with those that others read.
//
// Errors: ErrTrimmed if from is below Oldest, *ErasedError if its period's key is
// destroyed, with where the period ends, *CorruptError naming what is damaged or
// missing; the events before it are returned along with the error.
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

// raw is one event's parts in the arena.
type raw struct {
	received          int64
	start, head, data int // offsets of head and data, and data's end
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

// Event returns one event, with memory of its own.
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

// stored reads one durable event; the caller holds the journal open.
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
