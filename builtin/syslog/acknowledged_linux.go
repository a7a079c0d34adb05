package syslog

import (
	"context"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// acknowledged waits until the receiver's system has acknowledged all that was written to
// conn, or ctx ends, or gone says that the receiver closed the connection. A connection
// that cannot tell counts as one that did.
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
		case gone(): // before left: a connection that was reset has nothing left either
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

// rawOf is the socket below a connection, that of TLS included.
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
