package httpsink

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"auditrelay"
)

// Internal addresses, in every notation that leads to them.
func TestGuard(t *testing.T) {
	closed, _ := newGuard(nil)
	open, err := newGuard([]string{NetworkLoopback, NetworkPrivate, "100.64.0.0/10"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		ip         string
		want, open bool // allowed without, and with, the networks
	}{
		{"93.184.216.34", true, true},
		{"2606:2800:220:1::1", true, true},
		{"127.0.0.1", false, true},
		{"127.8.8.8", false, true},
		{"::1", false, true},
		{"::ffff:127.0.0.1", false, true},
		{"10.1.2.3", false, true},
		{"172.31.255.255", false, true},
		{"192.168.0.1", false, true},
		{"fd12:3456::1", false, true},
		{"100.100.0.1", false, true},
		{"169.254.169.254", false, false},
		{"::ffff:169.254.169.254", false, false},
		{"64:ff9b::a9fe:a9fe", false, false},
		{"64:ff9b::7f00:1", false, true},
		{"2002:a9fe:a9fe::1", false, false},
		{"fe80::1%eth0", false, false},
		{"0.0.0.0", false, false},
		{"::", false, false},
		{"224.0.0.1", false, false},
		{"255.255.255.255", false, false},
		{"198.18.0.1", false, false},
		{"::127.0.0.1", false, true},
		{"::169.254.169.254", false, false},
		{"64:ff9b:1::7f00:1", false, false},
		{"2001:0:4136:e378:8000:63bf:f5ff:fffe", false, true},  // Teredo for 10.0.0.1
		{"2001:0:4136:e378:8000:63bf:5601:5601", false, false}, // for 169.254.169.254
		{"2001:0:4136:e378:8000:63bf:a247:28dd", true, true},   // for 93.184.215.34
		{"203.0.113.7", false, false},
		{"::ffff:0:7f00:1", false, true}, // translated
		{"::ffff:0:a9fe:a9fe", false, false},
		{"168.63.129.16", false, false},
		{"::ffff:168.63.129.16", false, false},
		{"5f00::1", false, false},
	} {
		ip := netip.MustParseAddr(tt.ip)
		if err := closed.check(ip); (err == nil) != tt.want {
			t.Errorf("%s: %v", tt.ip, err)
		}
		if err := open.check(ip); (err == nil) != tt.open {
			t.Errorf("%s with networks allowed: %v", tt.ip, err)
		}
	}
}

// The hint names a network that would allow the address.
func TestTheGuardsHint(t *testing.T) {
	g, _ := newGuard(nil)
	for ip, want := range map[string]string{"::1": "(loopback)", "127.0.0.1": "(loopback)", "10.0.0.1": "(private", "::": "(::/128)", "169.254.1.1": "(169.254.1.1/32)"} {
		if err := g.check(netip.MustParseAddr(ip)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", ip, err, want)
		}
	}
}

// The guard checks the address of the connection, whatever the name was.
func TestANameThatLeadsInside(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was reached") }))
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	closed, _ := newGuard(nil)
	if conn, err := closed.dialer("")(t.Context(), "tcp", "localhost:"+port); err == nil || !errors.Is(err, ErrInside) {
		if conn != nil {
			conn.Close()
		}
		t.Errorf("got %v", err)
	}
	// A proxy configured by the operator may be internal.
	conn, err := closed.dialer("localhost:"+port)(t.Context(), "tcp", "localhost:"+port)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func client(t *testing.T, o Options, url string) *Client {
	t.Helper()
	o.AllowNetworks = []string{NetworkLoopback}
	o = o.WithDefaults(CompressionNone)
	u, err := o.CheckURL("url", url)
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewClient(o, u, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// A redirect is no delivery and is not followed, to any target.
func TestRedirectsAreNotFollowed(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	defer other.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		server := httptest.NewServer(http.RedirectHandler(other.URL, status))
		c := client(t, Options{}, server.URL)
		a, err := c.Send(t.Context(), Request{Header: http.Header{}, Body: []byte("x")})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Refusal(a); auditrelay.KindOf(err) != auditrelay.Misconfigured {
			t.Errorf("%d: %v", status, err)
		}
		server.Close()
	}
}

// A secret's file is read again when it changes, and a missing file stalls.
func TestSecretsRotate(t *testing.T) {
	name := filepath.Join(t.TempDir(), "secret")
	s, err := NewSecret("token", "", name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(); auditrelay.KindOf(err) != auditrelay.Unauthorized {
		t.Errorf("without its file: %v", err)
	}
	for i, text := range []string{"first\n", "second, longer", "third, longer!"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, time.Time{}, time.Unix(int64(i), 0)); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Get(); err != nil || got != strings.TrimSpace(text) {
			t.Errorf("got %q, %v", got, err)
		}
	}
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(); err == nil || strings.Contains(err.Error(), "third") {
		t.Errorf("empty: %v", err)
	}
}

// A missing or damaged client certificate is reported as such, and stalls.
func TestAClientCertificateThatIsNone(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	damaged := filepath.Join(t.TempDir(), "damaged.pem")
	if err := os.WriteFile(damaged, []byte("no PEM"), 0o600); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"none.pem": "none.pem does not exist", damaged: "the client certificate: tls:"} {
		o := TLS{InsecureSkipVerify: true, CertFile: file, KeyFile: file}
		c := client(t, Options{TLS: o}, server.URL)
		_, err := c.Send(t.Context(), Request{Header: http.Header{}, Body: []byte("x")})
		if err = c.Failure(t.Context(), err); auditrelay.KindOf(err) != auditrelay.Unauthorized || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", file, err, want)
		}
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Handshake(t.Context(), conn, o, ""); auditrelay.KindOf(err) != auditrelay.Unauthorized {
			t.Errorf("%s, of a stream: %v", file, err)
		}
	}
}

// A proxy from the environment may be internal, with each scheme's default port.
func TestAProxysAddress(t *testing.T) {
	for text, want := range map[string]string{
		"http://p": "p:80", "https://p": "p:443", "socks5://p": "p:1080", "socks5h://p": "p:1080", "http://p:3128": "p:3128", "socks5://[::1]": "[::1]:1080",
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := address(u); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

// Items keep their order, each is in one payload, within the limits. Both halves of a payload
// together contain its items.
func TestPack(t *testing.T) {
	chunk := auditrelay.Chunk{Callback: "c", Journal: "j.1", From: 1, To: 100}
	var items []Item
	for i := range 99 {
		items = append(items, Item{Sequence: uint64(i + 1), Data: fmt.Appendf(nil, `{"n":%d,"text":%q}`, i, strings.Repeat("x", i%17*10))})
	}
	for _, p := range []Packing{
		{Separator: "\n", MaxBytes: 500, MaxItem: 500, Compression: CompressionNone},
		{Open: "[", Separator: ",\n", Close: "]", MaxBytes: 300, MaxItem: 300, MaxItems: 7, Compression: CompressionGzip},
		{Separator: "\n", Close: "\n", MaxBytes: 1 << 20, MaxItem: 1 << 20, Compression: CompressionGzip},
	} {
		payloads, err := p.Pack(chunk, items)
		if err != nil {
			t.Fatal(err)
		}
		var sequences []uint64
		for _, payload := range payloads {
			content, err := Plain(payload)
			if err != nil || len(content) > p.MaxBytes || p.MaxItems > 0 && len(payload.Sequences) > p.MaxItems {
				t.Fatalf("%d bytes, %d records, %v", len(content), len(payload.Sequences), err)
			}
			sequences = append(sequences, payload.Sequences...)
			if len(payload.Sequences) < 2 {
				continue
			}
			first, second, err := p.Split(payload)
			if err != nil {
				t.Fatal(err)
			}
			a, _ := Plain(first)
			b, _ := Plain(second)
			joined := slices.Concat(bytes.TrimSuffix(a, []byte(p.Close)), []byte(p.Separator), bytes.TrimPrefix(b, []byte(p.Open)))
			if !bytes.Equal(joined, content) || first.Key == second.Key || !slices.Equal(slices.Concat(first.Sequences, second.Sequences), payload.Sequences) {
				t.Errorf("the halves of %q are %q and %q", content, a, b)
			}
		}
		if len(sequences) != 99 || !slices.IsSorted(sequences) {
			t.Errorf("%d records: %v", len(sequences), sequences)
		}
	}
	_, err := Packing{MaxBytes: 10, MaxItem: 10}.Pack(chunk, []Item{{Sequence: 1, Data: []byte("{}")}, {Sequence: 2, Data: bytes.Repeat([]byte("x"), 11)}, {Sequence: 3, Data: []byte("a\nb")}, {Sequence: 4}})
	bad, ok := errors.AsType[*auditrelay.RecordErrors](err)
	if !ok || len(bad.Records) != 3 || bad.Records[0].Cause != auditrelay.CauseTooLarge {
		t.Errorf("got %v", err)
	}
}

// Invalid options are errors at their paths.
func TestOptions(t *testing.T) {
	for want, o := range map[string]Options{
		"http.proxy: expected none":         {Proxy: "proxy:3128"},
		"http.allow_networks[1]: expected":  {AllowNetworks: []string{"private", "10.1.2.3/8"}},
		"http.tls.cert_file: cert_file and": {TLS: TLS{CertFile: "x"}},
		"http.concurrency: expected 1":      {Concurrency: 100},
		"http.request_timeout: expected 1s": {RequestTimeout: time.Millisecond},
	} {
		if err := o.WithDefaults(CompressionGzip).Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// TLS options for the destination do not apply to a token service, but the guard does. A
// library cannot read an endless answer.
func TestTokens(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for block := make([]byte, 64<<10); ; {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}))
	defer server.Close()
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{TLS: TLS{InsecureSkipVerify: true}, AllowNetworks: []string{"loopback"}}.WithDefaults(CompressionNone)
	c, err := NewClient(o, u, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	answer, err := c.HTTP().Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if n, err := io.Copy(io.Discard, answer.Body); err == nil || n != 1<<20 {
		t.Errorf("%d bytes were read: %v", n, err)
	}
	if _, err := c.Tokens().Get(server.URL); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a token from anybody: %v", err)
	}
	o.AllowNetworks = nil
	if c, err = NewClient(o, u, nil); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Tokens().Get(server.URL); !errors.Is(err, ErrInside) {
		t.Errorf("a token from the inside: %v", err)
	}
}
