package delivery

import (
	"slices"
	"time"

	"auditrelay"
	"auditrelay/runtime/internal/journal"
)

// ActionKind is what a lane wants done.
type ActionKind uint8

const (
	// Wait: nothing before Until (zero: until something happens).
	Wait ActionKind = iota
	// Take the range that starts at From: read at most Events and Bytes, judge,
	// assemble and seal.
	Take
	// TakeUnjudged is Take without filters: every event ends as Outcome.
	TakeUnjudged
	// TakeDead judges the dead letters Sequences again.
	TakeDead
	// Deliver payload Number.
	Deliver
	// Detach: retain says so; call SetDetached.
	Detach
	// GiveUp: the lane is detached and holds something sealed; call GiveUp.
	GiveUp
	// Attest: the log is to be signed; commit Clock, then Attest.
	Attest
	// Amend: no chunk is coming that would tell what replaced refused payloads;
	// call SealAmendments.
	Amend
)

// Action is one thing that a lane wants done. Until it is reported back, Next
// does not ask for it again.
type Action struct {
	Kind      ActionKind
	Until     time.Time
	From, To  uint64 // To bounds what may be taken
	Events    int
	Bytes     int64 // of a take: the bound; of a delivery: the payload's size
	Waiting   int64 // Take: about how many bytes wait
	Unjudged  Unjudged
	Before    time.Time // TakeUnjudged: only events received before it, if set
	Sequences []uint64
	Number    uint64
}

// Unjudged says how events end that are taken without filters.
type Unjudged uint8

const (
	Retained Unjudged = iota // dead-lettered by retain
	Skip                     // the lane is detached
)

// Next returns what to do now. oldest is the received time of the event at the
// cursor, zero where there is none or it is not known.
func (l *Lane) Next(now time.Time, head journal.Head, oldest time.Time) Action {
	l.resolved = nil
	if l.state.Removed {
		return Action{Kind: Wait}
	}
	s := step{now: now, head: head, end: l.state.end(head.Next)}
	if l.attests(&s) {
		return Action{Kind: Attest}
	}
	if l.state.Paused != "" && l.state.Detached == "" {
		return s.wait()
	}
	l.measure(&s)
	if l.state.Detached != "" {
		if l.givable() {
			return Action{Kind: GiveUp}
		}
		if s.backlog > 0 && !l.taking && l.closed(&s) {
			return l.take(TakeUnjudged, &s, Skip)
		}
		return s.wait()
	}
	if a := l.retain(&s, oldest); a.Kind != Wait {
		return a
	}
	if p := l.deliverable(&s); p != nil {
		p.busy = true
		p.attempts++
		l.attempts++
		return Action{Kind: Deliver, Number: p.Number, Bytes: p.Size}
	}
	if a := l.nextChunk(&s); a.Kind != Wait {
		return a
	}
	if l.state.Amends > 0 && s.backlog == 0 && !l.taking && len(l.pending) == 0 {
		return Action{Kind: Amend}
	}
	return s.wait()
}

// step is one call of Next.
type step struct {
	now     time.Time
	head    journal.Head
	end     uint64 // of the lane's events
	backlog uint64 // from the cursor to the end
	wake    time.Time
}

// at notes a time at which the answer may change.
func (s *step) at(t time.Time) {
	if t.After(s.now) && (s.wake.IsZero() || t.Before(s.wake)) {
		s.wake = t
	}
}

// wait is the answer where there is nothing to do before the earliest noted time.
func (s *step) wait() Action { return Action{Kind: Wait, Until: s.wake} }

// measure finds out what waits, and since when.
func (l *Lane) measure(s *step) {
	if s.end > l.state.Cursor {
		s.backlog = s.end - l.state.Cursor
	}
	switch {
	case s.backlog == 0:
		l.firstSeen = time.Time{}
		if l.state.Replay == nil {
			l.state.Bytes = s.head.Bytes // was an estimate; here it is known
		}
	case l.firstSeen.IsZero():
		l.firstSeen = s.now
	}
}

// retain acts where the lane holds more than it may. Wait: nothing is to be done.
func (l *Lane) retain(s *step, oldest time.Time) Action {
	over, excess, when := l.over(s, oldest)
	if !over {
		l.blocked = false
		s.at(when)
		return Action{}
	}
	switch l.opts.Retain.Then {
	case auditrelay.RetainBlock:
		l.blocked = true
		return Action{}
	case auditrelay.RetainDetach:
		return Action{Kind: Detach}
	}
	if s.backlog == 0 || l.taking {
		return Action{}
	}
	// Each time leaves a payload of tombstones behind: while the destination takes
	// none, a few large ones rather than many small.
	if paced := l.retained.Add(retainPause); !l.room() && s.now.Before(paced) && excess < int64(l.opts.Chunk.Bytes) {
		s.at(paced)
		return Action{}
	}
	l.retained = s.now
	a := l.take(TakeUnjudged, s, Retained)
	if excess > 0 {
		a.Bytes = min(a.Bytes, excess) // no more than is too much
	} else {
		a.Before = s.now.Add(-l.opts.Retain.Age)
	}
	return a
}

