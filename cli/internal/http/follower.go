package http

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"auditrelay/cli/internal/api"
	"auditrelay/config"
)

// Leader is the relay to which a follower forwards requests.
type Leader struct {
	Address string // its URL; empty if no relay leads
	Secret  string
	Alike   bool // it has this relay's configuration and version
}

// FollowerOptions configure a Follower. All but Socket, Stores and Away are required.
type FollowerOptions struct {
	Config           *config.Config
	Listener, Socket net.Listener
	Limits           Limits
	Logger           *slog.Logger
	Fleet            Fleet
	// Leader returns the leader, and a channel that is closed when it may have changed.
	Leader func() (Leader, <-chan struct{})
	// Stores are the stores that the follower may read itself. Nil: it forwards all searches.
	Stores Stores
	// Lives reports whether the relay at an address was heard of lately. It then answers
	// requests even if it does not lead any more.
	Lives func(address string) bool
	// Away, if not nil, responds to a request for a screen of the page that cannot be
	// forwarded, and returns whether it did. sent says that the former leader may have got it.
	Away func(w http.ResponseWriter, r *http.Request, why string, sent bool) bool
}

// Follower serves requests for a relay of a fleet that does not lead. It forwards all requests
// to the leader, except those about itself, and searches of a store that it can read.
type Follower struct {
	s         *Server // only for its limits and to search the store; it has no runtime
	reads     *ownReads
	o         FollowerOptions
	transport *http.Transport
	serving   sync.WaitGroup
	over      context.Context // ends when requests must end
	end       context.CancelFunc
	leads     chan struct{} // closed by Lead
	own       http.Handler  // set by Lead
	hold      time.Duration // leaderWait
	told      atomic.Int64  // when a failure to forward was last logged, Unix ns
}

const (
	// leaderWait is how long a request waits for a leader: about as long as another relay takes
	// to take over.
	leaderWait = 6 * time.Second
	// leaderConnections limits the connections to the leader, which allows at most half of its
	// own for one address.
	leaderConnections = 256
	// keptBody is the size up to which a body is kept in memory, so that its request can be
	// repeated.
	keptBody = 64 << 10
	// closePatience is how long requests in progress may take once the relay stops.
	closePatience = time.Second
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
	s := &Server{limits: o.Limits.WithDefaults(), certs: door.certs, log: o.Logger, patience: defaultPatience(), ending: make(chan struct{}), failures: failures{delay: failureDelay}, audit: newAuditSlots()}
	s.patience.shutdown = 2 * leaderWait // Close ends it
	s.auth.Store(door.auth)
	f := &Follower{s: s, o: o, leads: make(chan struct{}), hold: leaderWait, transport: &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 2 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout: 5 * time.Second, TLSClientConfig: &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS12},
		MaxConnsPerHost: leaderConnections, MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute, DisableCompression: true,
	}}
	f.over, f.end = context.WithCancel(context.Background())
	f.reads = newOwnReads(f, o.Stores)
	return f, nil
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

// Run serves requests until ctx ends, and returns when the listeners are free. Requests in
// progress continue until Close.
func (f *Follower) Run(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+api.GetHealth.Path, func(w http.ResponseWriter, _ *http.Request) { respondJSON(w, api.Health{Status: "ok"}) })
	mux.HandleFunc("GET "+api.GetFleet.Path, f.fleet)
	mux.HandleFunc("GET "+api.GetMetrics.Path, f.metrics())
	f.reads.routes(mux)
	mux.HandleFunc("/", f.sendOn)
	handler := f.s.paced(mux)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	listeners := []net.Listener{f.o.Listener}
	if f.o.Socket != nil {
		listeners = append(listeners, f.o.Socket)
	}
	free := make(chan error, 2*len(listeners))
	for _, l := range listeners {
		f.serving.Go(func() {
			released := sync.OnceFunc(func() { free <- nil })
			if err := f.s.serve(ctx, l, handler, released); ctx.Err() == nil {
				free <- err
			} else if released(); err != nil {
				f.s.log.Debug("requests to a relay that does not lead were broken off", "error", err)
			}
		})
	}
	var err error
	for range listeners {
		err = errors.Join(err, <-free)
		cancel() // both or none
	}
	return err
}

// Lead gives the requests that still wait for a leader to the server of this relay, which leads
// now.
func (f *Follower) Lead(h http.Handler) {
	f.own = h
	close(f.leads)
}

// Close waits briefly for requests in progress and ends them. Run must have returned.
func (f *Follower) Close() {
	patience := time.AfterFunc(closePatience, f.end)
	defer patience.Stop()
	f.serving.Wait()
	f.end()
	f.transport.CloseIdleConnections()
}

// away returns the response while no relay leads.
func away(message string) *api.Error {
	return &api.Error{Status: http.StatusServiceUnavailable, Reason: api.ReasonUnavailable, Message: message, RetryAfter: retrySoon}
}
