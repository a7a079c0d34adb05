package httpsink

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"

	"auditrelay"

	"golang.org/x/net/dns/dnsmessage"
)

// resolver is a name server whose answers a test sets.
type resolver struct {
	mu        sync.Mutex
	addresses []netip.Addr
}

func (r *resolver) set(addresses ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.addresses = nil
	for _, a := range addresses {
		r.addresses = append(r.addresses, netip.MustParseAddr(a))
	}
}

// startResolver makes every name resolve as the test specifies, until its end.
func startResolver(t *testing.T) *resolver {
	t.Helper()
	r := &resolver{}
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var done sync.WaitGroup
	done.Go(func() {
		buffer := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			if answer := r.answer(buffer[:n]); answer != nil {
				_, _ = conn.WriteTo(answer, from)
			}
		}
	})
	old := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
	t.Cleanup(func() {
		net.DefaultResolver = old
		conn.Close()
		done.Wait()
	})
	return r
}

func (r *resolver) answer(query []byte) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	var m dnsmessage.Message
	if m.Unpack(query) != nil || len(m.Questions) == 0 {
		return nil
	}
	q := m.Questions[0]
	m.Response, m.Authoritative, m.Additionals = true, true, nil
	for _, a := range r.addresses {
		header := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class}
		switch {
		case q.Type == dnsmessage.TypeA && a.Is4():
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: a.As4()}})
		case q.Type == dnsmessage.TypeAAAA && a.Is6():
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
		}
	}
	answer, err := m.Pack()
	if err != nil {
		return nil
	}
	return answer
}

// TestNamesThatResolveInside: the connection to any internal address that a name resolves to is
// refused. The listener gets none.
func TestNamesThatResolveInside(t *testing.T) {
	names := startResolver(t)
	var reached atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	for _, addresses := range [][]string{
		{"127.0.0.1"}, {"::1"}, {"::ffff:127.0.0.1"}, {"0.0.0.0"}, {"::"}, {"127.0.0.1", "127.0.0.2", "::1"},
		{"169.254.169.254"}, {"::ffff:169.254.169.254"}, {"64:ff9b::a9fe:a9fe"}, {"2002:7f00:1::"}, {"fd00:ec2::254"},
		{"10.0.0.1"}, {"172.16.0.1"}, {"192.168.1.1"}, {"100.64.0.1"}, {"fe80::1"},
	} {
		names.set(addresses...)
		c := guarded(t, "http://hooks.example:"+port)
		_, err := c.Send(t.Context(), Request{Header: http.Header{}, Body: []byte("x")})
		if !errors.Is(err, ErrInside) {
			t.Errorf("%v: %v", addresses, err)
		}
		if kind := auditrelay.KindOf(c.Failure(t.Context(), err)); kind != auditrelay.Misconfigured {
			t.Errorf("%v: %v, so that nobody is told", addresses, kind)
		}
	}
	if reached.Load() != 0 {
		t.Errorf("%d requests arrived inside", reached.Load())
	}
}

// TestANameThatIsBoundAnew: a name that led to an allowed address and later leads to an
// internal one is then refused. The allowed one is internal too, since no public address is
// available here.
func TestANameThatIsBoundAnew(t *testing.T) {
	names := startResolver(t)
	outside, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Skipf("there is no 127.0.0.2 here: %v", err)
	}
	var delivered, reached atomic.Int64
	good := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		delivered.Add(1)
		w.Header().Set("Connection", "close") // the next request opens a new connection
	})}
	go func() { _ = good.Serve(outside) }()
	defer good.Close()
	_, port, _ := net.SplitHostPort(outside.Addr().String())
	within, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Skipf("its port is taken on 127.0.0.1: %v", err)
	}
	bad := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) })}
	go func() { _ = bad.Serve(within) }()
	defer bad.Close()

	names.set("127.0.0.2")
	c := guarded(t, "http://hooks.example:"+port, "127.0.0.2/32")
	if _, err := c.Send(t.Context(), Request{Header: http.Header{}, Body: []byte("x")}); err != nil || delivered.Load() != 1 {
		t.Fatalf("the first: %v, %d delivered", err, delivered.Load())
	}
	names.set("127.0.0.1")
	if _, err := c.Send(t.Context(), Request{Header: http.Header{}, Body: []byte("x")}); !errors.Is(err, ErrInside) {
		t.Errorf("bound anew: %v", err)
	}
	names.set("127.0.0.1", "127.0.0.2") // the first is allowed, the second is not
	if _, err := c.Send(t.Context(), Request{Header: http.Header{}, Body: []byte("x")}); err != nil || delivered.Load() != 2 {
		t.Errorf("one of two: %v, %d delivered", err, delivered.Load())
	}
	if reached.Load() != 0 {
		t.Errorf("%d requests arrived inside", reached.Load())
	}
}

// guarded returns a client that may connect to these networks and no other internal ones.
func guarded(t *testing.T, url string, networks ...string) *Client {
	t.Helper()
	o := Options{AllowNetworks: networks}.WithDefaults(CompressionNone)
	o.Proxy = "none"
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

// TestNumbersAreNoHosts: hosts that some resolvers read as an address and others as a name.
func TestNumbersAreNoHosts(t *testing.T) {
	for host, ok := range map[string]bool{
		"2130706433": false, "0x7f000001": false, "0X7F.0.0.1": false, "0177.0.0.1": false, "127.1": false, "127.0.0.1.": false, "017700000001": false,
		// A proxy would get them in this spelling, or in that of net/http.
		"①②⑦.⓪.⓪.①": false, "127。0。0。1": false, "169。254。169。254": false, "localhost.": false, "a.localhost": false, "ⓛocalhost": false, "münchen.example": true,
		"hooks.example": true, "1.example": true, "0x7f.example": true, "93.184.216.34": true, "[2606:2800:220:1::1]": true,
	} {
		if _, err := (Options{}).CheckURL("url", "http://"+host+"/"); (err == nil) != ok {
			t.Errorf("%s: %v", host, err)
		}
	}
}
