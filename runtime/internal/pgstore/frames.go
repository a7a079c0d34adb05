package pgstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"auditrelay/runtime/internal/journal"

	"github.com/jackc/pgx/v5"
)

// frames caches information about the table frames.
type frames struct {
	mu                    sync.Mutex
	eventsFrom, indexFrom int64 // lower sequences are trimmed, even if the table still has them
	kept                  []frameRow
	bytes                 int
}

// maxKept limits the frames in memory, since a search for repeated events reads the same ones
// again and again.
const maxKept = 8 << 20

func (f *frames) eventsStart() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.eventsFrom
}

func (f *frames) indexStart() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.indexFrom
}

func (f *frames) setEventsFrom(to int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.eventsFrom = max(f.eventsFrom, to)
}

func (f *frames) setIndexFrom(to int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.indexFrom = max(f.indexFrom, to)
}

// find returns a cached frame with a sequence.
func (f *frames) find(sequence int64) ([]byte, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.kept {
		if value, ok := f.kept[i].event(sequence); ok {
			return value, true
		}
	}
	return nil, false
}

func (f *frames) keep(r frameRow) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(r.events) > maxKept/2 {
		return
	}
	f.kept = append(f.kept, r)
	f.bytes += len(r.events)
	for f.bytes > maxKept {
		f.bytes -= len(f.kept[0].events)
		f.kept = f.kept[1:]
	}
}

var errLengths = errors.New("the lengths of a frame's events are damaged")

// each calls fn for the events of a frame.
func (r *frameRow) each(fn func(sequence int64, value []byte) bool) error {
	rest, lengths := r.events, r.lengths
	for at := r.first; len(lengths) > 0; at++ {
		n, used := binary.Uvarint(lengths)
		if used <= 0 || n > uint64(len(rest)) {
			return &journal.CorruptError{From: uint64(at), To: uint64(at) + 1, Err: errLengths}
		}
		if !fn(at, rest[:n:n]) {
			return nil
		}
		rest, lengths = rest[n:], lengths[used:]
	}
	return nil
}

func (r *frameRow) event(sequence int64) (value []byte, ok bool) {
	if sequence < r.first {
		return nil, false
	}
	_ = r.each(func(at int64, v []byte) bool { // an event in a damaged part is not found
		value, ok = v, at == sequence
		return !ok
	})
	return value, ok
}

// event reads one event.
func (s *Store) event(sequence int64) ([]byte, error) {
	if sequence < s.frames.eventsStart() {
		return nil, journal.ErrAbsent
	}
	if value, ok := s.frames.find(sequence); ok {
		return value, nil
	}
	rows, err := s.rows(sequence, sequence+1, 1)
	if err != nil {
		return nil, err
	}
	for i := range rows {
		if value, ok := rows[i].event(sequence); ok {
			s.frames.keep(rows[i])
			return value, nil
		}
	}
	return nil, journal.ErrAbsent
}

// rows reads at most some frames: the one with sequence, and the later ones that start before
// to, all from one partition.
func (s *Store) rows(sequence, to int64, some int) ([]frameRow, error) {
	number, _, ok := s.parts.of(sequence)
	if !ok {
		return nil, nil
	}
	return query(s, func(rows pgx.Rows) (r frameRow, err error) {
		err = rows.Scan(&r.first, &r.lengths, &r.events)
		return r, err
	}, `SELECT first, lengths, events FROM (
		SELECT first, lengths, events, sum(octet_length(events)) OVER (ORDER BY first ROWS UNBOUNDED PRECEDING) - octet_length(events) AS before
		FROM (SELECT first, lengths, events FROM `+s.names.frames+` WHERE part = $1 AND first < $3
			AND first >= (SELECT max(first) FROM `+s.names.frames+` WHERE part = $1 AND first <= $2) ORDER BY first LIMIT $4) AS few) AS page
		WHERE before < $5 ORDER BY first`, number, sequence, to, some, pageBytes)
}

// eventRows has the events with sequences in [from, to).
type eventRows struct {
	s        *Store
	from, to int64
}

func (r *eventRows) page(key []byte, some int) ([]pair, error) {
	from := max(r.from, sequenceFrom(key))
	if from >= r.to {
		return nil, nil
	}
	rows, err := r.s.rows(from, r.to, max(some/4, 1))
	if err != nil {
		return nil, err
	}
	var list []pair
	for i := range rows {
		err := rows[i].each(func(at int64, value []byte) bool {
			if at >= from && at < r.to {
				list = append(list, pair{journal.AppendEventKey(nil, uint64(at)), value})
			}
			return at < r.to
		})
		if err != nil {
			return list, fmt.Errorf("frame %d: %w", rows[i].first, err)
		}
	}
	return list, nil
}

func (r *eventRows) below(key []byte) (pair, bool, error) {
	last := min(sequenceFrom(key), r.to) - 1
	if last < r.from {
		return pair{}, false, nil
	}
	value, err := r.s.event(last)
	if errors.Is(err, journal.ErrAbsent) {
		return pair{}, false, nil
	}
	return pair{journal.AppendEventKey(nil, uint64(last)), value}, err == nil, err
}

// sequenceFrom returns the smallest sequence whose key is not less than key.
func sequenceFrom(key []byte) int64 {
	least := int64(binary.BigEndian.Uint64(key[1:9]))
	if len(key) > 9 {
		least++
	}
	return least
}

// indexRows has the index records whose first sequences are in [from, to).
type indexRows struct {
	s        *Store
	from, to int64
}

func (r *indexRows) scan(rows pgx.Rows) (p pair, err error) {
	var first int64
	err = rows.Scan(&first, &p.value)
	p.key = journal.AppendIndexKey(nil, uint64(first))
	return p, err
}

func (r *indexRows) page(key []byte, some int) ([]pair, error) {
	for from := max(r.from, sequenceFrom(key)); from < r.to; {
		number, next, ok := r.s.parts.of(from)
		if ok {
			list, err := query(r.s, r.scan, "SELECT first, index FROM "+r.s.names.frames+" WHERE part = $1 AND first >= $2 AND first < $3 ORDER BY first LIMIT $4",
				number, from, r.to, some)
			if err != nil || len(list) > 0 {
				return list, err
			}
		}
		if next == 0 {
			break
		}
		from = next
	}
	return nil, nil
}

func (r *indexRows) below(key []byte) (pair, bool, error) {
	for last := min(sequenceFrom(key), r.to) - 1; last >= r.from; {
		number, _, ok := r.s.parts.of(last)
		if !ok {
			break
		}
		list, err := query(r.s, r.scan, "SELECT first, index FROM "+r.s.names.frames+" WHERE part = $1 AND first >= $2 AND first <= $3 ORDER BY first DESC LIMIT 1", number, r.from, last)
		if err != nil {
			return pair{}, false, err
		}
		if len(list) > 0 {
			return list[0], true, nil
		}
		first, ok := r.s.parts.firstOf(number)
		if !ok {
			break
		}
		last = first - 1
	}
	return pair{}, false, nil
}

func (p *parts) firstOf(number int) (int64, bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	for _, one := range p.list {
		if one.number == number {
			return one.first, true
		}
	}
	return 0, false
}
