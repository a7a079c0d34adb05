// Package shares divides the last quarter of a bounded room among those who fill it.
package shares

import (
	"maps"
	"sync"
)

// Last is who took how much of the last quarter of a room. While less than three quarters
// of the room are in use, everybody may take. Beyond that one may take as long as it has
// taken at most what is free: so the next one always finds some. Who has been
// alone so far may take all. The zero value is ready. It is safe for concurrent use.
type Last struct {
	mu     sync.Mutex
	first  string // the first that took
	others bool   // there are others than the first
	taken  map[string]int64
}

// mostNames bounds the senders that are told apart; all others count as one.
const mostNames = 1000

// Taken returns who took how much of the last quarter, nothing while it is not in use.
func (l *Last) Taken() map[string]int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.taken)
}

// Take reports whether who may take n more of a room of which used are in use, out of most,
// and if so notes it.
func (l *Last) Take(who string, n, used, most int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.taken == nil {
		l.first, l.taken = who, map[string]int64{}
	}
	l.others = l.others || who != l.first
	if used < most-most/4 {
		clear(l.taken)
		return true
	}
	if _, known := l.taken[who]; !known && len(l.taken) >= mostNames {
		who = ""
	}
	if l.others && l.taken[who] > most-used {
		return false
	}
	l.taken[who] += n
	return true
}
