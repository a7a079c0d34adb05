// Package faultproxy is an HTTP reverse proxy in front of a real server that causes the faults
// a test specifies.
//
// It passes the Host header unchanged, so signed requests stay valid.
package faultproxy

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Fault is what happens to one request.
type Fault struct {
	name string
	// serve answers w, or calls forward to pass the request.
	serve func(w http.ResponseWriter, r *http.Request, forward http.Handler)
}

func (f Fault) String() string { return f.name }

// Pass passes the request.
var Pass = Fault{"pass", func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
	forward.ServeHTTP(w, r)
}}

// Answer answers with the test's own status, body and headers (name, value, ...). The request
// does not reach the server.
func Answer(status int, body string, headers ...string) Fault {
	return Fault{"answer " + strconv.Itoa(status), func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		io.Copy(io.Discard, r.Body)
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}}
}

// S3Error answers like S3, with a code in XML.
func S3Error(status int, code string, headers ...string) Fault {
	f := Answer(status, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>`+code+
		`</Code><Message>`+code+`</Message><RequestId>0</RequestId></Error>`,
		append([]string{"Content-Type", "application/xml"}, headers...)...)
	f.name = code
	return f
}

// Echo answers with a status and quotes the request's body, which a client must not repeat. The
// request does not reach the server.
func Echo(status int) Fault {
	return Fault{"echo " + strconv.Itoa(status), func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		io.WriteString(w, "<Error><Code>")
		w.Write(body)
		io.WriteString(w, "</Code><Message>")
		w.Write(body)
		io.WriteString(w, "</Message></Error>")
	}}
}

// The typical faults of S3.
var (
	InternalError = S3Error(http.StatusInternalServerError, "InternalError")
	SlowDown      = S3Error(http.StatusServiceUnavailable, "SlowDown")
	AccessDenied  = S3Error(http.StatusForbidden, "AccessDenied")
)

// LoseAnswer passes the request, waits for the answer, and drops the connection instead of
// returning it. The server has acted, but the client cannot know.
var LoseAnswer = Fault{"lose answer", func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
	forward.ServeHTTP(httptest.NewRecorder(), r)
	panic(http.ErrAbortHandler)
}}

// HangAfter passes the request and then stays silent until the client gives up.
var HangAfter = Fault{"hang after", func(_ http.ResponseWriter, r *http.Request, forward http.Handler) {
	forward.ServeHTTP(httptest.NewRecorder(), r)
	<-r.Context().Done()
}}

// Hang stays silent until the client gives up. The request does not reach the server.
var Hang = Fault{"hang", func(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
	io.Copy(io.Discard, r.Body) // otherwise the server does not notice that the client left
	<-r.Context().Done()
}}

// Reset drops the connection before the request reaches the server.
var Reset = Fault{"reset", func(http.ResponseWriter, *http.Request, http.Handler) {
	panic(http.ErrAbortHandler)
}}

// Torn passes only the first n bytes of the request's body to the server, then drops both
// connections.
func Torn(n int64) Fault {
	return Fault{"torn", func(_ http.ResponseWriter, r *http.Request, forward http.Handler) {
		r.Body = io.NopCloser(io.MultiReader(io.LimitReader(r.Body, n), brokenReader{}))
		func() {
			defer func() { recover() }() // the reverse proxy aborts when the body breaks
			forward.ServeHTTP(httptest.NewRecorder(), r)
		}()
		panic(http.ErrAbortHandler)
	}}
}

// SlowBody passes the request at about 64 bytes every pause.
func SlowBody(pause time.Duration) Fault {
	return Fault{"slow body", func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
		body, _ := io.ReadAll(r.Body) // otherwise the server does not notice that the client left
		r.Body = &slowReader{body: bytes.NewReader(body), pause: pause, done: r.Context().Done()}
		forward.ServeHTTP(w, r)
	}}
}

// Watched is like f, and calls see with the decompressed body of each affected request.
func Watched(f Fault, see func(body []byte)) Fault {
	return Fault{f.name, func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		if r.Header.Get("Content-Encoding") == "gzip" {
			z, err := gzip.NewReader(bytes.NewReader(body))
			if err == nil {
				body, err = io.ReadAll(z)
			}
			if err != nil {
				panic(http.ErrAbortHandler)
			}
		}
		see(body)
		f.serve(w, r, forward)
	}}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

type slowReader struct {
	body  *bytes.Reader
	pause time.Duration
	done  <-chan struct{}
}

func (s *slowReader) Close() error { return nil }

func (s *slowReader) Read(p []byte) (int, error) {
	select {
	case <-time.After(s.pause):
	case <-s.done:
		return 0, io.ErrUnexpectedEOF
	}
	return s.body.Read(p[:min(len(p), 64)])
}

// Request is one request that the proxy saw.
type Request struct {
	Method, Path string
	Header       http.Header
	Fault        string
}

// Proxy is a proxy in front of one server. It is safe for concurrent use.
type Proxy struct {
	URL string

	mu     sync.Mutex
	target *url.URL
	script []Fault
	always *Fault
	seen   []Request

	every, count int
	some         []Fault
	forget       bool // requests are not recorded: there are many
}

// Start starts a proxy in front of target (http://host:port). It ends with the test.
func Start(t testing.TB, target string) *Proxy {
	t.Helper()
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableCompression = true
	p := &Proxy{}
	p.Target(t, target)
	forward := &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			p.mu.Lock()
			target := p.target
			p.mu.Unlock()
			r.SetURL(target)
			r.Out.Host = r.In.Host
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.next(r).serve(w, r, forward)
	}))
	t.Cleanup(func() {
		server.CloseClientConnections() // a hanging fault ends with its client
		server.Close()
		transport.CloseIdleConnections()
	})
	p.URL = server.URL
	return p
}

// Target changes the server behind the proxy.
func (p *Proxy) Target(t testing.TB, target string) {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = u
}

// next takes the request's fault from the script and records the request.
func (p *Proxy) next(r *http.Request) Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	fault := Pass
	switch {
	case len(p.script) > 0:
		fault, p.script = p.script[0], p.script[1:]
	case p.every > 0:
		if p.count++; p.count%p.every == 0 {
			fault = p.some[p.count/p.every%len(p.some)]
		}
	case p.always != nil:
		fault = *p.always
	}
	if p.forget {
		return fault
	}
	p.seen = append(p.seen, Request{r.Method, r.URL.EscapedPath(), r.Header.Clone(), fault.name})
	return fault
}

// Script sets the faults of the next requests, one each in this order. Later requests pass, or
// get the fault of Always.
func (p *Proxy) Script(faults ...Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.script = append(p.script, faults...)
}

// Always sets the fault of every request after the script. Always(Pass) ends the faults.
func (p *Proxy) Always(f Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.always = &f
}

// Every gives one of every n requests after the script the next of these faults, in turn.
func (p *Proxy) Every(n int, faults ...Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.every, p.some, p.forget = n, faults, true
}

// Requests returns the requests seen so far.
func (p *Proxy) Requests() []Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Request(nil), p.seen...)
}
