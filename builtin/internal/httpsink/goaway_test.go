package httpsink

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"
)

// goingAway is the listener of a server of HTTP/2 that is about to restart: on its first
// connection it refuses the request unread (GOAWAY with stream 0).
type goingAway struct {
	net.Listener
	server *httptest.Server
	once   sync.Once
}

func (l *goingAway) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	first := false
	l.once.Do(func() { first = true })
	if !first {
		return conn, nil
	}
	go refuseFirst(tls.Server(conn, l.server.TLS))
	return l.Accept()
}

func refuseFirst(conn net.Conn) {
	defer conn.Close()
	if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	framer := http2.NewFramer(conn, conn)
	if framer.WriteSettings() != nil {
		return
	}
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return
		}
		if data, ok := frame.(*http2.DataFrame); ok && data.StreamEnded() {
			if framer.WriteGoAway(0, http2.ErrCodeNo, nil) != nil {
				return
			}
		}
	}
}

// A request that a server refused unread is sent again at once, and is no failure.
func TestAServerThatGoesAway(t *testing.T) {
	var bodies atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		bodies.Add(int64(len(body)))
		w.WriteHeader(http.StatusNoContent)
	}))
	server.EnableHTTP2 = true
	server.Listener = &goingAway{Listener: server.Listener, server: server}
	server.StartTLS()
	defer server.Close()
	c := client(t, Options{TLS: TLS{InsecureSkipVerify: true}}, server.URL)
	a, err := c.Send(t.Context(), Request{Header: http.Header{}, Body: []byte("0123456789")})
	if err != nil {
		t.Fatalf("%v: %v", err, c.Failure(t.Context(), err))
	}
	if a.Status != http.StatusNoContent || bodies.Load() != 10 {
		t.Errorf("status %d, %d bytes arrived", a.Status, bodies.Load())
	}
}
