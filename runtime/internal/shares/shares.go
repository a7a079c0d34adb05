// Package shares divides the last quarter of a limited store among its senders.
package shares

import (
	"maps"
	"sync"
)

// Last records how much each sender has used of the last quarter of a store. While less than
// three quarters of the store are in use, every sender may add. After that a sender may add as
// long as it has used no more than what is free. So the next sender always finds some space. A
// sender that is the only one so far may use everything. The zero value is ready. Last is safe
// for concurrent use.
type Last struct {
	mu     sync.Mutex
	first  string // the first sender
	others bool   // there are other senders
	taken  map[string]int64
}

// mostNames limits the number of senders that are tracked; all others count as one.
const mostNames = 1000

// Taken returns how much each sender has used of the last quarter. It is empty while the
// quarter is not in use.
func (l *Last) Taken() map[string]int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.taken)
}

// Take reports whether sender who may add n to a store that has used of most in use. If so, it
// counts n.
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
