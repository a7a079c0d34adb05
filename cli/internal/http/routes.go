package http

import (
	"context"
	"net/http"
	"reflect"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"auditrelay/cli/internal/api"
	"auditrelay/config"
)

// noRole marks a route that needs no authentication. anyRole marks one that needs
// authentication but no particular role.
const (
	noRole  config.Role = ""
	anyRole config.Role = "any"
)

// route is one method and path with the role that it requires.
type route struct {
	method, path string
	role         config.Role
	handle       func(w http.ResponseWriter, r *http.Request, who principal)
	// streams: the handler limits and paces the body itself.
	streams bool
	// scoped: the handler shows a confined principal nothing outside its namespace. All other
	// routes refuse such a principal.
	scoped bool
	// in and out are the types of the request and the answer, for the description of the API.
	in, out reflect.Type
}

// table lists every route of the daemon. The tests check each line against each role.
func (s *Server) table() []route {
	metricsRole := roleView
	if s.public {
		metricsRole = noRole
	}
	own := []route{
		at(api.GetHealth, noRole, s.getHealth),
		at(api.GetReady, noRole, s.getReady),
		at(api.GetMetrics, metricsRole, s.getMetrics),
		answer(s, api.GetVersion, roleView, s.getVersion).withinNamespace(),
		answer(s, api.GetCaller, anyRole, s.getCaller).withinNamespace(),

		at(api.PostEvents, roleIngest, s.postEvents).streaming().withinNamespace(),
		at(api.PostHook, noRole, s.postHook).streaming(), // authenticated by the hook's own secret
		at(api.GetHook, noRole, s.getHook),
		answer(s, api.GetEvent, roleView, s.getEvent).withinNamespace(), // role comply with ?data=true
		answer(s, api.FindEvent, roleView, s.getEvent).withinNamespace(),
		answer(s, api.GetProofs, roleAuditor, s.getProofs).withinNamespace(),
		at(api.GetReceipts, roleView, s.getReceipts),
		answer(s, api.GetStored, roleComply, s.getStored).withinNamespace(),
		at(api.GetTap, roleComply, s.getTap),
		answer(s, api.GetStats, roleView, s.getStats),
		answer(s, api.GetSources, roleView, s.getSources),
		at(api.LookUps, roleComply, s.postLookUp),
		at(api.PostReconcile, roleComply, s.postReconcile), // role admin to repair

		control(s, api.PostBackup, roleAdmin, s.postBackup),
		control(s, api.PostReload, roleAdmin, s.postReload),

		at(api.GetAudit, roleComply, s.audited(s.audit.searches, s.getAudit)).withinNamespace(),
		at(api.GetAuditLog, roleComply, s.audited(s.audit.searches, s.getAuditLog)).withinNamespace(),
		at(api.GetAuditExport, roleComply, s.audited(s.audit.exports, s.getAuditExport)).withinNamespace(),
		control(s, api.GetSearches, roleComply, s.getSearches),
		control(s, api.SaveSearches, roleComply, s.postSearch),
		control(s, api.ForgetSearches, roleComply, s.deleteSearch),
		answer(s, api.RebuildStore, roleAdmin, s.postRebuild),

		answer(s, api.GetFleet, roleView, s.getFleet),
		answer(s, api.DrainRelay, roleOperate, s.drain(false)),
		answer(s, api.UndrainRelay, roleOperate, s.drain(true)),

		answer(s, api.GetApprovals, roleView, s.getApprovals),  // reasons are shown to operate and auditor
		answer(s, api.PostApprove, roleOperate, s.postApprove), // role admin for a key
		answer(s, api.PostReject, roleOperate, s.postReject),

		answer(s, api.GetControl, roleAuditor, s.getControl),

		answer(s, api.GetCompleteness, roleView, s.getCompleteness),
		answer(s, api.PostVerified, roleAuditor, s.postVerified),

		answer(s, api.GetKeyring, roleAdmin, s.getKeyring),
		answer(s, api.DestroyPeriod, roleAdmin, s.deletePeriod), // with ?dead_letters=discard
	}
	return slices.Concat(own, s.callbackRoutes(), s.policyRoutes(), s.moduleRoutes())
}

