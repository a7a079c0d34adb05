package http

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"auditrelay/config"
)

// socketScheme begins the address of a socket, as --server of the command line has it.
const socketScheme = "unix:"

// socketListener is a unix socket that removes its own name, and no other's, when it closes.
type socketListener struct {
	*net.UnixListener
	path string
	made os.FileInfo
}

// ListenSocket opens the unix socket of a configuration, nil where it has none. The name of a
// relay that ended without removing it is taken over; one that answers is left alone.
// Nobody may connect before the socket's mode and group are set.
func ListenSocket(ctx context.Context, cfg config.Socket) (net.Listener, error) {
	if cfg.Path == "" {
		return nil, nil
	}
	l, err := listenSocket(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", cfg.Path, err)
	}
	return l, nil
}

func listenSocket(ctx context.Context, cfg config.Socket) (net.Listener, error) {
	if err := socketFree(ctx, cfg.Path); err != nil {
		return nil, err
	}
	// A directory that nobody else may enter keeps others out until the socket is as it should be.
	dir, err := os.MkdirTemp(filepath.Dir(cfg.Path), ".s")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	made := &socketListener{UnixListener: l, path: cfg.Path}
	if err = grant(name, cfg); err == nil {
		if made.made, err = os.Lstat(name); err == nil {
			err = os.Rename(name, cfg.Path)
		}
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return made, nil
}

// grant sets who may connect.
func grant(name string, cfg config.Socket) error {
	if cfg.Group != "" {
		gid, err := strconv.Atoi(cfg.Group)
		if err != nil {
			g, err := user.LookupGroup(cfg.Group)
			if err != nil {
				return err
			}
			if gid, err = strconv.Atoi(g.Gid); err != nil {
				return fmt.Errorf("group %s: %w", cfg.Group, err)
			}
		}
		if err := os.Chown(name, -1, gid); err != nil {
			return err
		}
	}
	return os.Chmod(name, cfg.FileMode())
}

// socketFree refuses a name under which something else stands, or something answers.
func socketFree(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return errors.New("something that is no socket stands there: remove it, or give another path")
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", path)
	switch {
	case err == nil:
		return errors.Join(errors.New("another process answers on it: is a relay running already"), c.Close())
	case errors.Is(err, syscall.ECONNREFUSED): // its process is gone
		return nil
	}
	return fmt.Errorf("cannot tell whether another process answers on it: %w", err)
}

// Close closes the socket and removes its name.
func (l *socketListener) Close() error {
	if now, err := os.Lstat(l.path); err == nil && os.SameFile(now, l.made) {
		_ = os.Remove(l.path)
	}
	return l.UnixListener.Close()
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
	return context.WithValue(ctx, peerKey{}, peerOf(u))
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
