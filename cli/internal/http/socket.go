package http

import (
	"context"
	"fmt"
	"net"
	"net/http"

	"auditrelay/cli/internal/unixsocket"
	"auditrelay/config"
)

// socketScheme begins the address of a socket, as --server of the command line has it.
const socketScheme = "unix:"

// ListenSocket opens the unix socket of a configuration, nil where it has none.
func ListenSocket(ctx context.Context, cfg config.Socket) (net.Listener, error) {
	if cfg.Path == "" {
		return nil, nil
	}
	l, err := unixsocket.Listen(ctx, cfg.Path, cfg.FileMode(), cfg.Group)
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", cfg.Path, err)
	}
	return l, nil
}

// peerKey is where a request's context has the peer of a unix socket.
type peerKey struct{}

// withPeer is the server's ConnContext: it notes who connects to a unix socket.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	limited, ok := c.(*limitConn)
	if !ok {
		return ctx
	}
	u, ok := limited.Conn.(*net.UnixConn)
	if !ok {
		return ctx
	}
	return context.WithValue(ctx, peerKey{}, unixsocket.Peer(u))
}

// bySocket is who a request without a token comes from, where it comes by the unix socket and
// that may do something: the system let its user connect.
func (a *auth) bySocket(r *http.Request) (principal, bool) {
	peer, ok := r.Context().Value(peerKey{}).(string)
	if !ok || !a.open() && (r.Header.Get("Authorization") != "" || len(a.socket) == 0) {
		return principal{}, false
	}
	roles := a.socket
	if a.open() {
		roles, _ = newRoleSet(roleAdmin)
	}
	return principal{roles: roles, credential: peer}, true
}
