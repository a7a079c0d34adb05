package http

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	goruntime "runtime"
	"sync"
	"sync/atomic"
	"time"

	"auditrelay"
	"auditrelay/cli/internal/api"
	"auditrelay/cli/internal/sources"
	"auditrelay/config"
	"auditrelay/internal/ingest"
	"auditrelay/runtime"

	"github.com/prometheus/client_golang/prometheus"
)

// Options configure a Server.
type Options struct {
	Runtime *runtime.Runtime // required
	// Config sets who may connect and how: tokens, tls, metrics.public, limits. Required.
	Config *config.Config
	// Listener, from Listen, is what Run serves on. If it is nil, Run serves on Socket alone,
	// or the caller does not call Run.
	Listener net.Listener
	// Socket, from ListenSocket, is what Run serves on in addition. Nil: no socket.
	Socket  net.Listener
	Limits  Limits
	Version api.Version
	Logger  *slog.Logger // default slog.Default()

	// DroppedLines returns how many log lines could not be written, for the metrics. Nil: not
	// exported.
	DroppedLines func() uint64

	// Control controls the process. If it is nil, endpoints that need it answer 501.
	Control Control
	// Fleet is the fleet that the relay leads. Nil: the relay belongs to no fleet. The relays
	// of the fleet share Secret.
	Fleet  Fleet
	Secret func() string
	// Sources are the sources of events besides the server itself.
	Sources sources.Set
	// Stores are what the audit API reads. If it is nil, its routes answer 501.
	Stores Stores
	// Pages returns the handler for /ui/. That handler calls the API through api, and calls
	// denied for each request that it refuses without asking the API. If Pages is nil, there are
	// no pages.
	Pages func(api http.Handler, denied Denied) http.Handler
}

// Limits bound the requests that the server accepts. The first five apply to one request. Zero
// means the default.
type Limits struct {
	BodyBytes  auditrelay.ByteSize // after decompression; default 16 MiB
	Events     int                 // default 10,000
	EventBytes auditrelay.ByteSize // default 1 MiB
	Depth      int                 // default 64
	IDBytes    int                 // default 256
	// Memory is the total for the bodies of all large requests. Small requests share another
	// third of it. Two further shares of the full size exist: one for the decompressed content
	// of S3 objects, one for bodies at hooks with a signature whose sender is not known yet.
	// Default 32 MiB.
	Memory auditrelay.ByteSize
	// Connections is the maximum number of open connections. Further ones wait to be accepted.
	// Default 1,024.
	Connections int
}

// WithDefaults replaces zero fields by their defaults.
func (l Limits) WithDefaults() Limits {
	l.BodyBytes = cmp.Or(l.BodyBytes, 16<<20)
	l.Events = cmp.Or(l.Events, 10_000)
	l.EventBytes = cmp.Or(l.EventBytes, 1<<20)
	l.Memory = cmp.Or(l.Memory, 32<<20)
	l.Connections = cmp.Or(l.Connections, 1024)
	return l
}

// Ingest returns the limits in the parser's form.
func (l Limits) Ingest() ingest.Limits {
	return ingest.Limits{
		EventBytes: int64(l.EventBytes), Depth: l.Depth, IDBytes: l.IDBytes,
		BodyBytes: int64(l.BodyBytes), Events: l.Events,
	}
}

// Server serves the HTTP API of one runtime. It is safe for concurrent use.
type Server struct {
	rt         *runtime.Runtime
	auth       atomic.Pointer[auth]
	certs      *certificates
	listener   net.Listener
	socket     net.Listener // nil: no socket
	socketPath string
	address    string        // of the listener
	denied     atomic.Uint64 // number of requests with events whose token was refused
	senders    sources.Senders
	limits     Limits
	large      *budget // memory for bodies; see takeMemory
	small      *budget
	inflated   *budget // memory for bodies that are decompressed as a whole; see ReserveInflated
	unknown    *budget // memory for bodies whose sender is known only after the signature check, by address
	metrics    *metrics
	sources    sources.Set // includes the server
	patience   patience
	// silentAfter is how long a source may send nothing before /readyz?verbose reports it.
	silentAfter time.Duration
	public      bool // /metrics needs no token
	version     api.Version
	log         *slog.Logger
	control     Control
	fleet       Fleet         // nil: the relay belongs to no fleet
	secret      func() string // the fleet's; nil if fleet is
	pushing     chan struct{} // limits uploads so that only one module is in memory at a time
	stores      Stores
	audit       auditSlots
	pages       func(api http.Handler, denied Denied) http.Handler
	ending      chan struct{} // closed when the server stops, so that streams end
	end         sync.Once
	readings    *readings
	principals  principals
	denials     denials
	failures    failures
	atomics     turns // serialises large atomic requests of a principal
	handler     http.Handler
}

