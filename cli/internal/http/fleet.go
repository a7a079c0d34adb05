package http

import (
	"context"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"time"

	"auditrelay/cli/internal/api"
	"auditrelay/config"
	"auditrelay/runtime"
)

// Fleet is what the process around the runtime knows of a fleet. Its methods are safe for
// concurrent use.
type Fleet interface {
	// Fleet returns the fleet as this relay last saw it.
	Fleet() api.Fleet
	// Drain has a relay give the lease up; with undo, it may have it again.
	Drain(ctx context.Context, name string, undo bool, by runtime.By) (api.Fleet, error)
}

// alone is the answer of a relay that is in no fleet.
func alone() *api.Error {
	return &api.Error{Status: http.StatusNotFound, Reason: api.ReasonNotFound, Message: "this relay is in no fleet", Hint: "journal.postgres.fleet makes it part of one"}
}

func (s *Server) getFleet(*http.Request, principal, api.None) (api.Fleet, error) {
	if s.fleet == nil {
		return api.Fleet{}, alone()
	}
	return s.fleet.Fleet(), nil
}

// drain is the handler that has a relay give the lease up, or lets it have it again.
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

// where notes on which relay of a fleet callbacks run: on the one that leads.
func (s *Server) where(statuses ...api.CallbackStatus) []api.CallbackStatus {
	if s.fleet != nil {
		name := s.fleet.Fleet().Relay
		for i := range statuses {
			statuses[i].Relay = name
		}
	}
	return statuses
}

// The headers with which one relay of a fleet sends a request on to the one that leads:
// that it is one of them, and where the request came from. Nobody else's are heeded.
const (
	fleetHeader = "Auditrelay-Fleet"
	peerHeader  = "Auditrelay-Peer"
)

// sentOn reads the headers of a request that another relay of the fleet sent on, and takes
// them out of every other one.
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

// Leader is where a follower sends requests on to.
type Leader struct {
	Address string // its URL; empty: no relay leads
	Secret  string
}

// FollowerOptions configure a Follower. All but Socket are required.
type FollowerOptions struct {
	Config           *config.Config
	Listener, Socket net.Listener
	Limits           Limits
	Logger           *slog.Logger
	Fleet            Fleet
	// Leader returns who leads, and a channel that is closed when that may have changed.
	Leader func() (Leader, <-chan struct{})
	// Away, if not nil, answers a request for a screen of the page that cannot be sent on, and
	// returns whether it did. sent: it may have come to the relay that led.
	Away func(w http.ResponseWriter, r *http.Request, why string, sent bool) bool
}

// Follower answers for a relay of a fleet that does not lead: it sends all requests on to
// the one that does, except for what is about itself.
type Follower struct {
	s         *Server // for its bounds alone; it has no runtime
	o         FollowerOptions
	transport *http.Transport
}

const (
	// leaderWait is how long a request waits for a relay that leads: about as long as
	// another one takes to take over.
	leaderWait = 6 * time.Second
	// leaderConnections bounds the connections to the leader, which has at most half of its
	// own for one address.
	leaderConnections = 256
)

// NewFollower checks the configuration's tokens and certificates.
func NewFollower(o FollowerOptions) (*Follower, error) {
	door, err := newDoor(o.Config, o.Listener.Addr().String(), o.Logger)
	if err != nil {
		return nil, err
	}
	trusted, err := fleetCA(o.Config.Journal.Postgres.Fleet.CA)
	if err != nil {
		return nil, err
	}
	s := &Server{limits: o.Limits.WithDefaults(), certs: door.certs, log: o.Logger, patience: defaultPatience(), ending: make(chan struct{}), failures: failures{delay: failureDelay}}
	s.patience.shutdown = time.Second // the relay is to lead
	s.auth.Store(door.auth)
	return &Follower{s: s, o: o, transport: &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 2 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout: 5 * time.Second, TLSClientConfig: &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS12},
		MaxConnsPerHost: leaderConnections, MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute, DisableCompression: true,
	}}, nil
}

