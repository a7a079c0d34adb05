package sources

import (
	"time"

	"auditrelay/config"

	"golang.org/x/time/rate"
)

// Rates limit what one principal may send per second. The zero value means no limit. It is safe
// for concurrent use.
type Rates struct{ requests, events *rate.Limiter }

// NewRates returns a principal's limits. Events are counted after they arrived, so a request
// may exceed the limit; the next ones then wait.
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

// Requests and Events return the limits per second, 0 if there is none.
func (r Rates) Requests() float64 { return limitOf(r.requests) }

// Events returns the limit of events per second, 0 if there is none.
func (r Rates) Events() float64 { return limitOf(r.events) }

func limitOf(l *rate.Limiter) float64 {
	if l == nil {
		return 0
	}
	return float64(l.Limit())
}

// Over counts one request, or returns how long to wait before the next.
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

// Count counts events that arrived.
func (r Rates) Count(events int) {
	for r.events != nil && events > 0 {
		n := min(events, r.events.Burst())
		r.events.ReserveN(time.Now(), n)
		events -= n
	}
}
