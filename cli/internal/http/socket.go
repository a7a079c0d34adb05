package http

import (
	"context"
	"fmt"
	"net"
	"net/http"

	"auditrelay/cli/internal/unixsocket"
	"auditrelay/config"
)

// socketScheme is the prefix of a socket's address, as in --server of the command line.
const socketScheme = "unix:"

// ListenSocket opens the Unix socket of a configuration. It returns nil if none is configured.
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

// peerKey is the context key for the peer of a Unix socket.
type peerKey struct{}

// withPeer is the server's ConnContext callback. It stores the peer of a connection to a Unix
// socket.
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

// bySocket returns the principal of a request without a token that came over the Unix socket,
// if such requests have a role. The file permissions allowed its user to connect.
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