// New returns a server for o.Runtime. The caller keeps ownership of the runtime and closes it.
func New(o Options) (*Server, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Version.Go == "" {
		o.Version.Go = goruntime.Version()
	}
	limits := o.Limits.WithDefaults()
	s := &Server{
		rt: o.Runtime, limits: limits, version: o.Version, log: o.Logger,
		large: newBudget(int64(limits.Memory)), small: newBudget(int64(limits.Memory) / 3),
		inflated: newBudget(int64(limits.Memory)), unknown: newBudget(int64(limits.Memory)),
		patience: defaultPatience(), silentAfter: sources.SilentAfter, public: o.Config.Metrics.Public,
		control: o.Control, fleet: o.Fleet, secret: o.Secret, pushing: make(chan struct{}, 1), listener: o.Listener, socket: o.Socket, socketPath: o.Config.Socket.Path,
		ending: make(chan struct{}),
		stores: o.Stores, audit: newAuditSlots(), pages: o.Pages, readings: newReadings(o.Runtime, readingWindow),
		denials:  denials{rt: o.Runtime, log: o.Logger, window: denialWindow},
		failures: failures{delay: failureDelay},
	}
	address := o.Config.Listen
	switch {
	case o.Listener != nil:
		s.address = o.Listener.Addr().String()
		address = s.address
	case o.Socket != nil:
		s.address = socketScheme + o.Config.Socket.Path
	}
	door, err := newDoor(o.Config, address, o.Logger)
	if err != nil {
		return nil, err
	}
	s.certs = door.certs
	s.useAuth(door.auth)
	s.sources = append(sources.Set{s}, o.Sources...)
	s.metrics = newMetrics(s)
	if o.DroppedLines != nil {
		s.metrics.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "auditrelay_log_lines_dropped_total", Help: "Log lines that were not written, since the reader of the log was too slow or gone.",
		}, func() float64 { return float64(o.DroppedLines()) }))
	}
	s.handler = s.routes()
	if o.Fleet != nil {
		s.patience.shutdown = time.Second // another relay must lead soon
		s.handler = sentOn(o.Secret, s.handler)
	}
	return s, nil
}

// useAuth replaces the accepted tokens. Requests in progress keep their roles. The source
// expects events from the tokens that may send.
func (s *Server) useAuth(a *auth) {
	if old := s.auth.Load(); a.issuer != nil {
		if old != nil && old.issuer != nil {
			a.issuer.Adopt(old.issuer.Issuer)
		}
		a.issuer.Refresh()
	}
	s.auth.Store(a)
	s.rt.ReplayBySchema(a.replaySchema)
	s.senders.Expect(a.senders()...)
}

// Address returns the address that the server listens on: host:port, or unix:PATH if it has
// only a socket.
func (s *Server) Address() string { return s.address }

// Sources returns all sources, the server itself first.
func (s *Server) Sources() sources.Set { return s.sources }

// Describe returns the descriptions of all metrics.
func (s *Server) Describe() []string {
	found := make(chan *prometheus.Desc)
	go func() {
		s.metrics.registry.Describe(found)
		close(found)
	}()
	var all []string
	for d := range found {
		all = append(all, d.String())
	}
	return all
}

// CountReload counts a reload of the configuration.
func (s *Server) CountReload(applied bool) {
	result := "refused"
	if applied {
		result = "applied"
	}
	s.metrics.reloads.WithLabelValues(result).Inc()
}

// Handler returns the server's HTTP handler.
func (s *Server) Handler() http.Handler { return s.handler }

// Serve serves h on l within the server's limits until ctx ends, then waits for requests in
// progress. It closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	return s.serve(ctx, l, s.paced(h), nil)
}

// serve calls free, if it is not nil, when it has closed l and accepts no connection any more.
func (s *Server) serve(ctx context.Context, l net.Listener, h http.Handler, free func()) error {
	tlsConfig := s.certs.listenerConfig()
	if l.Addr().Network() == "unix" {
		tlsConfig = nil
	}
	limited := limitConnections(l, s.limits.Connections)
	l = limited
	server := &http.Server{
		Handler:           h,
		TLSConfig:         tlsConfig,
		ReadHeaderTimeout: s.patience.header,
		// Requests with events set their own deadlines by their speed; see pacedReader.
		ReadTimeout:    s.patience.header + s.patience.body,
		IdleTimeout:    2 * time.Minute,
		ConnState:      limited.state,
		ConnContext:    withPeer,
		MaxHeaderBytes: 32 << 10,
		ErrorLog:       slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	server.RegisterOnShutdown(func() { s.end.Do(func() { close(s.ending) }) })
	done := make(chan error, 1)
	go func() {
		if tlsConfig != nil {
			done <- server.ServeTLS(l, "", "")
			return
		}
		done <- server.Serve(l)
	}()
	select {
	case err := <-done:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	// Shutdown would cut off a request that is just arriving. Therefore the listener is closed
	// first, and requests on connections accepted before that are answered.
	err := limited.Close()
	served := <-done
	if free != nil {
		free()
	}
	server.SetKeepAlivesEnabled(false)
	limited.settle(s.patience.arriving)
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.patience.shutdown)
	defer cancel()
	if shut := server.Shutdown(bounded); shut != nil {
		err = errors.Join(err, shut, server.Close())
	}
	if !errors.Is(served, http.ErrServerClosed) && !errors.Is(served, net.ErrClosed) {
		err = errors.Join(err, served)
	}
	return err
}
