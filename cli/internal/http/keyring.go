package http

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"auditrelay/cli/internal/api"
	"auditrelay/runtime"
)

func (s *Server) getKeyring(*http.Request, principal, api.None) ([]api.Period, error) {
	return each(s.rt.Keyring(), period), nil
}

func (s *Server) deletePeriod(r *http.Request, who principal, in api.DestroyQuery) (api.Period, error) {
	number, err := strconv.ParseUint(r.PathValue("period"), 10, 64)
	if err != nil {
		return api.Period{}, badRequest("the last part of the path is not a period's number", "auditrelay keyring list lists them")
	}
	if in.DeadLetters != "" && in.DeadLetters != api.DiscardFirst {
		return api.Period{}, badRequest("dead_letters: expected "+api.DiscardFirst, "")
	}
	if refused := reasonOf(in.Reason, true); refused != nil {
		return api.Period{}, refused
	}
	// Once begun, the operation completes even if the client disconnects.
	gone, err := s.rt.DestroyPeriod(context.WithoutCancel(r.Context()), number, who.as(r, in.Reason), in.DeadLetters != "")
	return period(&gone), err
}

// keyringFailure returns the answer if err is an error of the keyring, otherwise nil.
func keyringFailure(err error) *api.Error {
	if held, ok := errors.AsType[*runtime.HeldPeriodError](err); ok {
		return &api.Error{Status: http.StatusConflict, Reason: api.ReasonHeld, Message: held.Error()}
	}
	switch {
	case errors.Is(err, runtime.ErrErased):
		return &api.Error{
			Status: http.StatusGone, Reason: api.ReasonErased,
			Message: err.Error(), Hint: "it can no longer be read, here or in copies made since then",
		}
	case errors.Is(err, runtime.ErrNoPeriod):
		return &api.Error{
			Status: http.StatusNotFound, Reason: api.ReasonNotFound,
			Message: err.Error(), Hint: "auditrelay keyring list lists the periods",
		}
	}
	return nil
}
