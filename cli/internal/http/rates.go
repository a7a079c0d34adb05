package http

import (
	"net/http"
	"time"

	"auditrelay/cli/internal/api"
	"auditrelay/config"

	"golang.org/x/time/rate"
)

// rates are what one principal may send a second. Nil: there is no limit.
type rates struct{ requests, events *rate.Limiter }

// ratesOf returns a token's limits. Events are counted once they came: a request may
// exceed the limit, and the next ones wait for that.
func ratesOf(r config.Rate) rates {
	var out rates
	if r.Requests > 0 {
		out.requests = rate.NewLimiter(rate.Limit(r.Requests), r.Requests)
	}
	if r.Events > 0 {
		out.events = rate.NewLimiter(rate.Limit(r.Events), r.Events)
	}
	return out
}

// over returns the refusal of a request beyond the limits.
func (r rates) over() *api.Error {
	wait := time.Duration(0)
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
	if wait == 0 {
		return nil
	}
	return &api.Error{
		Status: http.StatusTooManyRequests, Reason: api.ReasonRate, RetryAfter: wait,
		Message: "more than this token may send a second", Hint: "send it again after Retry-After; rate of the token says how much there may be",
	}
}

func (r rates) count(events int) {
	for r.events != nil && events > 0 {
		n := min(events, r.events.Burst())
		r.events.ReserveN(time.Now(), n)
		events -= n
	}
}
