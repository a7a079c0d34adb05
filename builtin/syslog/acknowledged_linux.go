package syslog

import (
	"context"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// acknowledged waits until the receiver's system has acknowledged everything written to conn,
// ctx ends, or gone reports that the receiver closed the connection. If a connection does not
// support this, acknowledged returns nil.
func acknowledged(ctx context.Context, conn net.Conn, gone func() bool) error {
	raw, ok := rawOf(conn)
	if !ok {
		return nil
	}
	pause := 100 * time.Microsecond
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		left, failed := 0, error(nil)
		if err := raw.Control(func(fd uintptr) { left, failed = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) }); err != nil {
			return err
		}
		switch {
		case gone(): // checked first: a connection that was reset also has nothing left to acknowledge
			return errClosed
		case failed != nil, left == 0:
			return nil
		}
		timer.Reset(pause)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
		pause = min(2*pause, 50*time.Millisecond)
	}
}

// rawOf returns the socket below a connection, including a TLS connection.
func rawOf(conn net.Conn) (syscall.RawConn, bool) {
	if over, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = over.NetConn()
	}
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return nil, false
	}
	raw, err := socket.SyscallConn()
	return raw, err == nil
}
