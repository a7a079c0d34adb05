package delivery

import (
	"slices"
	"time"

	"auditrelay"
	"auditrelay/runtime/internal/journal"
)

// ActionKind is the kind of an action that a lane requests.
type ActionKind uint8

const (
	// Wait: do nothing before Until. If Until is zero, wait until something happens.
	Wait ActionKind = iota
	// Take the range that starts at From: read at most Events and Bytes, then filter, assemble
	// and seal.
	Take
	// TakeUnjudged is Take without filters: every event ends as Outcome says.
	TakeUnjudged
	// TakeDead processes the dead letters in Sequences again.
	TakeDead
	// Deliver payload Number.
	Deliver
	// Detach: retain requires it; call SetDetached.
	Detach
	// GiveUp: the lane is detached and still has sealed payloads; call GiveUp.
	GiveUp
	// Attest: the log must be signed; commit Clock, then Attest.
	Attest
	// Amend: no chunk is due whose manifest could contain the amendments; call SealAmendments.
	Amend
)

// Action is one thing that a lane's owner must do. Next does not return it again until the
// owner has reported the result.
type Action struct {
	Kind      ActionKind
	Until     time.Time
	From, To  uint64 // To limits the range
	Events    int
	Bytes     int64 // for a take, the limit; for a delivery, the payload's size
	Waiting   int64 // Take: approximate size of the backlog
	Unjudged  Unjudged
	Before    time.Time // TakeUnjudged: only events received before it, if set
	Sequences []uint64
	Number    uint64
}

// Unjudged says how events end that are taken without filters.
type Unjudged uint8

const (
	Retained Unjudged = iota // retain dead-letters them
	Skip                     // they are skipped because the lane is detached
)

// Next returns the next action. oldest is the received time of the event at the cursor; zero if
// there is none or it is unknown.
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
	end     uint64 // the end of the lane's events
	backlog uint64 // number of events from the cursor to the end
	wake    time.Time
}

// at records a time at which the answer may change.
func (s *step) at(t time.Time) {
	if t.After(s.now) && (s.wake.IsZero() || t.Before(s.wake)) {
		s.wake = t
	}
}

// wait returns the action to wait until the earliest recorded time.
func (s *step) wait() Action { return Action{Kind: Wait, Until: s.wake} }

// measure determines the backlog and its age.
func (l *Lane) measure(s *step) {
	if s.end > l.state.Cursor {
		s.backlog = s.end - l.state.Cursor
	}
	switch {
	case s.backlog == 0:
		l.firstSeen = time.Time{}
		if l.state.Replay == nil {
			l.state.Bytes = s.head.Bytes // replaces the estimate, since the exact value is known here
		}
	case l.firstSeen.IsZero():
		l.firstSeen = s.now
	}
}

// retain returns an action if the lane exceeds its retain limits, otherwise Wait.
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
	// Each round leaves a payload of tombstones. While the destination accepts none, a few
	// large ones are better than many small ones.
	if paced := l.retained.Add(retainPause); !l.room() && s.now.Before(paced) && excess < int64(l.opts.Chunk.Bytes) {
		s.at(paced)
		return Action{}
	}
	l.retained = s.now
	a := l.take(TakeUnjudged, s, Retained)
	if excess > 0 {
		a.Bytes = min(a.Bytes, excess) // no more than the excess
	} else {
		a.Before = s.now.Add(-l.opts.Retain.Age)
	}
	return a
}

// nextChunk takes queued dead letters or the next chunk. It returns Wait if neither is due.
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

// closed reports whether the chunk at the cursor must not wait for more events.
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

// maxShrink halvings reduce the largest configurable chunk to one event.
const maxShrink = 20

// chunkBytes limits the size of the next chunk. If the journal has no room for a chunk, the
// lane tries halves. Each small delivery frees space, while a chunk that never fits would wait
// for ever.
func (l *Lane) chunkBytes() int64 { return max(int64(l.opts.Chunk.Bytes)>>l.shrink, 1) }

// Hurry closes the current chunk regardless of its age, for a drain.
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

// deliverable returns the payload to send next, or nil if none can be sent now.
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
	undelivered := false // the current chunk has undelivered data
	chunk := uint64(0)
	for _, p := range l.pending {
		if !p.Manifest {
			undelivered, chunk = true, p.Chunk
		}
		switch {
		case p.busy:
		case p.Manifest && undelivered && chunk == p.Chunk:
			// A manifest describes delivered payloads, so it waits for those of its chunk.
		case s.now.Before(p.after):
			s.at(p.after)
		default:
			return p
		}
		if l.opts.Concurrency == 1 {
			return nil // in order: no payload may overtake the first
		}
	}
	return nil
}

// retainPause is the minimum time between two rounds of retain on a lane whose destination
// accepts nothing.
const retainPause = time.Minute

// held returns the size of sealed payloads that count for retain.
func (l *Lane) held() (bytes int64) {
	for _, p := range l.pending {
		if p.Events > 0 { // otherwise it has only tombstones, which retain itself created
			bytes += p.Size
		}
	}
	return bytes
}

// over reports whether the lane exceeds its retain limits, and by how many bytes (0 if the age
// exceeds its limit). If it does not, when is the time at which the age may reach the limit. A
// replay contains old events, so retain does not apply to it.
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
