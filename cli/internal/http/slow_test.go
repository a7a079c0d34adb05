package http

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"auditrelay/cli/internal/api"
)

// listen serves r on a separate listener with short timeouts.
func (r *relay) listen(p patience) string {
	r.t.Helper()
	r.srv.patience = p
	r.srv.patience.arriving, r.srv.patience.shutdown = 250*time.Millisecond, 5*time.Second
	l, err := Listen(r.t.Context(), tokens(nil))
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.srv.serve(ctx, l, r.srv.handler, nil) }()
	r.t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			r.t.Error(err)
		}
	})
	return l.Addr().String()
}

// A slow client is disconnected, and meanwhile others are served.
func TestSlowClientsAreCutOff(t *testing.T) {
	short := patience{header: 100 * time.Millisecond, body: 100 * time.Millisecond, busy: time.Second, write: time.Second}
	rows := []struct {
		name, sent string
		status     int // of the answer; 0: the connection just ends
	}{
		{"in the head", "POST /v1/events HTTP/1.1\r\nHost: localhost\r\n", 0},
		{"before the body", "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n", 408},
		{"in the body", "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{\"id\"", 408},
		{"in a chunk", "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"id\"\r\n", 408},
		{"in a small body", "POST /v1/callbacks/archive/replay HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{", 400},
	}
	r := newRelay(t, Options{})
	address := r.listen(short)
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := io.WriteString(conn, row.sent); err != nil {
				t.Fatal(err)
			}
			// The server must end it long before the test's own deadline.
			_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second))
			in := bufio.NewReader(conn)
			resp, err := http.ReadResponse(in, nil)
			if row.status == 0 {
				if err == nil && resp.StatusCode != http.StatusRequestTimeout {
					t.Errorf("answered %s", resp.Status)
				}
			} else if err != nil || resp.StatusCode != row.status {
				t.Fatalf("%v, %v", resp, err)
			} else {
				_, _ = io.Copy(io.Discard, resp.Body)
			}
			if _, err := in.ReadByte(); err == nil || isTimeout(err) {
				t.Errorf("the connection is still open: %v", err)
			}
		})
	}
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// A large body gets time by its size: the server waits longer for one that began well than for
// a small one.
func TestALargeBodyHasTime(t *testing.T) {
	r := newRelay(t, Options{})
	address := r.listen(patience{header: 100 * time.Millisecond, body: 100 * time.Millisecond, busy: time.Second, write: time.Second})
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	first := event("a") + "\n" + strings.Repeat(" ", 4*bodyBytesPerSec)
	last := "\n" + event("b")
	fmt.Fprintf(conn, "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nContent-Length: %d\r\n\r\n%s", len(first)+len(last), first)
	_ = conn.SetReadDeadline(time.Now().Add(400 * time.Millisecond))
	if _, err := conn.Read(make([]byte, 1)); !isTimeout(err) {
		t.Fatalf("the server did not wait: %v", err)
	}
	_, _ = io.WriteString(conn, last)
	_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("%v, %v", resp, err)
	}
}

// Events accepted before a client became silent stay accepted, and are reported.
func TestASlowBodysFirstEventsStay(t *testing.T) {
	r := newRelay(t, Options{})
	address := r.listen(patience{header: time.Second, body: 150 * time.Millisecond, busy: time.Second, write: time.Second})
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	first := event("a") + "\n"
	fmt.Fprintf(conn, "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nContent-Length: %d\r\n\r\n%s{\"id\"", len(first)+1000, first)
	_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusMultiStatus || !strings.Contains(string(body), api.ReasonTooSlow) || r.rt.Stats().Head != 2 {
		t.Errorf("%s %s, next sequence %d", resp.Status, body, r.rt.Stats().Head)
	}
}

