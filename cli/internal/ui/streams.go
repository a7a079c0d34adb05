package ui

import "sync"

// streams counts the pages that are updated live, by principal. It is safe for concurrent use.
type streams struct {
	mu  sync.Mutex
	all int
	of  map[string]int
}

// take reports whether a principal may have one more. The caller must then call free.
func (s *streams) take(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all >= maxStreams || s.of[name] >= maxStreamsOfOne {
		return false
	}
	if s.of == nil {
		s.of = map[string]int{}
	}
	s.all++
	s.of[name]++
	return true
}

func (s *streams) free(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all--
	if s.of[name]--; s.of[name] == 0 {
		delete(s.of, name)
	}
}
