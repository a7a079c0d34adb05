package sources

import (
	"slices"
	"sync"
	"time"

	"auditrelay/cli/internal/api"
)

// NoEventsSeen is what is said of a sender that has sent nothing since start.
const NoEventsSeen = "no events seen"

// Senders are those that a source awaits events from, and what came from them. The
// zero value awaits none. It is safe for concurrent use.
type Senders struct {
	mu  sync.Mutex
	all map[string]*sender
}

type sender struct {
	since, last time.Time
	events      uint64
}

// Expect awaits events from these and from no others. One that is awaited already
// keeps its counts.
func (s *Senders) Expect(names ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		s.sender(name)
	}
	for name := range s.all {
		if !slices.Contains(names, name) {
			delete(s.all, name)
		}
	}
}

func (s *Senders) sender(name string) *sender {
	if s.all == nil {
		s.all = map[string]*sender{}
	}
	if s.all[name] == nil {
		s.all[name] = &sender{since: time.Now()}
	}
	return s.all[name]
}

// Seen counts n events that came from a sender, whatever became of them. One that was
// not awaited is from then on.
func (s *Senders) Seen(name string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.sender(name)
	if n > 0 {
		one.events += uint64(n)
		one.last = time.Now()
	}
}

// Status has a line for each sender, in no order.
func (s *Senders) Status(kind string) []api.Source {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []api.Source
	for name, one := range s.all {
		line := api.Source{Name: name, Kind: kind, Since: one.since.UTC(), Events: one.events, Silent: one.events == 0}
		if !one.last.IsZero() {
			line.LastSeen = one.last.UTC()
		}
		list = append(list, line)
	}
	return list
}
