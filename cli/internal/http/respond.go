package http

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"auditrelay"
	"auditrelay/cli/internal/api"
	"auditrelay/runtime"
)

// statusClientGone is the status that is logged and counted for a request whose client
// disconnected.
const statusClientGone = 499

func respond(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client disconnected; its next request reports a fault
}

func respondJSON(w http.ResponseWriter, v any) {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)              // the contents of events are sent exactly as they were received
	if err := encoder.Encode(v); err != nil { // one of our values cannot be encoded as JSON
		respondError(w, internalError())
		return
	}
	respond(w, http.StatusOK, body.Bytes())
}

func respondError(w http.ResponseWriter, e *api.Error) { respondFailure(w, e, api.Failure{Error: e}) }

// respondFailure answers with the status and headers of e and with body, which contains e.
func respondFailure(w http.ResponseWriter, e *api.Error, body any) {
	errorHead(w, e)
	text, err := json.Marshal(body)
	if err != nil {
		text = []byte(`{"error":{"reason":"internal"}}`)
	}
	respond(w, e.Status, append(text, '\n'))
}

// errorHead sets the headers for e.
func errorHead(w http.ResponseWriter, e *api.Error) {
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(e.RetryAfter.Seconds()))))
	}
	switch e.Status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="auditrelay"`)
	case http.StatusRequestEntityTooLarge, http.StatusRequestTimeout:
		// The rest of the body is not read.
		w.Header().Set("Connection", "close")
	}
}

func internalError() *api.Error {
	return &api.Error{
		Status: http.StatusInternalServerError, Reason: api.ReasonInternal,
		Message: "the relay failed on this request", Hint: "its log says more",
	}
}

func badRequest(message, hint string) *api.Error {
	return &api.Error{Status: http.StatusBadRequest, Reason: api.ReasonBadRequest, Message: message, Hint: hint}
}

// retrySoon is the default delay before a retry.
const retrySoon = time.Second

// failure converts an error of the runtime into an answer. Errors that the relay itself creates
// contain no event data. Any other error is written to the log only.
func (s *Server) failure(r *http.Request, err error) *api.Error {
	if refused, ok := errors.AsType[*api.Error](err); ok {
		return refused
	}
	if unavailable, ok := errors.AsType[*runtime.UnavailableError](err); ok {
		return &api.Error{
			Status: http.StatusServiceUnavailable, Reason: api.ReasonUnavailable,
			Message: unavailable.Error(), RetryAfter: max(unavailable.RetryAfter, retrySoon),
		}
	}
	if answer := approvalFailure(err); answer != nil {
		return answer
	}
	if answer := keyringFailure(err); answer != nil {
		return answer
	}
	switch {
	case errors.Is(err, runtime.ErrTooLarge):
		return &api.Error{
			Status: http.StatusRequestEntityTooLarge, Reason: api.ReasonTooLarge,
			Message: err.Error(), Hint: "send fewer events in a request, or without atomic",
		}
	case errors.Is(err, runtime.ErrControl):
		return &api.Error{Status: http.StatusConflict, Reason: api.ReasonHeld, Message: err.Error()}
	case errors.Is(err, runtime.ErrChanged):
		return &api.Error{Status: http.StatusPreconditionFailed, Reason: api.ReasonChanged, Message: err.Error(), Hint: "look at it again, then decide"}
	case errors.Is(err, runtime.ErrClosed):
		return &api.Error{
			Status: http.StatusServiceUnavailable, Reason: api.ReasonUnavailable,
			Message: err.Error(), RetryAfter: 5 * time.Second,
		}
	case errors.Is(err, runtime.ErrNotSeen):
		return &api.Error{
			Status: http.StatusNotFound, Reason: api.ReasonNotSeen,
			Message: err.Error(), Hint: "it was never accepted here, or retention has deleted it",
		}
	case errors.Is(err, runtime.ErrBadPage):
		return badRequest("after: "+err.Error(), "use the value of next from the previous page")
	case errors.Is(err, runtime.ErrReplayRange):
		return badRequest(err.Error(), "give sequences or times within the journal")
	case absent(err) != "":
		return &api.Error{Status: http.StatusNotFound, Reason: api.ReasonNotFound, Message: err.Error(), Hint: absent(err)}
	case errors.Is(err, runtime.ErrRollout):
		return &api.Error{Status: http.StatusConflict, Reason: api.ReasonConflict, Message: err.Error(), Hint: "auditrelay rollout promote FILTER; auditrelay rollout back FILTER"}
	case errors.Is(err, runtime.ErrShadows):
		return &api.Error{Status: http.StatusConflict, Reason: api.ReasonConflict, Message: err.Error()}
	case errors.Is(err, runtime.ErrConflict):
		return &api.Error{Status: http.StatusConflict, Reason: api.ReasonConflict, Message: err.Error()}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &api.Error{Status: statusClientGone, Reason: api.ReasonBadRequest, Message: "the request was given up"}
	}
	if option, ok := errors.AsType[*auditrelay.OptionError](err); ok {
		return &api.Error{Status: http.StatusBadRequest, Reason: api.ReasonBadRequest, Field: option.Path, Message: option.Err.Error()}
	}
	s.log.Error("request failed", "method", r.Method, "route", r.Pattern, "error", err)
	return internalError()
}

// absent returns a hint where existing things are listed, if err says that something was not
// found.
func absent(err error) (hint string) {
	switch {
	case errors.Is(err, runtime.ErrNoCallback):
		return "auditrelay callbacks lists what there is"
	case errors.Is(err, runtime.ErrNoDeadLetter):
		return "auditrelay dead-letter list CALLBACK lists what there is"
	case errors.Is(err, runtime.ErrNoDeadReplay):
		return "auditrelay dead-letter jobs lists what there is"
	case errors.Is(err, runtime.ErrNoQuarantineItem):
		return "auditrelay quarantine list lists what there is"
	case errors.Is(err, runtime.ErrNoShadow):
		return "auditrelay shadow list lists what there is; shadows end with the relay"
	case errors.Is(err, runtime.ErrNoRollout):
		return "auditrelay rollout show shows the last one"
	}
	return ""
}

func byteCount(n int64) string { return auditrelay.ByteSize(n).String() }
