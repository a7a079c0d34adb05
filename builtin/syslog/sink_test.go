package syslog_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/builtin/internal/httpsink"
	"auditrelay/builtin/syslog"
	"auditrelay/internal/test/logstore"
	"auditrelay/sinktest"
)

// receiver reads messages by RFC 6587's octet counting, as RFC 5425 requires, and checks their
// headers against RFC 5424.
type receiver struct {
	net.Listener
	t     testing.TB
	mu    sync.Mutex
	docs  [][]byte
	bad   []string
	conns []net.Conn
	wg    sync.WaitGroup
}

func listen(t testing.TB, c *tls.Config) *receiver {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if c != nil {
		l = tls.NewListener(l, c)
	}
	r := &receiver{Listener: l, t: t}
	r.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			r.mu.Lock()
			r.conns = append(r.conns, conn)
			r.mu.Unlock()
			r.wg.Go(func() { r.serve(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		r.hangUp()
		r.wg.Wait()
	})
	return r
}

func (r *receiver) address() string { return r.Addr().String() }

func (r *receiver) hangUp() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		c.Close()
	}
	r.conns = nil
}

var header = regexp.MustCompile(`^<110>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z [!-~]{1,255} [!-~]{1,48} [!-~]{1,128} [0-9]{1,20} - `)

func (r *receiver) serve(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	for {
		length, err := in.ReadString(' ')
		if err != nil {
			return
		}
		size, err := strconv.Atoi(strings.TrimSuffix(length, " "))
		if err != nil || size <= 0 || length[0] == '0' {
			r.mu.Lock()
			r.bad = append(r.bad, "a length is "+length)
			r.mu.Unlock()
			return
		}
		message := make([]byte, size)
		if _, err := io.ReadFull(in, message); err != nil {
			return
		}
		r.mu.Lock()
		head := header.Find(message)
		if head == nil {
			r.bad = append(r.bad, string(message[:min(len(message), 100)]))
		}
		r.docs = append(r.docs, message[len(head):])
		r.mu.Unlock()
	}
}

// documents waits until no more messages arrive.
func (r *receiver) documents() [][]byte {
	last := -1
	for range 50 {
		r.mu.Lock()
		n := len(r.docs)
		docs := append([][]byte(nil), r.docs...)
		for _, text := range r.bad {
			r.t.Errorf("not as the RFC has it: %s", text)
		}
		r.mu.Unlock()
		if n == last {
			return docs
		}
		last = n
		time.Sleep(30 * time.Millisecond)
	}
	return nil
}

func options(address string) syslog.Options {
	return syslog.Options{Address: address, Plaintext: true, AllowNetworks: []string{"loopback"}, RequestTimeout: 5 * time.Second}
}

func newSink(t testing.TB, o syslog.Options) *syslog.Sink {
	t.Helper()
	s, err := syslog.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// stuck is a listener that accepts connections and reads nothing.
func stuck(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

func TestConformance(t *testing.T) {
	server := httptest.NewTLSServer(nil) // for its certificate
	defer server.Close()
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	for name, secured := range map[string]bool{"tls": true, "tcp": false} {
		t.Run(name, func(t *testing.T) {
			sinktest.Run(t, func(t *testing.T) sinktest.Kit {
				var c *tls.Config
				if secured {
					c = &tls.Config{Certificates: server.TLS.Certificates}
				}
				r := listen(t, c)
				build := func(t *testing.T, address string) auditrelay.Sink {
					o := options(address)
					o.MaxMessageBytes = 100_000
					if secured {
						o.Plaintext, o.TLS = false, httpsink.TLS{CA: ca}
					}
					return newSink(t, o)
				}
				kit := sinktest.Kit{
					New:  func(t *testing.T) auditrelay.Sink { return build(t, r.address()) },
					Read: func(*testing.T) [][]byte { return r.documents() },
					// Syslog cannot report what the receiver has.
					Forgetful: true, Doubles: true, TooLarge: 100_000,
				}
				if secured {
					kit.Hang = func(t *testing.T) auditrelay.Sink { return build(t, stuck(t)) }
				}
				return kit
			})
		})
	}
}

func chunk(from uint64, n int) auditrelay.Chunk {
	c := auditrelay.Chunk{Callback: "c", Journal: "j.1", From: from, To: from + uint64(n)}
	now := time.Now()
	for i := range n {
		c.Records = append(c.Records, auditrelay.Record{Sequence: from + uint64(i), Time: now, TimeFrom: auditrelay.TimeOfEvent, Received: now,
			Data: fmt.Appendf(nil, `{"id":"event-%d","note":"ü 1 <110>"}`, from+uint64(i))})
	}
	return c
}

func render(t *testing.T, s *syslog.Sink, c auditrelay.Chunk) auditrelay.Payload {
	t.Helper()
	payloads, err := s.Render(c)
	if err != nil || len(payloads) != 1 {
		t.Fatalf("%d payloads, %v", len(payloads), err)
	}
	return payloads[0]
}

// The sink notices a connection closed by the receiver before the next payload, and sends that over
// a new connection.
func TestAClosedConnection(t *testing.T) {
	r := listen(t, nil)
	s := newSink(t, options(r.address()))
	if _, err := s.Deliver(t.Context(), render(t, s, chunk(1, 3))); err != nil {
		t.Fatal(err)
	}
	r.documents()
	r.hangUp()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		// The close takes a moment to arrive. A failed payload is sent again.
		if _, err := s.Deliver(t.Context(), render(t, s, chunk(4, 3))); err == nil && len(r.documents()) == 6 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of 6 messages arrived", len(r.documents()))
		}
	}
}

