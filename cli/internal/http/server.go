package http

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	goruntime "runtime"
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
	Tokens  []config.Token
	// Origins are those whose pages may read the audit API from a browser.
	Origins []string
	Limits  Limits
	// PublicMetrics lets /metrics be read without a token.
	PublicMetrics bool
	Version       api.Version
	Logger        *slog.Logger // default slog.Default()

	// Control is the process; nil: what needs it answers 501.
	Control Control
	// Sources are the ways in that events are awaited from; nil: those of the tokens.
	Sources *sources.Registry
	// Stores are what the audit API reads; nil: its routes answer 501.
	Stores Stores
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
	// ones have a third of it beside that, and compressed S3 objects as much again
	// for what they decompress to. Default 32 MiB.
	Memory auditrelay.ByteSize
	// Connections is how many are open at a time; more wait to be let in.
	// Default 1,024.
	Connections int
}

func (l Limits) withDefaults() Limits {
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
	rt       *runtime.Runtime
	auth     atomic.Pointer[Auth]
	limits   Limits
	large    *budget // memory for bodies; see takeMemory
	small    *budget
	inflated *budget // for bodies that are decompressed as a whole; see ReserveInflated
	metrics  *metrics
	sources  *sources.Registry
	patience patience
	public   bool // /metrics
	version  api.Version
	log      *slog.Logger
	control  Control
	pushing  chan struct{} // one module at a time is held in memory
	stores   Stores
	audit    auditSlots
	handler  http.Handler
}

// New returns a server for o.Runtime, which it does not close.
func New(o Options) (*Server, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Version.Go == "" {
		o.Version.Go = goruntime.Version()
	}
	limits := o.Limits.withDefaults()
	s := &Server{
		rt: o.Runtime, limits: limits, version: o.Version, log: o.Logger,
		large: newBudget(int64(limits.Memory)), small: newBudget(int64(limits.Memory) / 3),
		inflated: newBudget(int64(limits.Memory)),
		patience: defaultPatience(), public: o.PublicMetrics,
		control: o.Control, pushing: make(chan struct{}, 1), sources: o.Sources,
		stores: o.Stores, audit: newAuditSlots(),
	}
	if s.sources == nil {
		s.sources = sources.NewRegistry("")
	}
	accounts, err := NewAuth(o.Tokens)
	if err != nil {
		return nil, err
	}
	accounts.AllowOrigins(o.Origins)
	s.UseAuth(accounts)
	s.metrics = newMetrics(s)
	s.handler = s.routes()
	return s, nil
}

// SetTokens replaces the tokens; requests under way keep the roles that they
// came with. On an error the old ones stay.
func (s *Server) SetTokens(tokens []config.Token) error {
	a, err := NewAuth(tokens)
	if err != nil {
		return err
	}
	s.UseAuth(a)
	return nil
}

// UseAuth puts tokens in force. Those that were given to send events are awaited to.
func (s *Server) UseAuth(a *Auth) {
	s.auth.Store(a)
	s.sources.Expect(sources.HTTP, a.senders()...)
}

// Limits are the bounds in force.
func (s *Server) Limits() Limits { return s.limits }

// Register adds a collector to GET /metrics.
func (s *Server) Register(c prometheus.Collector) { s.metrics.registry.MustRegister(c) }

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

// Listen opens address for Serve. Without tokens only loopback is allowed.
func (s *Server) Listen(ctx context.Context, address string) (net.Listener, error) {
	if err := CheckListen(address, s.auth.Load().Open()); err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return l, nil
}

// Serve answers on l until ctx ends, then waits for requests under way, at most
// for grace. It closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener, tlsConfig *tls.Config, grace time.Duration) error {
	return s.ServeHandler(ctx, l, tlsConfig, grace, s.handler)
}

// ServeHandler is Serve for another handler, with the same bounds.
func (s *Server) ServeHandler(ctx context.Context, l net.Listener, tlsConfig *tls.Config, grace time.Duration, h http.Handler) error {
	l = limitConnections(l, s.limits.Connections)
	server := &http.Server{
		Handler:           h,
		TLSConfig:         tlsConfig,
		ReadHeaderTimeout: s.patience.header,
		// Events set deadlines of their own, by their speed; see pacedReader.
		ReadTimeout:    s.patience.header + s.patience.body,
		IdleTimeout:    2 * time.Minute,
		MaxHeaderBytes: 32 << 10,
		ErrorLog:       slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
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
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	err := server.Shutdown(bounded)
	if err != nil {
		err = errors.Join(err, server.Close())
	}
	if served := <-done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
