package s3

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"

	"auditrelay/cli/internal/api"
	"auditrelay/cli/internal/sources"
	"auditrelay/config"

	"github.com/prometheus/client_golang/prometheus"
)

// Source is the relay as an S3 endpoint, with its own listener.
type Source struct {
	host     *sources.Host
	places   func(*config.Config) []Place
	senders  sources.Senders
	counts   Counts
	listener net.Listener            // listener of the first configuration; nil if it had none
	address  string                  // address in that configuration
	started  bool                    // the first Prepare was called
	handler  atomic.Pointer[Handler] // nil if not configured
}

// NewSource returns a Source. It does no I/O; Prepare opens the listener. places returns where
// the callbacks of a configuration deliver in S3; no request is forwarded there.
func NewSource(host *sources.Host, places func(*config.Config) []Place) *Source {
	return &Source{host: host, places: places}
}

// Kind returns "s3".
func (*Source) Kind() string { return source }

// Prepare creates the handler and, the first time, opens the listener.
func (s *Source) Prepare(ctx context.Context, cfg *config.Config) (sources.Change, error) {
	section, given := cfg.Ingest.Sources[source]
	var c Config
	if given {
		var err error
		if c, err = Read(section); err != nil {
			return sources.Change{}, err
		}
	}
	var change sources.Change
	if s.started && c.Listen != s.address {
		change.Restart = []string{"ingest.s3.listen"}
	}
	if given && !s.started {
		var lc net.ListenConfig
		l, err := lc.Listen(ctx, "tcp", c.Listen)
		if err != nil {
			return change, fmt.Errorf("ingest.s3: listen: %w", err)
		}
		s.listener, s.address = l, c.Listen
	}
	first := !s.started
	s.started = true
	var h *Handler
	if given && s.listener != nil {
		var err error
		if h, err = s.newHandler(&c, cfg); err != nil {
			return change, section.Explain(err)
		}
	}
	change.Apply = func() { s.use(h, &c) }
	change.Discard = func() {
		if h != nil {
			h.Close()
		}
		if first && s.listener != nil {
			_ = s.listener.Close()
		}
	}
	return change, nil
}

func (s *Source) newHandler(c *Config, cfg *config.Config) (*Handler, error) {
	o := c.options()
	if o.Forward != nil {
		o.Forward.Reserved = s.places(cfg)
	}
	o.Limits = s.host.Limits
	o.Counts, o.Logger, o.Seen = &s.counts, s.host.Logger, s.senders.Seen
	o.Reserve = func(ctx context.Context, holder string, n int64) (func(), error) {
		return s.host.Door.Reserve(ctx, holder, n)
	}
	o.Inflate = func(ctx context.Context, holder string, n int64) (func(), error) {
		return s.host.Door.Inflate(ctx, holder, n)
	}
	return New(o)
}

// use puts a handler in force, or none. Without a handler no key is valid, but the listener
// stays open until the end.
func (s *Source) use(h *Handler, c *Config) {
	var names []string
	if h != nil {
		h.rt = s.host.Runtime
		for _, k := range c.Keys {
			names = append(names, k.Name)
		}
	}
	s.senders.Expect(names...)
	if before := s.handler.Swap(h); before != nil {
		before.Close()
	}
}

// Run serves S3 requests until ctx ends. They are signed, so the listener may be reachable from
// other machines without tokens.
func (s *Source) Run(ctx context.Context) error {
	if s.listener == nil {
		<-ctx.Done()
		return nil
	}
	defer func() {
		if h := s.handler.Load(); h != nil {
			h.Close()
		}
	}()
	s.host.Logger.Info("listening for S3", "address", s.listener.Addr().String())
	if err := s.host.Door.Serve(ctx, s.listener, s); err != nil {
		return fmt.Errorf("ingest.s3: %w", err)
	}
	return nil
}

// ServeHTTP serves one S3 request.
func (s *Source) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := s.handler.Load()
	if h == nil {
		http.Error(w, "the S3 endpoint is not configured any more", http.StatusForbidden)
		return
	}
	h.ServeHTTP(w, r)
}

// Stop does nothing: the runtime rejects new events.
func (*Source) Stop() {}

// Status returns one line for each key.
func (s *Source) Status() []api.Source { return s.senders.Status(source) }

// Silence returns the possible causes of missing events.
func (*Source) Silence() []string {
	return []string{
		"audit_log_callbacks over there does not list s3_v2, or s3_audit_callback_params.s3_endpoint_url is not this relay's address and port",
		"the keys differ: s3_aws_access_key_id and s3_aws_secret_access_key over there, ingest.s3 here",
	}
}

// Metrics returns the counts of requests and events.
func (s *Source) Metrics() prometheus.Collector { return newCollector(&s.counts) }
