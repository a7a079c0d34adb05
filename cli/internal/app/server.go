package app

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
	"auditrelay/config"
	"auditrelay/internal/ingest"
	"auditrelay/runtime"
)

// ServerOptions configure a Server.
type ServerOptions struct {
	Runtime *runtime.Runtime // required
	Tokens  []config.Token
	Limits  HTTPLimits
	// PublicMetrics lets /metrics be read without a token.
	PublicMetrics bool
	Version       api.Version
	Logger        *slog.Logger // default slog.Default()

	// Reload and Backup do what their routes ask for; nil: the route answers 501.
	Reload func(ctx context.Context, by string) (api.Reloaded, error)
	Backup func(ctx context.Context, by string) (api.BackedUp, error)
	// Sources are the ways in that events are awaited from; nil: those of the tokens.
	Sources *sources
	// Modules answers for guests' modules; nil: its routes answer 501.
	Modules *daemon
	// Stores are what the audit API reads; nil: its routes answer 501.
	Stores *stores
}

// HTTPLimits bound what the server takes. The first five are what one request
// may hold; zero means ingest's default.
type HTTPLimits struct {
	BodyBytes  auditrelay.ByteSize // once decompressed; default 16 MiB
	Events     int                 // default 10,000
	EventBytes auditrelay.ByteSize // default 1 MiB
	Depth      int                 // default 64
	IDBytes    int                 // default 256
	// Memory is what the bodies of all large requests may take together; small
	// ones have a third of it beside that. Default 32 MiB.
	Memory auditrelay.ByteSize
	// Connections is how many are open at a time; more wait to be let in.
	// Default 1,024.
	Connections int
}

func (l HTTPLimits) withDefaults() HTTPLimits {
	l.BodyBytes = cmp.Or(l.BodyBytes, 16<<20)
	l.Events = cmp.Or(l.Events, 10_000)
	l.EventBytes = cmp.Or(l.EventBytes, 1<<20)
	l.Memory = cmp.Or(l.Memory, 32<<20)
	l.Connections = cmp.Or(l.Connections, 1024)
	return l
}

func (l HTTPLimits) ingest() ingest.Limits {
	return ingest.Limits{
		EventBytes: int64(l.EventBytes), Depth: l.Depth, IDBytes: l.IDBytes,
		BodyBytes: int64(l.BodyBytes), Events: l.Events,
	}
}

// Server answers HTTP for one runtime.
type Server struct {
	rt       *runtime.Runtime
	auth     atomic.Pointer[auth]
	limits   HTTPLimits
	large    *budget // memory for bodies; see takeMemory
	small    *budget
	metrics  *metrics
	sources  *sources
	patience patience
	public   bool // /metrics
	version  api.Version
	log      *slog.Logger
	reload   func(context.Context, string) (api.Reloaded, error)
	backup   func(context.Context, string) (api.BackedUp, error)
	modules  *daemon
	pushing  chan struct{} // one module at a time is held in memory
	stores   *stores
	audit    auditSlots
	handler  http.Handler
}

// NewServer returns a server for o.Runtime, which it does not close.
func NewServer(o ServerOptions) (*Server, error) {
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
		patience: defaultPatience(), public: o.PublicMetrics, reload: o.Reload, backup: o.Backup,
		modules: o.Modules, pushing: make(chan struct{}, 1), sources: o.Sources,
		stores: o.Stores, audit: newAuditSlots(),
	}
	if s.sources == nil {
		s.sources = newSources("")
	}
	if err := s.SetTokens(o.Tokens); err != nil {
		return nil, err
	}
	s.metrics = newMetrics(s)
	s.handler = s.routes()
	return s, nil
}

// SetTokens replaces the tokens; requests under way keep the roles that they
// came with. On an error the old ones stay.
func (s *Server) SetTokens(tokens []config.Token) error {
	a, err := newAuth(tokens)
	if err != nil {
		return err
	}
	s.useAuth(a)
	return nil
}

// useAuth puts tokens in force. Those that were given to send events are awaited to.
func (s *Server) useAuth(a *auth) {
	s.auth.Store(a)
	s.sources.expect(sourceHTTP, a.senders()...)
}

// Handler is the server's HTTP handler.
func (s *Server) Handler() http.Handler { return s.handler }

// Listen opens address for Serve. Without tokens only loopback is allowed.
func (s *Server) Listen(ctx context.Context, address string) (net.Listener, error) {
	if err := checkListen(address, s.auth.Load().open()); err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return limitConnections(l, s.limits.Connections), nil
}

// Serve answers on l until ctx ends, then waits for requests under way, at most
// for grace. It closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener, tlsConfig *tls.Config, grace time.Duration) error {
	return s.serveHandler(ctx, l, tlsConfig, grace, s.handler)
}

// serveHandler is Serve for another handler, with the same bounds.
func (s *Server) serveHandler(ctx context.Context, l net.Listener, tlsConfig *tls.Config, grace time.Duration, h http.Handler) error {
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