// fleetCA reads whom to trust; nil: whom the system trusts.
func fleetCA(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("journal.postgres.fleet.ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("journal.postgres.fleet.ca: %s holds no certificate in PEM", file)
	}
	return pool, nil
}

// Use puts the tokens of another configuration in force.
func (f *Follower) Use(cfg *config.Config) error {
	door, err := newDoor(cfg, f.Address(), f.o.Logger)
	if err == nil {
		f.s.auth.Store(door.auth)
	}
	return err
}

// Address is what the follower listens on.
func (f *Follower) Address() string { return f.o.Listener.Addr().String() }

// Run answers until ctx ends. It closes the listeners.
func (f *Follower) Run(ctx context.Context) error {
	defer f.transport.CloseIdleConnections()
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+api.GetHealth.Path, func(w http.ResponseWriter, _ *http.Request) { respondJSON(w, api.Health{Status: "ok"}) })
	mux.HandleFunc("GET "+api.GetFleet.Path, f.fleet)
	mux.HandleFunc("GET "+api.GetMetrics.Path, f.metrics())
	mux.Handle("/", f.sendOn(ctx))
	handler := f.s.paced(mux)
	if f.o.Socket == nil {
		return f.s.serve(ctx, f.o.Listener, handler)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 2)
	for _, l := range []net.Listener{f.o.Listener, f.o.Socket} {
		go func() { ended <- f.s.serve(ctx, l, handler) }()
	}
	err := <-ended
	cancel() // both, or none
	return errors.Join(err, <-ended)
}

// away is the answer while no relay leads.
func away(message string) *api.Error {
	return &api.Error{Status: http.StatusServiceUnavailable, Reason: api.ReasonUnavailable, Message: message, RetryAfter: retrySoon}
}

// away answers a request that cannot be sent on.
func (f *Follower) away(w http.ResponseWriter, r *http.Request, why string, sent bool) {
	if f.o.Away == nil || !f.o.Away(w, r, why, sent) {
		respondError(w, away(why))
	}
}

// sendOn sends a request on to the relay that leads. What waits or is under way ends when
// another one leads, or this one is to.
func (f *Follower) sendOn(running context.Context) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get(fleetHeader) != "":
			respondError(w, away("this relay does not lead its fleet any more"))
			return
		case r.Context().Value(peerKey{}) != nil && r.Header.Get("Authorization") == "":
			respondError(w, away("this relay does not lead its fleet, and who calls by its socket without a token cannot be sent on: use a token"))
			return
		}
		leader, changed := f.wait(running, r.Context())
		target, err := url.Parse(leader.Address)
		if leader.Address == "" || err != nil {
			f.away(w, r, "no relay of the fleet leads", false)
			return
		}
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		go func() {
			for {
				select {
				case <-ctx.Done():
					return
				case <-running.Done():
					cancel()
					return
				case <-changed:
				}
				var now Leader
				if now, changed = f.o.Leader(); now.Address != leader.Address {
					cancel()
					return
				}
			}
		}()
		proxy := httputil.ReverseProxy{
			Transport: f.transport, FlushInterval: -1, ErrorLog: slog.NewLogLogger(f.s.log.Handler(), slog.LevelDebug),
			Rewrite: func(p *httputil.ProxyRequest) {
				p.SetURL(target)
				p.Out.Host = p.In.Host
				p.Out.Header.Set(fleetHeader, leader.Secret)
				p.Out.Header.Set(peerHeader, peerAddress(p.In))
			},
			ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
				f.s.log.Debug("a request could not be sent on to the relay that leads", "leader", leader.Address, "error", err)
				f.away(w, r, "the relay that leads the fleet does not answer", true)
			},
		}
		proxy.ServeHTTP(w, r.WithContext(ctx))
	})
}

// wait returns who leads, as soon as somebody does.
func (f *Follower) wait(running, request context.Context) (Leader, <-chan struct{}) {
	over := time.NewTimer(leaderWait)
	defer over.Stop()
	for {
		leader, changed := f.o.Leader()
		if leader.Address != "" {
			return leader, changed
		}
		select {
		case <-changed:
			continue
		case <-over.C:
		case <-running.Done():
		case <-request.Done():
		}
		return leader, changed
	}
}
