package httpsink

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"
)

// goingAway is a server of HTTP/2 that is about to restart: on its first connection it refuses the
// request unread (GOAWAY with stream 0).
func goingAway(t *testing.T, bodies *atomic.Int64) string {
	certificate := httptest.NewTLSServer(nil)
	t.Cleanup(certificate.Close)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: certificate.TLS.Certificates, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	serve := func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		bodies.Add(int64(len(body)))
		w.WriteHeader(http.StatusNoContent)
	}
	go func() {
		for first := true; ; first = false {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if first {
				go refuseFirst(conn)
				continue
			}
			go func() {
				if conn.(*tls.Conn).HandshakeContext(t.Context()) == nil {
					new(http2.Server).ServeConn(conn, &http2.ServeConnOpts{Handler: http.HandlerFunc(serve)})
				}
			}()
		}
	}()
	return "https://" + l.Addr().String()
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
	c := client(t, Options{TLS: TLS{InsecureSkipVerify: true}}, goingAway(t, &bodies))
	a, err := c.Send(t.Context(), Request{Header: http.Header{}, Body: []byte("0123456789")})
	if err != nil {
		t.Fatalf("%v: %v", err, c.Failure(t.Context(), err))
	}
	if a.Status != http.StatusNoContent || bodies.Load() != 10 {
		t.Errorf("status %d, %d bytes arrived", a.Status, bodies.Load())
	}
}
