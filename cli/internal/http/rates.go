package http

import (
	"net/http"

	"auditrelay/cli/internal/api"
)

// over returns the refusal of a request beyond a token's rate.
func (p principal) over() *api.Error {
	wait := p.rates.Over()
	if wait == 0 {
		return nil
	}
	return &api.Error{
		Status: http.StatusTooManyRequests, Reason: api.ReasonRate, RetryAfter: wait,
		Message: "more than this token may send a second", Hint: "send it again after Retry-After; rate of the token says how much there may be",
	}
}
