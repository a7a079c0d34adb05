package runtime

import (
	"context"
	"encoding/json"
	"sort"
	"sync"

	"auditrelay"
	"auditrelay/filter"
	"auditrelay/internal/detect"
	"auditrelay/runtime/internal/delivery"
)

// sharing lets callbacks with equal filters process each event once. They must have the same condition, the
// same pure filters (see filter.Pure; keys included) and the same gate. They share only the filters'
// results. Each callback has its own accounts, receipts, payloads and findings.
type sharing struct {
	mu     sync.Mutex
	groups map[shareKey]*shareGroup
}

// shareKey has everything on which an event's result depends, besides the event.
type shareKey struct {
	text      string // condition, steps, gate
	detectors *detect.Catalogue
	filters   [maxShared]any
}

// maxShared is the maximum number of filters of a callback whose results are shared.
const maxShared = 8

// The maximum number of stored results. They are those of the newest events.
const (
	maxSharedBytes  = 8 << 20 // edited documents of all groups together
	maxSharedEvents = 1 << 15 // all groups together; a result takes about 250 bytes
	maxGroupEvents  = 1 << 14 // one group
)

// sharedBounds limits what one group may store.
type sharedBounds struct {
	bytes  int64
	events int
}

// shareGroup is a group of callbacks that share results.
type shareGroup struct {
	sharing *sharing
	key     shareKey
	users   int // guarded by sharing.mu

	mu     sync.Mutex // held while a chunk is processed, so that the next callback finds the results
	runs   []sharedRun
	events int
	bytes  int64
}

// sharedRun has the results of one chunk, by sequence. They refer to no event.
type sharedRun struct {
	judged []sharedJudged
	bytes  int64
}

type sharedJudged struct {
	sequence uint64
	accepted bool // the outgoing document is the event's own bytes
	judged   delivery.Judged
}

// join returns the group of a callback, or nil if it shares with no other.
func (s *sharing) join(c *Callback) *shareGroup {
	key, ok := keyOf(c)
	if !ok {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.groups == nil {
		s.groups = map[shareKey]*shareGroup{}
	}
	g := s.groups[key]
	if g == nil {
		g = &shareGroup{sharing: s, key: key}
		s.groups[key] = g
	}
	g.users++
	return g
}

// leave must be called once for each join. It does nothing on nil.
func (g *shareGroup) leave() {
	if g == nil {
		return
	}
	s := g.sharing
	s.mu.Lock()
	g.users--
	users := g.users
	if users == 0 {
		delete(s.groups, g.key)
	}
	s.mu.Unlock()
	if users == 1 { // no callback is left to share with
		g.mu.Lock()
		defer g.mu.Unlock()
		g.runs, g.events, g.bytes = nil, 0, 0
	}
}

// several reports whether the group has several callbacks, and how much the group may store.
func (g *shareGroup) several() (ok bool, most sharedBounds) {
	if g == nil {
		return false, sharedBounds{}
	}
	g.sharing.mu.Lock()
	defer g.sharing.mu.Unlock()
	n := len(g.sharing.groups)
	return g.users > 1, sharedBounds{bytes: int64(maxSharedBytes / n), events: min(maxSharedEvents/n, maxGroupEvents)}
}

// keyOf returns the key of c's results. ok is false if they must not be shared because a filter is not
// pure, may emit, or only observes.
func keyOf(c *Callback) (key shareKey, ok bool) {
	if len(c.Steps) > maxShared {
		return key, false
	}
	type step struct {
		Name    string
		OnError auditrelay.OnError
	}
	text := struct {
		When     *auditrelay.When
		Gate     auditrelay.MustNotLeave
		Format   auditrelay.Format
		Delivers bool
		Alerts   bool
		Steps    []step
	}{When: c.When, Gate: c.MustNotLeave, Format: c.Format, Delivers: c.Sink != nil, Alerts: c.Alerts}
	for i, s := range c.Steps {
		pure, is := s.Filter.(filter.Pure)
		if !is || len(s.Emits) > 0 || s.Role != auditrelay.RoleJudge {
			return key, false
		}
		text.Steps = append(text.Steps, step{s.Name, s.OnError})
		key.filters[i] = pure.Identity()
	}
	if c.Format != (auditrelay.Format{}) {
		return key, false // a formatted record contains its callback's name
	}
	b, err := json.Marshal(&text)
	key.text, key.detectors = string(b), c.Detectors
	return key, err == nil
}

// all is judge.all with the results of other callbacks.
func (g *shareGroup) all(ctx context.Context, j *judge, events []auditrelay.Event, room int64, most sharedBounds) (judged []delivery.Judged, held, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	judged = make([]delivery.Judged, 0, len(events))
	grown := int64(0)
	for i := range events {
		known, ok := g.find(&events[i])
		if !ok {
			break
		}
		if grown += size(&known); i > 0 && grown > room {
			return judged, nil, nil
		}
		for _, v := range known.Trail {
			j.findings.touched(v.Touched)
		}
		judged = append(judged, known)
	}
	if len(judged) == len(events) {
		return judged, nil, nil
	}
	rest, held, err := j.judgeAll(ctx, events[len(judged):], max(room-grown, 1))
	if err != nil {
		return nil, nil, err
	}
	g.keep(rest, most)
	return append(judged, rest...), held, nil
}

// find returns the stored result of an event. Own records are never shared, since some callbacks let them
// bypass condition and filters.
func (g *shareGroup) find(e *auditrelay.Event) (delivery.Judged, bool) {
	if e.Namespace == auditrelay.NamespaceRelay {
		return delivery.Judged{}, false
	}
	for i := len(g.runs) - 1; i >= 0; i-- {
		run := g.runs[i].judged
		if run[0].sequence > e.Sequence || run[len(run)-1].sequence < e.Sequence {
			continue
		}
		k := sort.Search(len(run), func(k int) bool { return run[k].sequence >= e.Sequence })
		if run[k].sequence != e.Sequence {
			continue
		}
		known := run[k].judged
		known.Event = e
		if run[k].accepted {
			known.Data = e.Data
		}
		return known, true
	}
	return delivery.Judged{}, false
}

// keep stores results for the other callbacks: those without failures that depend only on the event.
func (g *shareGroup) keep(judged []delivery.Judged, most sharedBounds) {
	run := sharedRun{judged: make([]sharedJudged, 0, len(judged))}
	for i := range judged {
		j := judged[i]
		if j.Event.Namespace == auditrelay.NamespaceRelay || j.Err != nil || len(j.Emitted) > 0 || j.Outcome != auditrelay.Delivered && j.Outcome != auditrelay.Filtered {
			continue
		}
		one := sharedJudged{sequence: j.Event.Sequence, accepted: asAccepted(&j), judged: j}
		run.bytes += size(&j)
		if one.judged.Event = nil; one.accepted {
			one.judged.Data = nil
		}
		run.judged = append(run.judged, one)
	}
	if len(run.judged) == 0 || run.bytes > most.bytes || len(run.judged) > most.events {
		return
	}
	g.runs = append(g.runs, run)
	g.events, g.bytes = g.events+len(run.judged), g.bytes+run.bytes
	for g.bytes > most.bytes || g.events > most.events {
		old := g.runs[0]
		g.runs[0] = sharedRun{}
		g.runs = g.runs[1:]
		g.events, g.bytes = g.events-len(old.judged), g.bytes-old.bytes
	}
}
