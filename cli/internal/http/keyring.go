package http

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"auditrelay/cli/internal/api"
	"auditrelay/runtime"
)

// keyringRoutes are the keys that events are stored under, by periods.
func (s *Server) keyringRoutes() []route {
	return []route{
		{"GET", "/v1/keyring", roleAdmin, s.getKeyring, false},
		{"DELETE", "/v1/keyring/{period}", roleAdmin, s.deletePeriod, false}, // ?dead_letters=discard
	}
}

func (s *Server) getKeyring(w http.ResponseWriter, _ *http.Request, _ principal) {
	respondJSON(w, s.rt.Keyring())
}

func (s *Server) deletePeriod(w http.ResponseWriter, r *http.Request, who principal) {
	number, err := strconv.ParseUint(r.PathValue("period"), 10, 64)
	if err != nil {
		respondError(w, badRequest("the last part of the path is not a period's number", "auditrelay keyring list lists them"))
		return
	}
	discard := r.URL.Query().Get("dead_letters")
	if discard != "" && discard != api.DiscardDeadLetters {
		respondError(w, badRequest("dead_letters: expected "+api.DiscardDeadLetters, ""))
		return
	}
	// Once begun it is brought to its end, whoever waits for it.
	gone, err := s.rt.DestroyPeriod(context.WithoutCancel(r.Context()), number, who.by(), discard != "")
	if err != nil {
		respondError(w, s.failure(r, err))
		return
	}
	respondJSON(w, gone)
}

// keyringFailure is the answer to what the keyring stands in the way of, nil where it
// does not.
func keyringFailure(err error) *api.Error {
	if held, ok := errors.AsType[*runtime.HeldPeriodError](err); ok {
		return &api.Error{Status: http.StatusConflict, Reason: api.ReasonHeld, Message: held.Error()}
	}
	switch {
	case errors.Is(err, runtime.ErrErased):
		return &api.Error{
			Status: http.StatusGone, Reason: api.ReasonErased,
			Message: err.Error(), Hint: "it cannot be read any more, here or in a copy made since",
		}
	case errors.Is(err, runtime.ErrNoPeriod):
		return &api.Error{
			Status: http.StatusNotFound, Reason: api.ReasonNotFound,
			Message: err.Error(), Hint: "auditrelay keyring list lists what there is",
		}
	}
	return nil
}
