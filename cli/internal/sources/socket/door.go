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
	// backlog is how long a closing unix socket accepts connections that were made before.
	backlog = 50 * time.Millisecond
	// idle is how long a closing connection may be silent if it cannot be shut for writing;
	// drain is how long it may continue.
	idle, drain = 100 * time.Millisecond, 2 * time.Second
)

// access says who may connect. A change requires a new listener.
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
	waiting  atomic.Int64 // connections that are not read because the relay does not accept

	mu    sync.Mutex
	conns map[net.Conn]struct{}
	full  bool // the last logged state
}

func newDoor(s *Source, l net.Listener, at string, who access) *door {
	d := &door{source: s, listener: l, at: at, access: who, conns: map[net.Conn]struct{}{}}
	d.closing, d.shut = context.WithCancel(context.Background())
	return d
}

// accept serves connections until the door is closed.
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
		default: // for example, no file descriptors
			d.source.host.Logger.Warn("cannot let a producer in", "socket", d.settings.Load().name, "error", err)
			select {
			case <-time.After(time.Second):
			case <-d.closing.Done():
			}
		}
	}
}

// enter adds a connection, or returns false if there are too many.
func (d *door) enter(conn net.Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	one := d.settings.Load()
	if len(d.conns) >= one.connections {
		d.source.refused.add(one.name)
		if !d.full {
			d.source.host.Logger.Warn("a producer's connection is closed at once: the limit of open connections is reached", "socket", one.name, "connections", one.connections)
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

// end closes the door without waiting. The data already written to its connections is still
// read.
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

// shuts reports whether the system lets a connection be shut for its writer: the next write
// then fails, while earlier data can still be read. Linux does so for unix sockets. BSD drops
// unread data.
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
