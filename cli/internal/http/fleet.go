package http

import (
	"context"
	"crypto/subtle"
	"net"
	"net/http"

	"auditrelay/cli/internal/api"
	"auditrelay/runtime"
)

// Fleet is the fleet of the process around the runtime. Its methods are safe for concurrent
// use.
type Fleet interface {
	// Fleet returns the fleet as this relay last saw it.
	Fleet() api.Fleet
	// Drain makes a relay give the lease up; with undo, it may take it again.
	Drain(ctx context.Context, name string, undo bool, by runtime.By) (api.Fleet, error)
}

// alone returns the response of a relay that is in no fleet.
func alone() *api.Error {
	return &api.Error{Status: http.StatusNotFound, Reason: api.ReasonNotFound, Message: "this relay is in no fleet", Hint: "journal.postgres.fleet makes it part of one"}
}

func (s *Server) getFleet(*http.Request, principal, api.None) (api.Fleet, error) {
	if s.fleet == nil {
		return api.Fleet{}, alone()
	}
	return s.fleet.Fleet(), nil
}

// drain returns the handler that makes a relay give the lease up, or allows it again.
func (s *Server) drain(undo bool) func(*http.Request, principal, api.Why) (api.Fleet, error) {
	return func(r *http.Request, who principal, why api.Why) (api.Fleet, error) {
		if s.fleet == nil {
			return api.Fleet{}, alone()
		}
		if refused := reasonOf(why.Reason, false); refused != nil {
			return api.Fleet{}, refused
		}
		return s.fleet.Drain(r.Context(), r.PathValue("name"), undo, who.as(r, why.Reason))
	}
}

// where adds the relay of a fleet that runs the callbacks, which is the leader.
func (s *Server) where(statuses ...api.CallbackStatus) []api.CallbackStatus {
	if s.fleet != nil {
		name := s.fleet.Fleet().Relay
		for i := range statuses {
			statuses[i].Relay = name
		}
	}
	return statuses
}

// The headers of a request that one relay of a fleet forwards to the leader: a proof that it
// belongs to the fleet, and the request's origin. From other clients they are ignored.
const (
	fleetHeader = "Auditrelay-Fleet"
	peerHeader  = "Auditrelay-Peer"
)

// sentOn reads the headers of a request that another relay of the fleet forwarded, and removes
// them from every other request.
func sentOn(secret func() string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given, peer := r.Header.Get(fleetHeader), r.Header.Get(peerHeader)
		if given != "" || peer != "" {
			r.Header.Del(fleetHeader)
			r.Header.Del(peerHeader)
			if want := secret(); want != "" && subtle.ConstantTimeCompare([]byte(given), []byte(want)) == 1 && peer != "" {
				r.RemoteAddr = net.JoinHostPort(peer, "0")
			}
		}
		next.ServeHTTP(w, r)
	})
}