// nextChunk takes dead letters that are to be judged again, or the next chunk. Wait:
// neither is due.
func (l *Lane) nextChunk(s *step) Action {
	if l.taking || s.backlog == 0 && len(l.deadQueue) == 0 || !l.room() {
		return Action{}
	}
	if s.now.Before(l.takeAfter) {
		s.at(l.takeAfter)
		return Action{}
	}
	if len(l.deadQueue) > 0 {
		n := min(len(l.deadQueue), l.opts.Chunk.Events)
		l.taking = true
		a := Action{Kind: TakeDead, Sequences: slices.Sorted(slices.Values(l.deadQueue[:n])), Bytes: l.chunkBytes()}
		l.deadTaken = make(map[uint64]bool, n)
		for _, sequence := range a.Sequences {
			l.deadTaken[sequence] = true
		}
		return a
	}
	if l.closed(s) {
		return l.take(Take, s, 0)
	}
	return Action{}
}

// closed reports whether the chunk at the cursor is to wait for no more events.
func (l *Lane) closed(s *step) bool {
	if l.state.Cursor < l.dueTo || s.backlog >= uint64(l.opts.Chunk.Events) || l.state.Replay != nil ||
		s.head.Bytes >= l.state.Bytes+uint64(l.opts.Chunk.Bytes) {
		return true
	}
	due := l.firstSeen.Add(l.opts.Chunk.Age)
	s.at(due)
	return !s.now.Before(due)
}

func (l *Lane) take(kind ActionKind, s *step, u Unjudged) Action {
	l.taking = true
	if l.takeTries == 0 {
		l.shrink = max(l.shrink-1, 0)
	}
	waiting := int64(0)
	if s.head.Bytes > l.state.Bytes {
		waiting = int64(s.head.Bytes - l.state.Bytes)
	}
	return Action{Kind: kind, From: l.state.Cursor, To: s.end,
		Events: l.opts.Chunk.Events, Bytes: l.chunkBytes(), Waiting: waiting, Unjudged: u}
}

// maxShrink brings the largest chunk that can be configured down to one event.
const maxShrink = 20

// chunkBytes bounds the next chunk. What the journal has no room for is tried in
// halves: delivering a little makes room for more, and a chunk that never fits
// would wait for ever.
func (l *Lane) chunkBytes() int64 { return max(int64(l.opts.Chunk.Bytes)>>l.shrink, 1) }

// Hurry closes the chunk that is being waited for, whatever its age: for a drain.
func (l *Lane) Hurry() { l.firstSeen, l.hurried = time.Unix(0, 0), true }

// room reports whether another chunk may be sealed.
func (l *Lane) room() bool {
	chunks := 0
	previous := ^uint64(0)
	for _, p := range l.pending {
		if p.Chunk != previous {
			chunks++
			previous = p.Chunk
		}
	}
	return chunks < l.opts.InFlight
}

// deliverable returns the payload to send next, nil if none may be sent now.
func (l *Lane) deliverable(s *step) *pending {
	if s.now.Before(l.holdUntil) {
		s.at(l.holdUntil)
		return nil
	}
	busy := 0
	for _, p := range l.pending {
		if p.busy {
			busy++
		}
	}
	if busy >= l.opts.Concurrency {
		return nil
	}
	undelivered := false // data of the chunk that the loop is at
	chunk := uint64(0)
	for _, p := range l.pending {
		if !p.Manifest {
			undelivered, chunk = true, p.Chunk
		}
		switch {
		case p.busy:
		case p.Manifest && undelivered && chunk == p.Chunk:
			// A manifest tells of what is there: it waits for its chunk's payloads.
		case s.now.Before(p.after):
			s.at(p.after)
		default:
			return p
		}
		if l.opts.Concurrency == 1 {
			return nil // in order: nothing overtakes the first
		}
	}
	return nil
}

// retainPause is the least time between two rounds of retain on a lane whose
// destination takes nothing.
const retainPause = time.Minute

// held returns the bytes of sealed payloads that count for retain.
func (l *Lane) held() (bytes int64) {
	for _, p := range l.pending {
		if p.Events > 0 { // tombstones alone: retain's own, in place of what it set aside
			bytes += p.Size
		}
	}
	return bytes
}

// over reports whether the lane holds more than retain allows, by how many bytes
// (0: it is the age); if not, when its age may reach the bound. A replay holds
// old events by its nature, and nothing is retained for it.
func (l *Lane) over(s *step, oldest time.Time) (over bool, excess int64, when time.Time) {
	if l.state.Replay != nil {
		return false, 0, time.Time{}
	}
	if l.opts.Retain.Bytes > 0 {
		held := l.held()
		if s.backlog > 0 && s.head.Bytes > l.state.Bytes {
			held += int64(s.head.Bytes - l.state.Bytes)
		}
		if held > int64(l.opts.Retain.Bytes) {
			return true, held - int64(l.opts.Retain.Bytes), time.Time{}
		}
	}
	if l.opts.Retain.Age > 0 {
		if s.backlog == 0 {
			oldest = time.Time{}
		}
		if l.opts.Retain.Then != auditrelay.RetainDeadLetter {
			for _, p := range l.pending {
				if oldest.IsZero() || p.Oldest.Before(oldest) {
					oldest = p.Oldest
				}
			}
		}
		if !oldest.IsZero() {
			bound := oldest.Add(l.opts.Retain.Age)
			return s.now.After(bound), 0, bound
		}
	}
	return false, 0, time.Time{}
}
