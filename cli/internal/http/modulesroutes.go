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

// answerControl answers what the process around the runtime does.
func answerControl[T any](s *Server, do func(c Control, r *http.Request, who principal) (T, error)) func(http.ResponseWriter, *http.Request, principal) {
	return func(w http.ResponseWriter, r *http.Request, who principal) {
		if s.control == nil {
			respondError(w, notSupported("modules, look-ups and reloads"))
			return
		}
		answer, err := do(s.control, r, who)
		if err != nil {
			respondError(w, s.moduleFailure(r, err))
			return
		}
		respondJSON(w, answer)
	}
}

func (s *Server) moduleFailure(r *http.Request, err error) *api.Error {
	if refused, ok := errors.AsType[*api.Error](err); ok {
		return refused
	}
	return s.failure(r, err)
}

func (s *Server) moduleRoutes() []route {
	return []route{
		{"POST", "/v1/modules", roleAdmin, s.postModule, true},
		{"GET", "/v1/modules", roleView, answerControl(s, func(c Control, _ *http.Request, _ principal) ([]api.Module, error) {
			return c.ListModules()
		}), false},
		{"GET", "/v1/modules/{digest}", roleView, answerControl(s, func(c Control, r *http.Request, _ principal) (api.Inspection, error) {
			return c.InspectModule(r.PathValue("digest"))
		}), false},
		{"GET", "/v1/modules/{digest}/content", roleAdmin, s.getModuleContent, false},
		{"DELETE", "/v1/modules/{digest}", roleAdmin, answerControl(s, func(c Control, r *http.Request, who principal) (runtime.StoredModule, error) {
			return c.DeleteModule(r.PathValue("digest"), who.by())
		}), false},
		{"GET", "/v1/filters", roleView, answerControl(s, func(c Control, _ *http.Request, _ principal) ([]api.Filter, error) {
			return c.ListFilters()
		}), false},
		{"POST", "/v1/filters/{name}/module", roleAdmin, answerControl(s, func(c Control, r *http.Request, who principal) (api.Used, error) {
			var want api.Use
			if err := decode(r, &want); err != nil {
				return api.Used{}, err
			}
			// Once begun it is brought to its end, whoever waits for it.
			return c.UseModule(context.WithoutCancel(r.Context()), r.PathValue("name"), want, who.by())
		}), false},
		{"POST", "/v1/filters/{name}/reset", roleOperate, answerControl(s, func(c Control, r *http.Request, who principal) (api.Changed, error) {
			return api.Changed{Changed: 1}, c.ResetBreaker(r.PathValue("name"), who.by())
		}), false},
	}
}

// maxPush bounds a module on its way in: it is held in memory while it is checked.
const maxPush = 64 << 20

func (s *Server) postModule(w http.ResponseWriter, r *http.Request, who principal) {
	if s.control == nil {
		respondError(w, notSupported("modules, look-ups and reloads"))
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
		respondError(w, &api.Error{Status: http.StatusServiceUnavailable, Reason: api.ReasonBusy, Message: "another module is being pushed", RetryAfter: retrySoon})
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxPush)
	wasm, err := io.ReadAll(newPacedReader(w, r, s.patience.body))
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			respondError(w, tooLarge(maxPush))
			return
		}
		respondError(w, &api.Error{Status: http.StatusRequestTimeout, Reason: api.ReasonTooSlow, Message: "the body did not come whole, or too slowly"})
		return
	}
	query := r.URL.Query()
	pushed, err := s.control.Push(context.WithoutCancel(r.Context()), query.Get("name"), query.Get("filter"), wasm, who.by())
	if err != nil {
		respondError(w, s.moduleFailure(r, err))
		return
	}
	respondJSON(w, pushed)
}

func (s *Server) getModuleContent(w http.ResponseWriter, r *http.Request, who principal) {
	if s.control == nil {
		respondError(w, notSupported("modules, look-ups and reloads"))
		return
	}
	sha256, wasm, err := s.control.ModuleContent(r.PathValue("digest"))
	if err != nil {
		respondError(w, s.moduleFailure(r, err))
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/wasm")
	h.Set("Content-Length", strconv.Itoa(len(wasm)))
	h.Set("ETag", strconv.Quote(sha256))
	_, _ = w.Write(wasm) // the client is gone; the next request tells
}
