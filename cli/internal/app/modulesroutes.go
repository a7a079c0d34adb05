package app

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"

	"auditrelay/cli/internal/api"
	"auditrelay/runtime"
)

// answerModules runs one request on modules or filters.
func answerModules[T any](s *Server, do func(d *daemon, r *http.Request, who principal) (T, error)) func(http.ResponseWriter, *http.Request, principal) {
	return func(w http.ResponseWriter, r *http.Request, who principal) {
		if s.modules == nil {
			respondError(w, notSupported("modules"))
			return
		}
		answer, err := do(s.modules, r, who)
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
		{"GET", "/v1/modules", roleView, answerModules(s, func(d *daemon, _ *http.Request, _ principal) ([]api.Module, error) {
			return d.listModules()
		}), false},
		{"GET", "/v1/modules/{digest}", roleView, answerModules(s, func(d *daemon, r *http.Request, _ principal) (api.Inspection, error) {
			return d.inspectModule(r.PathValue("digest"))
		}), false},
		{"GET", "/v1/modules/{digest}/content", roleAdmin, s.getModuleContent, false},
		{"DELETE", "/v1/modules/{digest}", roleAdmin, answerModules(s, func(d *daemon, r *http.Request, who principal) (runtime.StoredModule, error) {
			return d.deleteModule(r.PathValue("digest"), who.by())
		}), false},
		{"GET", "/v1/filters", roleView, answerModules(s, func(d *daemon, _ *http.Request, _ principal) ([]api.Filter, error) {
			return d.listFilters()
		}), false},
		{"POST", "/v1/filters/{name}/module", roleAdmin, answerModules(s, func(d *daemon, r *http.Request, who principal) (api.Used, error) {
			var want api.Use
			if err := decode(r, &want); err != nil {
				return api.Used{}, err
			}
			// Once begun it is brought to its end, whoever waits for it.
			return d.use(context.WithoutCancel(r.Context()), r.PathValue("name"), want, who.by())
		}), false},
		{"POST", "/v1/filters/{name}/reset", roleOperate, answerModules(s, func(d *daemon, r *http.Request, who principal) (api.Changed, error) {
			return api.Changed{Changed: 1}, d.resetBreaker(r.PathValue("name"), who.by())
		}), false},
	}
}

// maxPush bounds a module on its way in: it is held in memory while it is checked.
const maxPush = 64 << 20

func (s *Server) postModule(w http.ResponseWriter, r *http.Request, who principal) {
	if s.modules == nil {
		respondError(w, notSupported("modules"))
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
	pushed, err := s.modules.push(context.WithoutCancel(r.Context()), query.Get("name"), query.Get("filter"), wasm, who.by())
	if err != nil {
		respondError(w, s.moduleFailure(r, err))
		return
	}
	respondJSON(w, pushed)
}

func (s *Server) getModuleContent(w http.ResponseWriter, r *http.Request, who principal) {
	if s.modules == nil {
		respondError(w, notSupported("modules"))
		return
	}
	stored, err := s.modules.find(r.PathValue("digest"))
	var wasm []byte
	if err == nil {
		wasm, err = s.rt.Modules().Bytes(stored.SHA256)
	}
	if err != nil {
		respondError(w, s.moduleFailure(r, err))
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/wasm")
	h.Set("Content-Length", strconv.Itoa(len(wasm)))
	h.Set("ETag", strconv.Quote(stored.SHA256))
	_, _ = w.Write(wasm) // the client is gone; the next request tells
}
