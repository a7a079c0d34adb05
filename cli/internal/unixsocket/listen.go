// Package unixsocket opens unix sockets for programs on this machine. It sets mode and group
// before anyone can connect, and replaces a socket that a killed process left.
package unixsocket

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// Listener is a unix socket. When it closes, it removes its own name and no other's.
type Listener struct {
	*net.UnixListener
	path string
	made os.FileInfo
}

// Listen opens a unix socket. group is a name or a number; empty means the process's own.
// Listen replaces the socket of a process that ended without removing it, but not one that
// accepts connections. Nobody can connect before mode and group are set.
func Listen(ctx context.Context, path string, mode fs.FileMode, group string) (*Listener, error) {
	if err := free(ctx, path); err != nil {
		return nil, err
	}
	// A directory that nobody else may enter prevents connections until the socket is ready.
	dir, err := os.MkdirTemp(filepath.Dir(path), ".s")
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
	made := &Listener{UnixListener: l, path: path}
	if err = grant(name, mode, group); err == nil {
		if made.made, err = os.Lstat(name); err == nil {
			err = os.Rename(name, path)
		}
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return made, nil
}

// grant sets who may connect.
func grant(name string, mode fs.FileMode, group string) error {
	if group != "" {
		gid, err := strconv.Atoi(group)
		if err != nil {
			g, err := user.LookupGroup(group)
			if err != nil {
				return err
			}
			if gid, err = strconv.Atoi(g.Gid); err != nil {
				return fmt.Errorf("group %s: %w", group, err)
			}
		}
		if err := os.Chown(name, -1, gid); err != nil {
			return err
		}
	}
	return os.Chmod(name, mode)
}

// free returns an error if path is in use by another file, or by a socket that accepts
// connections.
func free(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return errors.New("the path holds something else than a socket: remove it, or give another path")
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", path)
	switch {
	case err == nil:
		return errors.Join(errors.New("another process answers on it: is a relay running already"), c.Close())
	case errors.Is(err, syscall.ECONNREFUSED): // its process has ended
		return nil
	}
	return fmt.Errorf("cannot tell whether another process answers on it: %w", err)
}

// Remove removes the socket's name, so that nobody can connect any more. Earlier connections
// are still accepted.
func (l *Listener) Remove() {
	if now, err := os.Lstat(l.path); err == nil && os.SameFile(now, l.made) {
		_ = os.Remove(l.path)
	}
}

// Close closes the socket and removes its name.
func (l *Listener) Close() error {
	l.Remove()
	return l.UnixListener.Close()
}