// callbackRoutes are the routes for callbacks, dead letters and the quarantine.
func (s *Server) callbackRoutes() []route {
	return []route{
		answer(s, api.GetCallbacks, roleView, s.getCallbacks),
		answer(s, api.GetCallback, roleView, s.getCallback),
		answer(s, api.PauseCallback, roleOperate, s.change(false, s.rt.Pause)),
		answer(s, api.ResumeCallback, roleOperate, s.change(false, s.rt.Resume)),
		answer(s, api.DetachCallback, roleOperate, s.change(true, s.rt.Detach)),
		answer(s, api.AttachCallback, roleOperate, s.change(false, s.rt.Attach)),
		answer(s, api.ReplayCallback, roleOperate, s.postReplay),
		answer(s, api.CancelReplay, roleOperate, s.cancelReplay),
		answer(s, api.TestCallback, roleOperate, s.postTest),
		answer(s, api.GetDeliveries, roleView, s.getDeliveries), // texts are shown to comply

		answer(s, api.GetDeadLetters, roleView, s.getDeadLetters),
		answer(s, api.GetDeadLetter, roleComply, s.getDeadLetter),
		answer(s, api.DiscardDeadLetters, roleOperate, s.deadLetters(true, s.rt.DiscardDeadLetters)),
		answer(s, api.ReplayDeadLetters, roleOperate, s.replayDeadLetters),
		answer(s, api.GetDeadReplays, roleView, s.getDeadReplays),
		answer(s, api.CancelDeadReplay, roleOperate, s.cancelDeadReplay),

		answer(s, api.GetQuarantine, roleView, s.getQuarantine),
		answer(s, api.GetQuarantined, roleComply, s.getQuarantineItem),
		answer(s, api.ReplayQuarantine, roleOperate, s.quarantine(false, s.replayItem)),
		answer(s, api.DeleteQuarantine, roleOperate, s.quarantine(true, s.deleteItem)),
		at(api.ReplaceQuarantined, roleOperate, s.postReplacement).streaming(), // role ingest as well
	}
}

// policyRoutes are the routes for policies, trials and shadows.
func (s *Server) policyRoutes() []route {
	return []route{
		control(s, api.GetPolicies, roleView, s.getPolicies),
		answer(s, api.GetPolicyHistory, roleView, s.getPolicyHistory),
		control(s, api.PostPolicyDiff, roleComply, s.postPolicyDiff),
		control(s, api.PostTry, roleComply, s.postTry),
		control(s, api.GetPolicy, roleView, s.getPolicy),
		control(s, api.GetConfig, roleComply, s.getConfigText),

		control(s, api.StartShadows, roleAdmin, s.startShadow),
		control(s, api.GetShadows, roleView, s.getShadows), // paths are shown to comply
		control(s, api.GetShadow, roleView, s.getShadow),
		control(s, api.UseShadow, roleAdmin, s.useShadow),
		control(s, api.DropShadow, roleOperate, s.dropShadow),
		control(s, api.StartRollouts, roleAdmin, s.startRollout),
		control(s, api.GetRollouts, roleView, s.getRollouts),
		control(s, api.PromoteRollout, roleAdmin, s.promoteRollout),
		control(s, api.RollBack, roleOperate, s.rollBack),
		control(s, api.SetPolicy, roleAdmin, s.postPolicyUse),
	}
}

// moduleRoutes are the routes for modules and the filters that run them.
func (s *Server) moduleRoutes() []route {
	return []route{
		at(api.PushModule, roleAdmin, s.postModule).streaming(),
		control(s, api.GetModules, roleView, s.getModules),
		control(s, api.InspectModule, roleView, s.getModule),
		control(s, api.CheckModules, roleAdmin, s.postModuleCheck),
		at(api.GetModuleContent, roleAdmin, s.getModuleContent),
		control(s, api.DeleteModule, roleAdmin, s.deleteModule),
		control(s, api.GetFilters, roleView, s.getFilters),
		control(s, api.UseModule, roleAdmin, s.postModuleUse),
		control(s, api.ResetBreaker, roleOperate, s.postReset),
	}
}

// at returns the route of an endpoint whose handler reads the request and writes the answer
// itself.
func at[In, Out any](e api.Endpoint[In, Out], role config.Role, handle func(http.ResponseWriter, *http.Request, principal)) route {
	return route{
		method: e.Method, path: e.Path, role: role, handle: handle,
		in: reflect.TypeFor[In](), out: reflect.TypeFor[Out](),
	}
}

func (rt route) withinNamespace() route {
	rt.scoped = true
	return rt
}

func (rt route) streaming() route {
	rt.streams = true
	return rt
}

// answer returns the route of an endpoint whose handler receives In and returns Out. An error
// that is an *api.Error becomes the answer.
func answer[In, Out any](s *Server, e api.Endpoint[In, Out], role config.Role, do func(r *http.Request, who principal, in In) (Out, error)) route {
	return at(e, role, func(w http.ResponseWriter, r *http.Request, who principal) {
		var in In
		var refused *api.Error
		switch {
		case any(in) == any(api.None{}):
		case e.InQuery():
			refused = api.ReadQuery(r.URL.Query(), &in)
		default:
			refused = decode(r, &in)
		}
		if refused != nil {
			respondError(w, refused)
			return
		}
		out, err := do(r, who, in)
		if err != nil {
			respondError(w, s.failure(r, err))
			return
		}
		if v, ok := any(out).(interface{ ETag() string }); ok {
			w.Header().Set("ETag", strconv.Quote(v.ETag()))
		}
		respondJSON(w, out)
	})
}

