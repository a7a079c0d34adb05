package socket

import (
	"context"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"auditrelay/cli/internal/unixsocket"
)

const (
	// backlog is how long a closing unix socket lets those in that connected before.
	backlog = 50 * time.Millisecond
	// idle is how long a closing connection that cannot be shut for writing may be silent,
	// and drain how long it may go on.
	idle, drain = 100 * time.Millisecond, 2 * time.Second
)

// access is who may connect; another one takes another listener.
type access struct{ mode, group string }

// door is one socket with its connections.
type door struct {
	source   *Source
	listener net.Listener
	at       string // its Listen
	access   access
	settings atomic.Pointer[settings]
	closing  context.Context
	shut     context.CancelFunc
	waiting  atomic.Int64 // connections that are not read since the relay does not accept

	mu    sync.Mutex
	conns map[net.Conn]struct{}
	full  bool // as logged
}

func newDoor(s *Source, l net.Listener, at string, who access) *door {
	d := &door{source: s, listener: l, at: at, access: who, conns: map[net.Conn]struct{}{}}
	d.closing, d.shut = context.WithCancel(context.Background())
	return d
}

// accept serves connections until the door is shut.
func (d *door) accept() {
	defer d.listener.Close()
	for {
		conn, err := d.listener.Accept()
		switch {
		case err == nil && d.enter(conn):
			d.source.work.Go(func() {
				defer d.leave(conn)
				newConnection(d, conn).run()
			})
		case err == nil:
			_ = conn.Close()
		case d.closing.Err() != nil:
			return
		default: // no file descriptors, for example
			d.source.host.Logger.Warn("cannot let a producer in", "socket", d.settings.Load().name, "error", err)
			select {
			case <-time.After(time.Second):
			case <-d.closing.Done():
			}
		}
	}
}

// enter counts a connection, or reports that there are enough.
func (d *door) enter(conn net.Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	one := d.settings.Load()
	if len(d.conns) >= one.connections {
		d.source.refused.add(one.name)
		if !d.full {
			d.source.host.Logger.Warn("a producer's connection is closed at once: as many are open as may be", "socket", one.name, "connections", one.connections)
		}
		d.full = true
		return false
	}
	d.full = false
	d.conns[conn] = struct{}{}
	if d.closing.Err() != nil {
		hasten(conn)
	}
	return true
}

func (d *door) leave(conn net.Conn) {
	_ = conn.Close()
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.conns, conn)
}

func (d *door) open() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.conns)
}

// end shuts the door without waiting. What was written to its connections is still read.
func (d *door) end() {
	d.shut()
	if l, ok := d.listener.(*unixsocket.Listener); ok {
		l.Remove()
		_ = l.SetDeadline(time.Now().Add(backlog))
	} else {
		_ = d.listener.Close()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for conn := range d.conns {
		hasten(conn)
	}
}

// shuts reports whether the system lets a connection be shut for its writer, whose next write
// then fails, while what it wrote before can still be read. Linux does for unix sockets;
// BSD throws away what was not read.
func shuts(conn net.Conn) bool {
	_, unix := conn.(*net.UnixConn)
	return unix && runtime.GOOS == "linux"
}

// hasten makes a connection end soon.
func hasten(conn net.Conn) {
	if u, ok := conn.(*net.UnixConn); ok && shuts(conn) {
		_ = u.CloseRead()
		return
	}
	_ = conn.SetReadDeadline(time.Now().Add(idle))
}
