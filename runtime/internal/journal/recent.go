package journal

import (
	"sort"
	"sync"
	"unsafe"

	"auditrelay"
	"auditrelay/internal/proof"
)

// recentBytes limits the memory of the newest events.
const recentBytes = 16 << 20

// eventBytes is the memory of a decoded event besides its data. For small events it is most of
// it.
const eventBytes = int(unsafe.Sizeof(auditrelay.Event{}))

// leastData is the approximate data size of the smallest common events.
const leastData = 256

// recent keeps the newest durable events in memory. They are decoded once for all callbacks
// near the head, which then read nothing from disk. Commits fill it, and it is empty after
// Open.
type recent struct {
	mu       sync.RWMutex
	segments []*segment // consecutive, without gaps
	bytes    int
}

// segment has the events of one commit.
type segment struct {
	first    uint64
	received int64
	leaves   []proof.Hash // leaves in the log of accepted events; immutable
	bodies   [][]byte     // immutable; nil once decoded
	bytes    int

	once   sync.Once
	events []auditrelay.Event
	err    error
}

// add stores the events of a durable group. Only the leader calls it.
func (r *recent) add(g *group) {
	if len(g.events) == 0 {
		return
	}
	s := &segment{first: g.frame.first, received: g.frame.received, leaves: g.leaves, bodies: make([][]byte, len(g.events))}
	for i, p := range g.events {
		s.bodies[i] = p.body
		head := len(p.body) - p.data // decoding copies the head once more as text
		s.bytes += cap(p.body) + head + eventBytes + len(proof.Hash{})
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.segments = append(r.segments, s)
	r.bytes += s.bytes
	drop := 0
	for r.bytes > recentBytes {
		r.bytes -= r.segments[drop].bytes
		r.segments[drop] = nil
		drop++
	}
	r.segments = r.segments[drop:]
}

// from returns the segments from the one with sequence on, or nil if there is none.
func (r *recent) from(sequence uint64) []*segment {
	r.mu.RLock()
	defer r.mu.RUnlock()
	i := sort.Search(len(r.segments), func(i int) bool { return r.segments[i].first > sequence }) - 1
	if i < 0 {
		return nil
	}
	return append([]*segment(nil), r.segments[i:]...) // a copy, since dropped segments are later set to nil
}

// read is Journal.read from memory. ok is false if the events are not in memory.
func (r *recent) read(from, end uint64, maxEvents int, maxBytes int64) (events []auditrelay.Event, ok bool) {
	bytes := int64(0)
	segments := r.from(from)
	if n := len(segments); n > 0 {
		last := segments[n-1]
		room := last.first + uint64(len(last.leaves)) - from // allocated at once
		events = make([]auditrelay.Event, 0, min(room, end-from, uint64(maxEvents), 1+uint64(maxBytes)/leastData))
	}
	for _, s := range segments {
		decoded, err := s.decode()
		if err != nil {
			return nil, false // the read from disk returns the fault
		}
		for i := range decoded {
			e := &decoded[i]
			if e.Sequence < from {
				continue
			}
			if e.Sequence >= end || len(events) >= maxEvents {
				return events, true
			}
			if bytes += int64(len(e.Data)); len(events) > 0 && bytes > maxBytes {
				return events, true
			}
			events = append(events, *e)
		}
	}
	return events, len(events) > 0
}

// leaves appends the leaf hashes of the events in [from, to). ok is false if some are not in
// memory.
func (r *recent) leaves(dst []proof.Hash, from, to uint64) (hashes []proof.Hash, ok bool) {
	next := from
	for _, s := range r.from(from) {
		end := min(s.first+uint64(len(s.leaves)), to)
		if next >= to || next < s.first || end <= next {
			break
		}
		dst = append(dst, s.leaves[next-s.first:end-s.first]...)
		next = end
	}
	return dst, next == to
}

// decode decodes the segment once. The events' Data is memory of the bodies.
func (s *segment) decode() ([]auditrelay.Event, error) {
	s.once.Do(func() {
		s.events = make([]auditrelay.Event, len(s.bodies))
		for i, body := range s.bodies {
			head, data, err := splitBody(body)
			if err == nil {
				s.events[i], err = decodeEvent(s.first+uint64(i), s.received, string(head), head, data[:len(data):len(data)])
			}
			if err != nil {
				s.err = err
				break
			}
		}
		s.bodies = nil
	})
	return s.events, s.err
}