// control is like answer, for operations of the process around the runtime.
func control[In, Out any](s *Server, e api.Endpoint[In, Out], role config.Role, do func(r *http.Request, who principal, in In) (Out, error)) route {
	return answer(s, e, role, func(r *http.Request, who principal, in In) (Out, error) {
		if s.control == nil {
			var none Out
			return none, notSupported()
		}
		return do(r, who, in)
	})
}

// smallBody limits the size in bytes of every body except that of POST /v1/events.
const smallBody = 1 << 20

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	// Patterns without a method need their own multiplexer: next to the routes some of them
	// would conflict.
	paths := http.NewServeMux()
	allowed := map[string][]string{}
	for _, rt := range s.table() {
		mux.Handle(rt.method+" "+rt.path, s.wrap(rt))
		allowed[rt.path] = append(allowed[rt.path], rt.method)
	}
	for _, path := range corsPaths() {
		mux.HandleFunc("OPTIONS "+path, s.preflight)
	}
	for path, methods := range allowed {
		paths.Handle(path, methodNotAllowed(strings.Join(methods, ", ")))
	}
	paths.HandleFunc("/", notFound)
	mux.Handle("/", paths)
	if s.pages != nil {
		mux.Handle("/ui/", s.untilTheEnd(s.pages(mux, s.deny)))
		mux.Handle("GET /ui", http.RedirectHandler("/ui/", http.StatusSeeOther))
	}
	return mux
}

// untilTheEnd cancels requests that only read when the server stops. Otherwise an open page
// would delay the stop.
func (s *Server) untilTheEnd(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			ctx, cancel := context.WithCancel(r.Context())
			defer cancel()
			go func() {
				select {
				case <-s.ending:
					cancel()
				case <-ctx.Done():
				}
			}()
			r = r.WithContext(ctx)
		}
		next.ServeHTTP(w, r)
	})
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

// wrap adds authentication, limits and accounting to a route.
func (s *Server) wrap(rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		rec := &statusRecorder{ResponseWriter: w, patience: s.patience.write}
		defer func() {
			if p := recover(); p != nil {
				s.panicked(rec, rt.method, rt.path, p)
			}
			s.metrics.request(rt, rec.status, time.Since(start))
		}()
		head := rec.Header()
		head.Set("X-Content-Type-Options", "nosniff")
		head.Set("Cache-Control", "no-store")
		if slices.Contains(corsPaths(), rt.path) {
			s.allowOrigin(rec, r)
		}
		var who principal
		if rt.role != noRole {
			var err *api.Error
			if who, err = s.auth.Load().identify(r); err == nil {
				err = who.allow(rt.role)
			}
			if err == nil && !rt.scoped {
				err = who.unconfined()
			}
			if err != nil {
				s.deny(r, err.Reason, who.name)
				if rt.role == roleIngest {
					s.denied.Add(1)
				}
				if err.Status == http.StatusUnauthorized {
					if slow := s.failures.slow(r.Context(), peerAddress(r)); slow != nil {
						err = slow
					}
				}
				respondError(rec, err)
				return
			}
			s.principals.count(who.by(), func(u *usage) { u.requests++ })
			if err := who.over(); err != nil {
				s.principals.count(who.by(), func(u *usage) { u.rate++ })
				s.metrics.refused(err.Reason)
				if rt.role == roleIngest {
					s.senders.Seen(who.by(), 1)
				}
				respondError(rec, err)
				return
			}
		}
		if !rt.streams {
			r.Body = http.MaxBytesReader(rec, r.Body, smallBody)
		}
		rt.handle(rec, r, who)
		if rec.status == http.StatusForbidden && rt.role != noRole { // a role for a part of what the route does
			s.deny(r, api.ReasonForbidden, who.name)
		}
	})
}

// panicked responds after a handler's panic.
func (s *Server) panicked(rec *statusRecorder, method, route string, p any) {
	if p == http.ErrAbortHandler {
		panic(p)
	}
	// The value of a panic may contain part of the request. The stack does not.
	s.log.Error("request panicked", "method", method, "route", route, "stack", string(debug.Stack()))
	if rec.status == 0 {
		respondError(rec, internalError())
	}
}

// statusRecorder stores the status that was sent and sets a deadline for the client to read the
// answer.
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
