package sources

import (
	"slices"
	"sync"
	"time"

	"auditrelay/cli/internal/api"
)

// NoEventsSeen describes a sender that has sent nothing since start.
const NoEventsSeen = "no events seen"

// SilentAfter is how long a sender may send nothing before it is reported. It is the default of
// auditrelay callbacks --silent-after.
const SilentAfter = 5 * time.Minute

// Senders are a source's expected senders with counts of their events. The zero value expects
// none. It is safe for concurrent use.
type Senders struct {
	mu  sync.Mutex
	all map[string]*sender
}

type sender struct {
	since, last time.Time
	events      uint64
}

// Expect sets the expected senders. Senders that stay keep their counts; the others are
// removed.
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

// maxSenders limits the number of tracked senders, since an issuer may name anyone.
const maxSenders = 1000

// Seen counts n events from a sender, whatever their outcome. An unexpected sender is expected
// from then on. Senders beyond maxSenders count as one, named other.
func (s *Senders) Seen(name string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.all) >= maxSenders && s.all[name] == nil {
		name = "other"
	}
	one := s.sender(name)
	if n > 0 {
		one.events += uint64(n)
		one.last = time.Now()
	}
}

// Status returns one line for each sender, in no particular order.
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