// A delivery that ends while the receiver reads nothing closes the connection once. The next
// delivery opens a new one.
func TestDeliveriesThatEndInTheMiddle(t *testing.T) {
	s := newSink(t, options(stuck(t)))
	c := chunk(1, 100)
	for i := range c.Records {
		c.Records[i].Data = fmt.Appendf(nil, `{"note":%q}`, strings.Repeat("x", 2500))
	}
	p := render(t, s, c)
	for range 200 {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Millisecond)
		if _, err := s.Deliver(ctx, p); auditrelay.KindOf(err) != auditrelay.Transient {
			t.Fatalf("got %v", err)
		}
		cancel()
	}
}

func TestErrors(t *testing.T) {
	o := options("127.0.0.1:1")
	if _, err := newSink(t, o).Deliver(t.Context(), render(t, newSink(t, o), chunk(1, 1))); err == nil || auditrelay.KindOf(err) != auditrelay.Transient {
		t.Errorf("nobody listens: %v", err)
	}
	o.AllowNetworks = nil
	if _, err := newSink(t, o).Deliver(t.Context(), render(t, newSink(t, o), chunk(1, 1))); auditrelay.KindOf(err) != auditrelay.Misconfigured {
		t.Errorf("an address of the inside: %v", err)
	}
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	r := listen(t, &tls.Config{Certificates: server.TLS.Certificates})
	o = options(r.address())
	o.Plaintext = false
	if _, err := newSink(t, o).Deliver(t.Context(), render(t, newSink(t, o), chunk(1, 1))); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate of nobody's: %v", err)
	}
}

// A real log store reads the frames and has each complete message.
// A receiver without TLS waits for more of what it takes for a message. The error names TLS.
func TestAReceiverWithoutTLS(t *testing.T) {
	o := options(stuck(t))
	o.Plaintext, o.RequestTimeout = false, time.Second
	s := newSink(t, o)
	_, err := s.Deliver(t.Context(), render(t, s, chunk(1, 1)))
	if auditrelay.KindOf(err) != auditrelay.Transient || err == nil || !strings.Contains(err.Error(), "the TLS handshake was not answered within request_timeout (1s): does the receiver use TLS") {
		t.Error(err)
	}
}

func TestARealStore(t *testing.T) {
	store := logstore.Start(t)
	s := newSink(t, options(store.Syslog))
	if _, err := s.Deliver(t.Context(), render(t, s, chunk(1, 200))); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, l := range store.Await(t, 200) {
		if l["app_name"] != "auditrelay" || l["facility_keyword"] != "security" && l["facility"] != "13" || l["proc_id"] != "j.1" || l["_msg"] != fmt.Sprintf(`{"id":"event-%s","note":"ü 1 <110>"}`, l["msg_id"]) {
			t.Fatalf("another message: %v", l)
		}
		seen[l["msg_id"]] = true
	}
	if len(seen) != 200 {
		t.Errorf("%d of 200 messages are there", len(seen))
	}
}

func TestOptions(t *testing.T) {
	for want, o := range map[string]syslog.Options{
		"address: it is required":                {},
		"hostname: expected at most 255":         {Address: "a:1", Hostname: "a b"},
		"app_name: expected at most 48":          {Address: "a:1", AppName: "ü"},
		"facility: expected 1 to 23":             {Address: "a:1", Facility: 24},
		"max_message_bytes: expected 480B":       {Address: "a:1", MaxMessageBytes: 1},
		"request_timeout: expected 1s":           {Address: "a:1", RequestTimeout: 1},
		"plaintext: tls is set too":              {Address: "a:1", Plaintext: true, TLS: httpsink.TLS{ServerName: "x"}},
		"tls.ca: it contains no PEM certificate": {Address: "a:1", TLS: httpsink.TLS{CA: "x"}},
	} {
		if _, err := syslog.New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