// Requests together use at most the memory budget. One too many waits, and is told to retry if
// it waited too long. Small ones are not delayed.
func TestMemoryForBodiesIsBounded(t *testing.T) {
	r := newRelay(t, Options{Limits: Limits{Memory: 8 << 20}})
	r.srv.patience.busy = 50 * time.Millisecond
	release, err := r.srv.large.acquire(t.Context(), "local", 8<<20)
	if err != nil {
		t.Fatal(err)
	}
	large := event("a") + strings.Repeat(" ", smallRequest)
	status, answer, head := r.call("POST", "/v1/events", large)
	if status != 503 || head.Get("Retry-After") == "" || !strings.Contains(answer, api.ReasonBusy) {
		t.Errorf("%d %s", status, answer)
	}
	if status, answer, _ := r.call("POST", "/v1/events", event("b")); status != 200 {
		t.Errorf("a small one: %d %s", status, answer)
	}
	release()
	if status, answer, _ := r.call("POST", "/v1/events", large); status != 200 {
		t.Errorf("after the release: %d %s", status, answer)
	}
	if used := r.srv.large.inUse() + r.srv.small.inUse(); used != 0 {
		t.Errorf("%d bytes were never given back", used)
	}
}

func TestBudgetServesInOrder(t *testing.T) {
	b := newBudget(10)
	first, err := b.acquire(t.Context(), "a", 8)
	if err != nil {
		t.Fatal(err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.acquire(gone, "a", 5); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	// A request for more than the total gets the total.
	got := make(chan func())
	go func() {
		release, err := b.acquire(context.Background(), "a", 100)
		if err != nil {
			t.Error(err)
		}
		got <- release
	}()
	first()
	(<-got)()
	if b.inUse() != 0 {
		t.Errorf("%d in use", b.inUse())
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	limited := limitConnections(l, 1)
	for range 2 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	one, err := limited.Accept()
	if err != nil {
		t.Fatal(err)
	}
	limited.state(one, http.StateActive) // it has a request
	accepted := make(chan net.Conn)
	go func() {
		c, _ := limited.Accept()
		accepted <- c
	}()
	select {
	case <-accepted:
		t.Fatal("two at a time")
	default:
	}
	_ = one.Close()
	two := <-accepted
	_ = two.Close()
	_ = two.Close() // releases only one place
	if err := limited.Close(); err != nil {
		t.Error(err)
	}
	if _, err := limited.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// TestIdleConnectionsGiveWay: a client that opens all connections without requests excludes
// nobody, even from the same address.
func TestIdleConnectionsGiveWay(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := newRelay(t, Options{})
	r.srv.limits.Connections = 20
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- r.srv.Serve(ctx, l, r.srv.Handler()) }()
	var idle []net.Conn
	for i := range 40 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if i%2 == 0 {
			if _, err := c.Write([]byte("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")); err != nil {
				continue // the server has already closed it
			}
		}
		idle = append(idle, c)
	}
	for range 5 {
		resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get("http://" + l.Addr().String() + "/healthz")
		if err != nil {
			t.Fatalf("with %d idle connections: %v", len(idle), err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Error(resp.Status)
		}
	}
	for _, c := range idle {
		_ = c.Close()
	}
	cancel()
	<-served
}

// TestWhoHasJustComeIsAnswered: a server that ends, such as that of a relay that takes over the
// lead, answers the first request of each accepted connection.
func TestWhoHasJustComeIsAnswered(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := newRelay(t, Options{})
	r.srv.patience.arriving = 10 * time.Second
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- r.srv.Serve(ctx, l, r.srv.Handler()) }()
	first, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	second, err := http.Get("http://" + l.Addr().String() + "/healthz") // accepted after the first
	if err != nil {
		t.Fatal(err)
	}
	_ = second.Body.Close()
	cancel()
	for { // until no connection is accepted any more
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			break
		}
		_ = c.Close()
	}
	if _, err := first.Write([]byte("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(first), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusOK || !answer.Close {
		t.Errorf("answered with %s, the connection closes after it: %v", answer.Status, answer.Close)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}
