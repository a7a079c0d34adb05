package http

import (
	"context"
	"crypto/subtle"
	"io"
	"net"
	"net/http"
	"time"

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
// belongs to the fleet, the request's origin, and for a search of a store that the relay reads
// itself, the request for a grant. From other clients they are ignored.
const (
	fleetHeader = "Auditrelay-Fleet"
	peerHeader  = "Auditrelay-Peer"
	grantHeader = "Auditrelay-Grant"
)

// sentOn reads the headers of a request that another relay of the fleet forwarded, and removes
// them from every other request.
func sentOn(secret func() string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given, peer, grant := r.Header.Get(fleetHeader), r.Header.Get(peerHeader), r.Header.Get(grantHeader)
		if given != "" || peer != "" || grant != "" {
			for _, name := range []string{fleetHeader, peerHeader, grantHeader} {
				r.Header.Del(name)
			}
			if grant != "" {
				defer wholeBody(w, r.Body)()
			}
			if want := secret(); want != "" && subtle.ConstantTimeCompare([]byte(given), []byte(want)) == 1 && peer != "" {
				r.RemoteAddr = net.JoinHostPort(peer, "0")
				if grant != "" {
					r = r.WithContext(context.WithValue(r.Context(), grantKey{}, grant))
				}
			}
		}
		next.ServeHTTP(w, r)
	})
}

// endOfGrant is how long a follower may take to end the body of its request for a grant.
const endOfGrant = 2 * time.Second

// wholeBody lets a response begin before the request's body has ended; otherwise a refusal
// would wait for it. The returned function reads the rest, without which the connection cannot
// be used again.
func wholeBody(w http.ResponseWriter, body io.Reader) func() {
	control := http.NewResponseController(w)
	_ = control.EnableFullDuplex() // if it fails, the server's ReadTimeout ends the request
	return func() {
		_ = control.Flush()
		_ = control.SetReadDeadline(time.Now().Add(endOfGrant))
		_, _ = io.Copy(io.Discard, io.LimitReader(body, smallBody)) // if it fails, the connection is closed
	}
}
