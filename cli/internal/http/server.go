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
	// Config says who may come in, and how: tokens, tls, metrics.public, limits.
	Config *config.Config // required
	// Listener is what Run answers on, from Listen. Nil: on Socket alone, or Run is not called.
	Listener net.Listener
	// Socket is what Run answers on beside it, from ListenSocket; nil: nothing.
	Socket  net.Listener
	Limits  Limits
	Version api.Version
	Logger  *slog.Logger // default slog.Default()

	// DroppedLines counts log lines that were not written, for the metrics; nil: none.
	DroppedLines func() uint64

	// Control is the process; nil: what needs it answers 501.
	Control Control
	// Fleet is the fleet that the relay leads; nil: it is alone. Secret is known to its
	// relays.
	Fleet  Fleet
	Secret func() string
	// Sources are the ways in beside the server's own.
	Sources sources.Set
	// Stores are what the audit API reads; nil: its routes answer 501.
	Stores Stores
	// Pages returns the handler for /ui/, which calls the API by the given handler.
	// Nil: there are no pages.
	Pages func(api http.Handler) http.Handler
}

// Limits bound what the server takes. The first five are what one request
// may hold; zero means ingest's default.
type Limits struct {
	BodyBytes  auditrelay.ByteSize // once decompressed; default 16 MiB
	Events     int                 // default 10,000
	EventBytes auditrelay.ByteSize // default 1 MiB
	Depth      int                 // default 64
	IDBytes    int                 // default 256
	// Memory is what the bodies of all large requests may take together. Small
	// ones have a third of it beside that; compressed S3 objects as much again
	// for what they decompress to, and so have bodies of senders that are not known yet,
	// at hooks with a signature. Default 32 MiB.
	Memory auditrelay.ByteSize
	// Connections is how many are open at a time; more wait to be let in.
	// Default 1,024.
	Connections int
}

// WithDefaults fills in what is zero.
func (l Limits) WithDefaults() Limits {
	l.BodyBytes = cmp.Or(l.BodyBytes, 16<<20)
	l.Events = cmp.Or(l.Events, 10_000)
	l.EventBytes = cmp.Or(l.EventBytes, 1<<20)
	l.Memory = cmp.Or(l.Memory, 32<<20)
	l.Connections = cmp.Or(l.Connections, 1024)
	return l
}

// Ingest are the bounds as the parser takes them.
func (l Limits) Ingest() ingest.Limits {
	return ingest.Limits{
		EventBytes: int64(l.EventBytes), Depth: l.Depth, IDBytes: l.IDBytes,
		BodyBytes: int64(l.BodyBytes), Events: l.Events,
	}
}

// Server answers HTTP for one runtime.
type Server struct {
	rt         *runtime.Runtime
	auth       atomic.Pointer[auth]
	certs      *certificates
	listener   net.Listener
	socket     net.Listener // nil: there is none
	socketPath string
	address    string        // of the listener
	denied     atomic.Uint64 // requests with events whose token was refused
	senders    sources.Senders
	limits     Limits
	large      *budget // memory for bodies; see takeMemory
	small      *budget
	inflated   *budget // for bodies that are decompressed as a whole; see ReserveInflated
	unknown    *budget // for bodies whose signature says who sent them, by address until then
	metrics    *metrics
	sources    sources.Set // the server among them
	patience   patience
	// silentAfter is how long a source may send nothing before /readyz?verbose says so.
	silentAfter time.Duration
	public      bool // /metrics
	version     api.Version
	log         *slog.Logger
	control     Control
	fleet       Fleet         // nil: the relay is alone
	pushing     chan struct{} // one module at a time is held in memory
	stores      Stores
	audit       auditSlots
	pages       func(api http.Handler) http.Handler
	ending      chan struct{} // closed when the server stops: streams end
	end         sync.Once
	readings    *readings
	principals  principals
	denials     denials
	failures    failures
	atomics     turns // of large atomic requests
	handler     http.Handler
}

// New returns a server for o.Runtime, which it does not close.
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
		control: o.Control, fleet: o.Fleet, pushing: make(chan struct{}, 1), listener: o.Listener, socket: o.Socket, socketPath: o.Config.Socket.Path,
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
		s.handler = sentOn(o.Secret, s.handler)
	}
	return s, nil
}

// useAuth puts tokens in force; requests under way keep the roles that they came with.
// Those that were given to send events are awaited to.
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

// Address is what the server listens on: host:port, or unix:PATH where it has a socket alone.
func (s *Server) Address() string { return s.address }

// Sources are all ways in, the server's own first.
func (s *Server) Sources() sources.Set { return s.sources }

// Describe lists the descriptions of all metrics.
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

// Handler is the server's HTTP handler.
func (s *Server) Handler() http.Handler { return s.handler }

// Serve answers on l with h until ctx ends, within the server's bounds, then waits for
// requests under way. It closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	return s.serve(ctx, l, s.paced(h))
}

func (s *Server) serve(ctx context.Context, l net.Listener, h http.Handler) error {
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
		// Events set deadlines of their own, by their speed; see pacedReader.
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
	// Shutdown cuts a request off that it finds arriving. So nothing more is accepted first,
	// and who has just come is answered.
	err := limited.Close()
	server.SetKeepAlivesEnabled(false)
	limited.settle(s.patience.arriving)
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.patience.shutdown)
	defer cancel()
	if shut := server.Shutdown(bounded); shut != nil {
		err = errors.Join(err, shut, server.Close())
	}
	if served := <-done; !errors.Is(served, http.ErrServerClosed) && !errors.Is(served, net.ErrClosed) {
		err = errors.Join(err, served)
	}
	return err
}
