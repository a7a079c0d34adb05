package http

import (
	"context"
	"net/http"
	"sync"
	"time"

	"auditrelay/cli/internal/api"

	"golang.org/x/time/rate"
)

// failures slow down who presents bad credentials, by address: an address has some
// mistakes, then each answer waits, and where many wait already it is 429. A good
// credential from there is answered as ever.
type failures struct {
	delay   time.Duration // before an answer
	mu      sync.Mutex
	by      map[string]*rate.Limiter
	waiting map[string]int
	all     int
}

const (
	freeFailures   = 20          // at once, of one address
	failureEvery   = time.Second // after which there is one more
	failureDelay   = time.Second
	waitingFailure = 8     // of one address at a time
	waitingAll     = 128   // of all
	knownAddresses = 4_096 // bounds the memory; beyond them all count as one
)

// slow waits before a refusal is answered, or returns what to answer in its place.
func (f *failures) slow(ctx context.Context, address string) *api.Error {
	from := network(address)
	f.mu.Lock()
	if f.by == nil {
		f.by, f.waiting = map[string]*rate.Limiter{}, map[string]int{}
	}
	limiter := f.by[from]
	if limiter == nil && len(f.by) >= knownAddresses {
		f.forget()
		if len(f.by) >= knownAddresses {
			from = "other"
			limiter = f.by[from]
		}
	}
	if limiter == nil {
		limiter = rate.NewLimiter(rate.Every(failureEvery), freeFailures)
		f.by[from] = limiter
	}
	if limiter.Allow() {
		f.mu.Unlock()
		return nil
	}
	if f.all >= waitingAll || f.waiting[from] >= waitingFailure {
		f.mu.Unlock()
		return &api.Error{
			Status: http.StatusTooManyRequests, Reason: api.ReasonRate, RetryAfter: failureEvery,
			Message: "too many requests with bad credentials came from this address",
		}
	}
	f.all++
	f.waiting[from]++
	f.mu.Unlock()
	timer := time.NewTimer(f.delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all--
	if f.waiting[from]--; f.waiting[from] == 0 {
		delete(f.waiting, from)
	}
	return nil
}

// forget drops the addresses that have all their mistakes back.
func (f *failures) forget() {
	for from, limiter := range f.by {
		if limiter.Tokens() >= freeFailures && f.waiting[from] == 0 {
			delete(f.by, from)
		}
	}
}
