package http

import (
	"context"
	"net/http"
	"sync"
	"time"

	"auditrelay/cli/internal/api"

	"golang.org/x/time/rate"
)

// failures slow down clients with invalid credentials, by address. An address has some free
// mistakes. Then each response is delayed, and if many wait already the response is 429. Valid
// credentials from that address are not affected.
type failures struct {
	delay   time.Duration // before a response
	mu      sync.Mutex
	by      map[string]*rate.Limiter
	waiting map[string]int
	all     int
}

const (
	freeFailures   = 20          // free mistakes of one address
	failureEvery   = time.Second // interval after which there is one more
	failureDelay   = time.Second
	waitingFailure = 8     // of one address at a time
	waitingAll     = 128   // of all addresses at a time
	knownAddresses = 4_096 // limits the memory; all further addresses count as one
)

// slow waits before a rejection is sent, or returns another response.
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

// forget removes the addresses that have all their free mistakes again.
func (f *failures) forget() {
	for from, limiter := range f.by {
		if limiter.Tokens() >= freeFailures && f.waiting[from] == 0 {
			delete(f.by, from)
		}
	}
}
