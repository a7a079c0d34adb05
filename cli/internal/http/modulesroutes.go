package http

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"

	"auditrelay/cli/internal/api"
	"auditrelay/runtime"
)

func (s *Server) getModules(*http.Request, principal, api.None) ([]api.Module, error) {
	return s.control.ListModules()
}

func (s *Server) getModule(r *http.Request, _ principal, _ api.None) (api.Inspection, error) {
	return s.control.InspectModule(r.PathValue("digest"))
}

func (s *Server) postModuleCheck(r *http.Request, _ principal, in api.CheckModule) (api.ModuleChecked, error) {
	select {
	case s.pushing <- struct{}{}: // the module is in memory and compiled, as it is for a push
		defer func() { <-s.pushing }()
	default:
		return api.ModuleChecked{}, pushing()
	}
	return s.control.CheckModule(r.Context(), r.PathValue("digest"), in.Filter)
}

func pushing() *api.Error {
	return &api.Error{Status: http.StatusServiceUnavailable, Reason: api.ReasonBusy, Message: "another module is being pushed or checked", RetryAfter: retrySoon}
}

func (s *Server) deleteModule(r *http.Request, who principal, why api.Why) (api.StoredModule, error) {
	if refused := reasonOf(why.Reason, false); refused != nil {
		return api.StoredModule{}, refused
	}
	return s.control.DeleteModule(r.PathValue("digest"), who.as(r, why.Reason))
}

func (s *Server) getFilters(*http.Request, principal, api.None) ([]api.Filter, error) {
	return s.control.ListFilters()
}

func (s *Server) postModuleUse(r *http.Request, who principal, in api.Use) (api.Used, error) {
	if refused := reasonOf(in.Reason, false); refused != nil {
		return api.Used{}, refused
	}
	// Once begun, the operation completes even if the client disconnects.
	return s.control.UseModule(context.WithoutCancel(r.Context()), r.PathValue("name"), in, who.as(r, in.Reason))
}

func (s *Server) postReset(r *http.Request, who principal, why api.Why) (api.Changed, error) {
	if refused := reasonOf(why.Reason, false); refused != nil {
		return api.Changed{}, refused
	}
	return api.Changed{Changed: 1}, s.control.ResetBreaker(r.PathValue("name"), who.as(r, why.Reason))
}

// maxPush limits the size of an uploaded module in bytes. The module is kept in memory while it
// is checked.
const maxPush = runtime.MaxModuleBytes

func (s *Server) postModule(w http.ResponseWriter, r *http.Request, who principal) {
	if s.control == nil {
		respondError(w, notSupported())
		return
	}
	var in api.PushQuery
	refused := api.ReadQuery(r.URL.Query(), &in)
	if refused == nil {
		refused = reasonOf(in.Reason, false)
	}
	if refused != nil {
		respondError(w, refused)
		return
	}
	if r.ContentLength > maxPush {
		respondError(w, tooLarge(maxPush))
		return
	}
	select {
	case s.pushing <- struct{}{}:
		defer func() { <-s.pushing }()
	default:
		respondError(w, pushing())
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxPush)
	wasm, err := io.ReadAll(newPacedReader(w, r, s.patience.body))
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			respondError(w, tooLarge(maxPush))
			return
		}
		respondError(w, &api.Error{Status: http.StatusRequestTimeout, Reason: api.ReasonTooSlow, Message: "the body was incomplete or too slow"})
		return
	}
	if in.Check {
		checked, err := s.control.CheckUpload(r.Context(), in.Name, in.Filter, wasm)
		if err != nil {
			respondError(w, s.failure(r, err))
			return
		}
		respondJSON(w, api.Pushed{StoredModule: api.StoredModule{SHA256: checked.SHA256, Name: in.Name, Size: int64(len(wasm))}, Checked: &checked})
		return
	}
	pushed, err := s.control.Push(context.WithoutCancel(r.Context()), in.Name, in.Filter, wasm, who.as(r, in.Reason))
	if err != nil {
		respondError(w, s.failure(r, err))
		return
	}
	respondJSON(w, pushed)
}

func (s *Server) getModuleContent(w http.ResponseWriter, r *http.Request, who principal) {
	if s.control == nil {
		respondError(w, notSupported())
		return
	}
	sha256, wasm, err := s.control.ModuleContent(r.PathValue("digest"))
	if err != nil {
		respondError(w, s.failure(r, err))
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/wasm")
	h.Set("Content-Length", strconv.Itoa(len(wasm)))
	h.Set("ETag", strconv.Quote(sha256))
	_, _ = w.Write(wasm) // the client disconnected; its next request reports a fault
}
