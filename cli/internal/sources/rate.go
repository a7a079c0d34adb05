package sources

import (
	"time"

	"auditrelay/config"

	"golang.org/x/time/rate"
)

// Rates are what one principal may send a second. The zero value is no limit. It is safe
// for concurrent use.
type Rates struct{ requests, events *rate.Limiter }

// NewRates returns a principal's limits. Events are counted once they came: a request may
// exceed the limit, and the next ones wait for that.
func NewRates(r config.Rate) Rates {
	var out Rates
	if r.Requests > 0 {
		out.requests = rate.NewLimiter(rate.Limit(r.Requests), r.Requests)
	}
	if r.Events > 0 {
		out.events = rate.NewLimiter(rate.Limit(r.Events), r.Events)
	}
	return out
}

// Requests and Events are the limits a second, 0 for none.
func (r Rates) Requests() float64 { return limitOf(r.requests) }

// Events: see Requests.
func (r Rates) Events() float64 { return limitOf(r.events) }

func limitOf(l *rate.Limiter) float64 {
	if l == nil {
		return 0
	}
	return float64(l.Limit())
}

// Over takes one request, or returns how long to wait before the next.
func (r Rates) Over() (wait time.Duration) {
	if r.requests != nil {
		if turn := r.requests.Reserve(); turn.Delay() > 0 {
			wait = turn.Delay()
			turn.Cancel()
		}
	}
	if r.events != nil {
		if tokens := r.events.Tokens(); tokens < 0 {
			wait = max(wait, time.Duration(-tokens/float64(r.events.Limit())*float64(time.Second)))
		}
	}
	return wait
}

// Count takes events that came.
func (r Rates) Count(events int) {
	for r.events != nil && events > 0 {
		n := min(events, r.events.Burst())
		r.events.ReserveN(time.Now(), n)
		events -= n
	}
}
