package http

import (
	"net/http"

	"auditrelay/cli/internal/api"
	"auditrelay/cli/internal/sources"
)

// over returns the refusal if the token's rate is exceeded, otherwise nil.
func (p principal) over() *api.Error { return beyond(p.rates, "token") }

// beyond returns the refusal if rates are exceeded, otherwise nil. whose names the owner of the
// rates: token or hook.
func beyond(rates sources.Rates, whose string) *api.Error {
	wait := rates.Over()
	if wait == 0 {
		return nil
	}
	return &api.Error{
		Status: http.StatusTooManyRequests, Reason: api.ReasonRate, RetryAfter: wait,
		Message: "more than this " + whose + " may send a second", Hint: "send it again after Retry-After; rate of the " + whose + " says how much there may be",
	}
}
