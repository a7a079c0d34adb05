package sinktest_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"auditrelay"
	"auditrelay/sinktest"
)

// TestASinkOfOnesOwn tests the sink of the example. scripts/test-embedding runs both files in a
// module of their own.
func TestASinkOfOnesOwn(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Kit { return kitOf(newDestination(t)) })
}

// destination is an endpoint that accepts each key once.
type destination struct {
	server    *httptest.Server
	tokenFile string

	mu     sync.Mutex
	docs   map[string][]byte
	order  []string
	token  string
	refuse string
	fault  func(w http.ResponseWriter, r *http.Request, body []byte) bool // true: it has answered
}

func newDestination(t *testing.T) *destination {
	d := &destination{docs: map[string][]byte{}, token: "first", tokenFile: filepath.Join(t.TempDir(), "token")}
	write(t, d.tokenFile, "first")
	d.server = httptest.NewServer(http.HandlerFunc(d.serve))
	t.Cleanup(d.server.Close)
	return d
}

func (d *destination) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	d.mu.Lock()
	fault := d.fault
	d.mu.Unlock()
	if fault != nil && fault(w, r, body) {
		return
	}
	w.WriteHeader(d.store(r, body))
}

// store accepts a request, and returns its status.
func (d *destination) store(r *http.Request, body []byte) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := r.Header.Get("Idempotency-Key")
	switch {
	case r.Header.Get("Authorization") != "Bearer "+d.token:
		return http.StatusUnauthorized
	case d.refuse != "" && string(body) == d.refuse:
		return http.StatusUnprocessableEntity
	case d.docs[key] != nil:
		return http.StatusAlreadyReported
	}
	d.docs[key] = body
	d.order = append(d.order, key)
	return http.StatusCreated
}

// kitOf returns a kit of the destination with all its faults.
func kitOf(d *destination) sinktest.Kit {
	sink := func(*testing.T) auditrelay.Sink { return NewPoster(d.server.URL, d.tokenFile) }
	with := func(fault func(w http.ResponseWriter, r *http.Request, body []byte) bool) auditrelay.Sink {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.fault = fault
		return sink(nil)
	}
	return sinktest.Kit{
		New: sink,
		Read: func(*testing.T) [][]byte {
			d.mu.Lock()
			defer d.mu.Unlock()
			var docs [][]byte
			for _, key := range d.order {
				docs = append(docs, d.docs[key])
			}
			return docs
		},
		Unordered: true,
		TooLarge:  maxEvent + 1,
		Fail: func(_ *testing.T, status int) auditrelay.Sink {
			return with(func(w http.ResponseWriter, _ *http.Request, body []byte) bool {
				w.WriteHeader(status)
				_, _ = w.Write(body)
				return true
			})
		},
		Answer: func(_ *testing.T, a sinktest.Answer) auditrelay.Sink {
			return with(func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
				for name, value := range a.Header {
					w.Header().Set(name, value)
				}
				w.WriteHeader(a.Status)
				_, _ = io.WriteString(w, a.Body)
				return true
			})
		},
		LoseAnswer: func(*testing.T) auditrelay.Sink {
			var first sync.Once
			return with(func(_ http.ResponseWriter, r *http.Request, body []byte) bool {
				first.Do(func() {
					d.store(r, body)
					panic(http.ErrAbortHandler)
				})
				return false
			})
		},
		Hang: func(*testing.T) auditrelay.Sink {
			return with(func(_ http.ResponseWriter, r *http.Request, _ []byte) bool {
				<-r.Context().Done()
				return true
			})
		},
		HangAfter: func(*testing.T) auditrelay.Sink {
			var first sync.Once
			return with(func(_ http.ResponseWriter, r *http.Request, body []byte) bool {
				first.Do(func() {
					d.store(r, body)
					<-r.Context().Done()
					panic(http.ErrAbortHandler)
				})
				return false
			})
		},
		Refuse: func(_ *testing.T, record string) auditrelay.Sink {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.refuse = record
			return sink(nil)
		},
		Expire: func(*testing.T) { d.rotate() },
		Rotate: func(t *testing.T) {
			d.rotate()
			write(t, d.tokenFile, "second\n")
		},
	}
}

func (d *destination) rotate() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.token = "second"
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
