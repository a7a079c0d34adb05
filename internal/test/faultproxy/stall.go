package faultproxy

import (
	"context"
	"io"
	"net"
	"net/url"
	"sync"
	"syscall"
	"testing"
)

// Stalled starts a listener in front of target (http://host:port) and returns its URL. It reads
// only one byte of the first connection, so a request of 88 KiB is stuck in the middle of its
// body. Later connections pass.
func Stalled(t testing.TB, target string) string {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	// Small segments keep the sender's buffer small too. Otherwise a loopback connection has
	// megabytes of buffer.
	control := func(_, _ string, c syscall.RawConn) (err error) {
		outer := c.Control(func(fd uintptr) {
			if err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096); err == nil {
				err = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, 536)
			}
		})
		if outer != nil {
			return outer
		}
		return err
	}
	l, err := (&net.ListenConfig{Control: control}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for first := true; ; first = false {
			in, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				stop := context.AfterFunc(ctx, func() { in.Close() })
				defer stop()
				defer in.Close()
				if first {
					_, _ = io.ReadFull(in, make([]byte, 1))
					<-ctx.Done()
					return
				}
				pipe(ctx, in, u.Host)
			})
		}
	})
	t.Cleanup(func() {
		cancel()
		l.Close()
		wg.Wait()
	})
	return "http://" + l.Addr().String()
}

// pipe connects to address and copies both ways until one side has ended.
func pipe(ctx context.Context, in net.Conn, address string) {
	out, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return
	}
	defer context.AfterFunc(ctx, func() { out.Close() })()
	var wg sync.WaitGroup
	wg.Go(func() {
		_, _ = io.Copy(out, in)
		out.Close()
	})
	_, _ = io.Copy(in, out)
	in.Close()
	wg.Wait()
}
