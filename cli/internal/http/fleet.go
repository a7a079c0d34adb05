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

// Leader is the relay to which a follower forwards requests.
type Leader struct {
	Address string // its URL; empty if no relay leads
	Secret  string
}

// FollowerOptions configure a Follower. All but Socket are required.
type FollowerOptions struct {
	Config           *config.Config
	Listener, Socket net.Listener
	Limits           Limits
	Logger           *slog.Logger
	Fleet            Fleet
	// Leader returns the leader, and a channel that is closed when it may have changed.
	Leader func() (Leader, <-chan struct{})
	// Away, if not nil, responds to a request for a screen of the page that cannot be
	// forwarded, and returns whether it did. sent says that the former leader may have got it.
	Away func(w http.ResponseWriter, r *http.Request, why string, sent bool) bool
}

// Follower serves requests for a relay of a fleet that does not lead. It forwards all requests
// to the leader, except those about itself.
type Follower struct {
	s         *Server // only for its limits; it has no runtime
	o         FollowerOptions
	transport *http.Transport
}

const (
	// leaderWait is how long a request waits for a leader: about as long as another relay takes
	// to take over.
	leaderWait = 6 * time.Second
	// leaderConnections limits the connections to the leader, which allows at most half of its
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
	s.patience.shutdown = time.Second // the relay must lead soon
	s.auth.Store(door.auth)
	return &Follower{s: s, o: o, transport: &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 2 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout: 5 * time.Second, TLSClientConfig: &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS12},
		MaxConnsPerHost: leaderConnections, MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute, DisableCompression: true,
	}}, nil
}

// fleetCA reads the certificates to trust; nil means the system's.
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

// Address returns the follower's listening address.
func (f *Follower) Address() string { return f.o.Listener.Addr().String() }

// Run serves requests until ctx ends. It closes the listeners.
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
	cancel() // both or none
	return errors.Join(err, <-ended)
}

// away returns the response while no relay leads.
func away(message string) *api.Error {
	return &api.Error{Status: http.StatusServiceUnavailable, Reason: api.ReasonUnavailable, Message: message, RetryAfter: retrySoon}
}

// away responds to a request that cannot be forwarded.
func (f *Follower) away(w http.ResponseWriter, r *http.Request, why string, sent bool) {
	if f.o.Away == nil || !f.o.Away(w, r, why, sent) {
		respondError(w, away(why))
	}
}

// sendOn forwards a request to the leader. Waiting and running requests end when another relay
// leads, or this one must.
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

// wait waits for a leader and returns it.
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
