package http

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"

	"auditrelay/cli/internal/api"
	"auditrelay/cli/internal/sources"
	"auditrelay/config"

	"github.com/prometheus/client_golang/prometheus"
)

// The server is also the source of POST /v1/events. Its senders are the tokens that may send,
// and its listener is that of the API.

// Check validates the part of a configuration that the server uses.
func Check(cfg *config.Config) error {
	_, err := newDoor(cfg, cfg.Listen, nil)
	return err
}

// doorway is what a configuration says about who may connect and how.
type doorway struct {
	auth  *auth
	certs *certificates
}

// newDoor reads tokens, certificates and the issuer's settings. If none of them is configured,
// address must be loopback.
func newDoor(cfg *config.Config, address string, log *slog.Logger) (doorway, error) {
	accounts, err := newAuth(cfg.Tokens)
	if err != nil {
		return doorway{}, err
	}
	for i := range cfg.Tokens {
		if s := cfg.SchemaNamed(cfg.Tokens[i].Schema); s != nil {
			accounts.tokens[i].who.schema = s.Compiled()
		}
	}
	if accounts.hooks, err = newHooks(cfg); err != nil {
		return doorway{}, err
	}
	for i := range cfg.Ingest.Sockets {
		one := &cfg.Ingest.Sockets[i]
		if s := cfg.SchemaNamed(one.Schema); s != nil {
			accounts.schemas[config.Sender{Kind: "socket", Principal: one.Principal()}] = s.Compiled()
		}
	}
	for sender, name := range cfg.Ingest.SenderSchemas {
		if s := cfg.SchemaNamed(name); s != nil {
			accounts.schemas[sender] = s.Compiled()
		}
	}
	for _, h := range accounts.hooks {
		accounts.given = append(accounts.given, h.name)
	}
	if accounts.issuer, err = newIssuer(cfg.OIDC, log); err != nil {
		return doorway{}, err
	}
	accounts.allowOrigins(cfg.Audit.Origins)
	accounts.tap = cfg.Tap.Enabled
	if accounts.socket, err = newRoleSet(cfg.Socket.Roles...); err != nil {
		return doorway{}, fmt.Errorf("socket: %w", err)
	}
	certs, err := newCertificates(cfg.TLS)
	return doorway{accounts, certs}, errors.Join(err, checkListen(address, accounts.open()))
}

// Listen validates the tokens and certificates of a configuration, then opens its address. It
// returns nil if the configuration has only a socket.
func Listen(ctx context.Context, cfg *config.Config) (net.Listener, error) {
	if err := Check(cfg); err != nil {
		return nil, err
	}
	if cfg.Listen == config.NoAddress {
		if cfg.Socket.Path == "" {
			return nil, errors.New("listen none: it needs socket.path in the configuration")
		}
		return nil, nil
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return l, nil
}

const kind = "http"

// Kind returns "http".
func (*Server) Kind() string { return kind }

// Prepare reads tokens and certificates.
func (s *Server) Prepare(_ context.Context, cfg *config.Config) (sources.Change, error) {
	change := sources.Change{Discard: func() {}}
	next, err := newDoor(cfg, cmp.Or(s.address, cfg.Listen), s.log)
	if err != nil {
		return change, err
	}
	if (next.certs == nil) != (s.certs == nil) {
		change.Restart = append(change.Restart, "tls: on or off")
	}
	change.Apply = func() {
		s.useAuth(next.auth)
		if s.certs != nil && next.certs != nil {
			s.certs.current.Store(next.certs.current.Load())
		}
	}
	return change, nil
}

// Run serves on the listener and the socket.
func (s *Server) Run(ctx context.Context) error {
	if s.socket != nil && s.listener != nil {
		s.log.Info("listening on a socket", "path", s.socketPath)
	}
	s.log.Info("listening", "address", s.address, "tls", s.certs != nil && s.listener != nil)
	if s.auth.Load().open() {
		s.log.Info("no tokens are configured: every local client may do everything")
	}
	switch {
	case s.socket == nil:
		return s.serve(ctx, s.listener, s.handler, nil)
	case s.listener == nil:
		return s.serve(ctx, s.socket, s.handler, nil)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 2)
	for _, l := range []net.Listener{s.listener, s.socket} {
		go func() { ended <- s.serve(ctx, l, s.handler, nil) }()
	}
	err := <-ended
	cancel() // if one fails, both end
	return errors.Join(err, <-ended)
}

// Stop records the readings and denied requests counted so far, while the runtime still accepts
// records. The API keeps answering; the runtime rejects new events.
func (s *Server) Stop() {
	s.readings.close()
	s.denials.close()
}

// Status returns an entry for each token that may send.
func (s *Server) Status() []api.Source { return s.senders.Status(kind) }

// Silence returns possible reasons why no events arrive.
func (s *Server) Silence() []string {
	where := "this relay's address and port"
	if s.address != "" {
		where = s.address
	}
	token := "its token is not one of those here; but no request with events was refused since start"
	if n := s.denied.Load(); n > 0 {
		token = fmt.Sprintf("its token is not one of those here: since start %d requests with events were refused for that", n)
	}
	return []string{"it sends elsewhere: this relay listens on " + where + ", and events go to POST /v1/events there", token}
}

// SilenceOf returns possible reasons why a hook sent nothing, and nil for other senders.
func (s *Server) SilenceOf(name string) []string {
	hook, ok := strings.CutPrefix(name, hookPrefix)
	if !ok {
		return nil
	}
	return []string{"it sends elsewhere: its events go to POST /v1/hooks/" + hook + " of this relay, which listens on " + cmp.Or(s.address, "its address"),
		"it shows another secret, or signs with another: denied requests are own records and in the log"}
}

// Metrics returns nil: the metrics of this source are registered with those of all requests.
func (*Server) Metrics() prometheus.Collector { return nil }
