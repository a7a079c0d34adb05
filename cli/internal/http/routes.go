package http

import (
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"auditrelay/cli/internal/api"
	"auditrelay/config"
)

// noRole marks a route that needs no authentication.
const noRole config.Role = ""

// route is one method and path, and the role that it takes.
type route struct {
	method, path string
	role         config.Role
	handle       func(w http.ResponseWriter, r *http.Request, who principal)
	// streams: the handler bounds and paces the body itself.
	streams bool
}

// table is all that the daemon answers; the tests hold every line of it against
// every role.
func (s *Server) table() []route {
	metricsRole := roleView
	if s.public {
		metricsRole = noRole
	}
	return append([]route{
		{"GET", "/healthz", noRole, s.getHealth, false},
		{"GET", "/readyz", noRole, s.getReady, false},
		{"GET", "/metrics", metricsRole, s.getMetrics, false},

		{"POST", "/v1/events", roleIngest, s.postEvents, true},
		{"GET", "/v1/events/{id}", roleView, s.getEvent, false}, // comply with ?data=true
		{"GET", "/v1/events", roleView, s.getEvent, false},      // ?id=, for ids that are no part of a path
		{"GET", "/v1/receipts", roleView, s.getReceipts, false},
		{"POST", "/v1/pseudonyms", roleComply, answerControl(s, func(c Control, r *http.Request, who principal) (api.LookedUp, error) {
			want, refused := readLookUp(r)
			if refused != nil {
				return api.LookedUp{}, refused
			}
			return c.LookUp(r.Context(), want, who.by())
		}), false},
		{"GET", "/v1/stored", roleComply, s.getStored, false},
		{"GET", "/v1/stats", roleView, s.getStats, false},
		{"GET", "/v1/sources", roleView, s.getSources, false},
		{"POST", "/v1/reconcile", roleComply, s.postReconcile, false}, // admin to repair
		{"GET", "/v1/version", roleView, s.getVersion, false},

		{"GET", "/v1/callbacks", roleView, s.getCallbacks, false},
		{"GET", "/v1/callbacks/{name}", roleView, s.getCallback, false},
		{"POST", "/v1/callbacks/{name}/pause", roleOperate, s.change(s.rt.Pause), false},
		{"POST", "/v1/callbacks/{name}/resume", roleOperate, s.change(s.rt.Resume), false},
		{"POST", "/v1/callbacks/{name}/detach", roleOperate, s.change(s.rt.Detach), false},
		{"POST", "/v1/callbacks/{name}/attach", roleOperate, s.change(s.rt.Attach), false},
		{"POST", "/v1/callbacks/{name}/replay", roleOperate, s.postReplay, false},

		{"GET", "/v1/callbacks/{name}/dead-letters", roleView, s.getDeadLetters, false},
		{"GET", "/v1/callbacks/{name}/dead-letters/{sequence}", roleComply, s.getDeadLetter, false},
		{"POST", "/v1/callbacks/{name}/dead-letters/discard", roleOperate, s.deadLetters(s.rt.DiscardDeadLetters), false},
		{"POST", "/v1/callbacks/{name}/dead-letters/replay", roleOperate, s.deadLetters(s.rt.ReplayDeadLetters), false},

		{"GET", "/v1/quarantine", roleView, s.getQuarantine, false},
		{"GET", "/v1/quarantine/{number}", roleComply, s.getQuarantineItem, false},
		{"POST", "/v1/quarantine/replay", roleOperate, s.quarantine(s.replayItem), false},
		{"POST", "/v1/quarantine/delete", roleOperate, s.quarantine(s.deleteItem), false},
		{"POST", "/v1/quarantine/{number}/replay", roleOperate, s.postReplacement, true}, // ingest as well

		{"POST", "/v1/backup", roleAdmin, s.postBackup, false},
		{"POST", "/v1/reload", roleAdmin, s.postReload, false},
	}, slices.Concat(s.auditRoutes(), s.moduleRoutes(), s.keyringRoutes())...)
}

// smallBody bounds every body but that of POST /v1/events.
const smallBody = 1 << 20

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	// Paths alone stand in a multiplexer of their own: beside the routes proper
	// some would conflict.
	paths := http.NewServeMux()
	allowed := map[string][]string{}
	for _, rt := range s.table() {
		mux.Handle(rt.method+" "+rt.path, s.wrap(rt))
		allowed[rt.path] = append(allowed[rt.path], rt.method)
	}
	for path, methods := range allowed {
		paths.Handle(path, methodNotAllowed(strings.Join(methods, ", ")))
	}
	paths.HandleFunc("/", notFound)
	mux.Handle("/", paths)
	return mux
}

func methodNotAllowed(allowed string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", allowed)
		respondError(w, &api.Error{
			Status: http.StatusMethodNotAllowed, Reason: api.ReasonMethod,
			Message: "this path takes " + allowed,
		})
	})
}

func notFound(w http.ResponseWriter, r *http.Request) {
	respondError(w, &api.Error{
		Status: http.StatusNotFound, Reason: api.ReasonNotFound,
		Message: "no such path", Hint: "events go to POST /v1/events",
	})
}

// wrap puts authentication, bounds and accounting around a route.
func (s *Server) wrap(rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		rec := &statusRecorder{ResponseWriter: w, patience: s.patience.write}
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler {
					panic(p)
				}
				// The value may hold a piece of the request; the stack does not.
				s.log.Error("request panicked", "method", rt.method, "route", rt.path, "stack", string(debug.Stack()))
				if rec.status == 0 {
					respondError(rec, internalError())
				}
			}
			s.metrics.request(rt, rec.status, time.Since(start))
		}()
		head := rec.Header()
		head.Set("X-Content-Type-Options", "nosniff")
		head.Set("Cache-Control", "no-store")
		var who principal
		if rt.role != noRole {
			var err *api.Error
			if who, err = s.auth.Load().identify(r); err == nil {
				err = who.allow(rt.role)
			}
			if err != nil {
				s.metrics.refused(err.Reason)
				if rt.role == roleIngest {
					s.sources.Denied()
				}
				respondError(rec, err)
				return
			}
		}
		if !rt.streams {
			r.Body = http.MaxBytesReader(rec, r.Body, smallBody)
		}
		rt.handle(rec, r, who)
	})
}

// statusRecorder remembers the status that was sent, and gives the client a time
// to read the answer.
type statusRecorder struct {
	http.ResponseWriter
	patience time.Duration
	status   int
}

func (s *statusRecorder) WriteHeader(status int) {
	if s.status == 0 {
		s.status = status
		_ = http.NewResponseController(s.ResponseWriter).SetWriteDeadline(time.Now().Add(s.patience))
	}
	s.ResponseWriter.WriteHeader(status)
}

func (s *statusRecorder) Write(b []byte) (int, error) {
	if s.status == 0 {
		s.WriteHeader(http.StatusOK)
	}
	return s.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (s *statusRecorder) Unwrap() http.ResponseWriter { return s.ResponseWriter }
