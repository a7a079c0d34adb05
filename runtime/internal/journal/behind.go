package journal

import (
	"sort"
	"sync"

	"auditrelay"
)

// behind caches the decoded events that were last read from disk. Callbacks that fell behind
// are often near the same sequence. Its reads are larger than what a callback that is short of
// memory takes.
type behind struct {
	mu       sync.Mutex // also held during a read, so that nothing is read twice
	segments []readSegment
	bytes    int64
	clock    uint64
}

type readSegment struct {
	events []auditrelay.Event
	bytes  int64
	used   uint64
}

const (
	behindBytes  = 10 << 20 // in memory
	behindStep   = 1 << 20  // of data
	behindEvents = behindStep / 256
	// fewEvents: a caller that asks for this few reads single events and does not continue from
	// there.
	fewEvents = 16
)

func (s *readSegment) first() uint64 { return s.events[0].Sequence }
func (s *readSegment) end() uint64   { return s.first() + uint64(len(s.events)) }

// read is Journal.read with the cache.
func (b *behind) read(j *Journal, from, end uint64, maxEvents int, maxBytes int64) ([]auditrelay.Event, error) {
	if maxEvents < fewEvents {
		return j.read(from, end, maxEvents, maxBytes)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var events []auditrelay.Event
	bytes := int64(0)
	for at := from; at < end && len(events) < maxEvents; {
		s, err := b.segment(j, at, end)
		if err != nil {
			if len(events) > 0 {
				return events, nil // the next read starts at the fault
			}
			return j.read(from, end, maxEvents, maxBytes)
		}
		for i := at - s.first(); i < uint64(len(s.events)) && s.events[i].Sequence < end; i++ {
			e := s.events[i]
			if bytes += int64(len(e.Data)); len(events) > 0 && bytes > maxBytes || len(events) == maxEvents {
				return events, nil
			}
			events = append(events, e)
		}
		at = s.end()
	}
	return events, nil
}

// segment returns the segment with the event at a sequence. It is valid until the next call.
func (b *behind) segment(j *Journal, at, end uint64) (*readSegment, error) {
	b.clock++
	i := sort.Search(len(b.segments), func(i int) bool { return b.segments[i].first() > at })
	if i > 0 && b.segments[i-1].end() > at {
		b.segments[i-1].used = b.clock
		return &b.segments[i-1], nil
	}
	if i < len(b.segments) {
		end = min(end, b.segments[i].first())
	}
	events, err := j.read(at, end, int(min(end-at, behindEvents)), behindStep)
	if err != nil {
		return nil, err
	}
	s := readSegment{events: events, used: b.clock}
	for k := range events {
		s.bytes += int64(len(events[k].Data) + eventBytes)
	}
	b.segments = append(b.segments[:i], append([]readSegment{s}, b.segments[i:]...)...)
	b.bytes += s.bytes
	for b.bytes > behindBytes && len(b.segments) > 1 {
		oldest := 0
		for k := range b.segments {
			if b.segments[k].used < b.segments[oldest].used {
				oldest = k
			}
		}
		b.bytes -= b.segments[oldest].bytes
		b.segments = append(b.segments[:oldest], b.segments[oldest+1:]...)
		if oldest < i {
			i--
		}
	}
	return &b.segments[i], nil
}
