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
	Bytes     int64
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
	if l.state.Paused != "" || l.state.Removed {
		return Action{Kind: Wait}
	}
	end := l.state.end(head.Next)
	backlog := uint64(0)
	if end > l.state.Cursor {
		backlog = end - l.state.Cursor
	}
	if backlog == 0 {
		l.firstSeen = time.Time{}
		if l.state.Replay == nil {
			l.state.Bytes = head.Bytes // was an estimate; here it is known
		}
	} else if l.firstSeen.IsZero() {
		l.firstSeen = now
	}

	// From here on: wake is the earliest time at which the answer may change.
	var wake time.Time
	at := func(t time.Time) {
		if t.After(now) && (wake.IsZero() || t.Before(wake)) {
			wake = t
		}
	}

	if l.state.Detached != "" {
		if backlog > 0 && !l.taking && l.closed(now, head, backlog, at) {
			return l.take(TakeUnjudged, end, Skip)
		}
		return Action{Kind: Wait, Until: wake}
	}

	if over, excess, when := l.over(now, head, oldest, backlog); over {
		switch l.opts.Retain.Then {
		case auditrelay.RetainBlock:
			l.blocked = true
		case auditrelay.RetainDetach:
			return Action{Kind: Detach}
		case auditrelay.RetainDeadLetter:
			// Each time leaves a payload of tombstones behind: while the
			// destination takes none, a few large ones rather than many small.
			paced := l.retained.Add(retainPause)
			switch {
			case backlog == 0 || l.taking:
			case !l.room() && now.Before(paced) && excess < int64(l.opts.Chunk.Bytes):
				at(paced)
			default:
				l.retained = now
				a := l.take(TakeUnjudged, end, Retained)
				if excess > 0 {
					a.Bytes = min(a.Bytes, excess) // no more than is too much
				} else {
					a.Before = now.Add(-l.opts.Retain.Age)
				}
				return a
			}
		}
	} else {
		l.blocked = false
		at(when)
	}

	if p := l.deliverable(now, at); p != nil {
		p.busy = true
		p.attempts++
		l.attempts++
		return Action{Kind: Deliver, Number: p.Number}
	}

	if !l.taking && len(l.deadQueue) > 0 && l.room() && !now.Before(l.takeAfter) {
		n := min(len(l.deadQueue), l.opts.Chunk.Events)
		l.taking = true
		a := Action{Kind: TakeDead, Sequences: slices.Sorted(slices.Values(l.deadQueue[:n])), Bytes: l.chunkBytes()}
		l.deadTaken = make(map[uint64]bool, n)
		for _, s := range a.Sequences {
			l.deadTaken[s] = true
		}
		return a
	}
	if !l.taking && (backlog > 0 || len(l.deadQueue) > 0) && l.room() {
		switch {
		case now.Before(l.takeAfter):
			at(l.takeAfter)
		case backlog > 0 && l.closed(now, head, backlog, at):
			return l.take(Take, end, 0)
		}
	}
	if l.state.Amends > 0 && backlog == 0 && !l.taking && len(l.pending) == 0 {
		return Action{Kind: Amend}
	}
	return Action{Kind: Wait, Until: wake}
}

// closed reports whether the chunk at the cursor is to wait for no more events.
func (l *Lane) closed(now time.Time, head journal.Head, backlog uint64, at func(time.Time)) bool {
	if backlog >= uint64(l.opts.Chunk.Events) || l.state.Replay != nil ||
		head.Bytes >= l.state.Bytes+uint64(l.opts.Chunk.Bytes) {
		return true
	}
	due := l.firstSeen.Add(l.opts.Chunk.Age)
	at(due)
	return !now.Before(due)
}

func (l *Lane) take(kind ActionKind, end uint64, u Unjudged) Action {
	l.taking = true
	if l.takeTries == 0 {
		l.shrink = max(l.shrink-1, 0)
	}
	return Action{Kind: kind, From: l.state.Cursor, To: end,
		Events: l.opts.Chunk.Events, Bytes: l.chunkBytes(), Unjudged: u}
}

// maxShrink brings the largest chunk that can be configured down to one event.
const maxShrink = 20

// chunkBytes bounds the next chunk. What the journal has no room for is tried in
// halves: delivering a little makes room for more, and a chunk that never fits
// would wait for ever.
func (l *Lane) chunkBytes() int64 { return max(int64(l.opts.Chunk.Bytes)>>l.shrink, 1) }

// Hurry closes the chunk that is being waited for, whatever its age: for a drain.
func (l *Lane) Hurry() { l.firstSeen = time.Unix(0, 0) }

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
func (l *Lane) deliverable(now time.Time, at func(time.Time)) *pending {
	if now.Before(l.holdUntil) {
		at(l.holdUntil)
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
		case now.Before(p.after):
			at(p.after)
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

// over reports whether the lane holds more than retain allows, by how many bytes
// (0: it is the age); if not, when its age may reach the bound. A replay holds
// old events by its nature, and nothing is retained for it.
func (l *Lane) over(now time.Time, head journal.Head, oldest time.Time, backlog uint64) (over bool, excess int64, when time.Time) {
	if l.state.Replay != nil {
		return false, 0, time.Time{}
	}
	if l.opts.Retain.Bytes > 0 {
		held := int64(0)
		for _, p := range l.pending {
			if p.Events > 0 { // tombstones alone: retain's own, in place of what it set aside
				held += p.Size
			}
		}
		if backlog > 0 && head.Bytes > l.state.Bytes {
			held += int64(head.Bytes - l.state.Bytes)
		}
		if held > int64(l.opts.Retain.Bytes) {
			return true, held - int64(l.opts.Retain.Bytes), time.Time{}
		}
	}
	if l.opts.Retain.Age > 0 {
		if backlog == 0 {
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
			return now.After(bound), 0, bound
		}
	}
	return false, 0, time.Time{}
}
