package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
)

// mode is how the destination behaves.
type mode int

const (
	healthy  mode = iota
	flaky         // one request in five fails, in turn: 500, reset, answer lost, 429
	dead          // every connection is dropped
	login         // a log-in page with status 200, as a proxy in front of it gives
	rejected      // a record with poison is refused, with 400, and what is with it
)

func (m mode) String() string {
	return [...]string{"healthy", "flaky", "dead", "log-in page", "poison"}[m]
}

// destination takes arrays of events over HTTP and remembers what it has. It cannot tell
// that a request comes again.
type destination struct {
	server *httptest.Server

	mu     sync.Mutex
	mode   mode
	count  int
	seen   map[string]int // by id
	leaked map[string]bool
	stones int // tombstones
}

func newDestination() *destination {
	d := &destination{seen: map[string]int{}, leaked: map[string]bool{}}
	d.server = httptest.NewServer(http.HandlerFunc(d.serve))
	return d
}

func (d *destination) set(m mode) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mode = m
}

// arrived is how many different events it has.
func (d *destination) arrived() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.seen)
}

func (d *destination) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	d.mu.Lock()
	m := d.mode
	fault := -1
	if d.count++; m == flaky && d.count%5 == 0 {
		fault = d.count / 5 % 4
	}
	d.mu.Unlock()
	switch {
	case m == dead || fault == 1:
		panic(http.ErrAbortHandler)
	case m == login:
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<!DOCTYPE html><html><body>Sign in</body></html>")
		return
	case m == rejected && bytes.Contains(body, []byte(poison)):
		w.WriteHeader(http.StatusBadRequest)
		return
	case fault == 0:
		w.WriteHeader(http.StatusInternalServerError)
		return
	case fault == 3:
		w.WriteHeader(http.StatusTooManyRequests)
		return
	}
	if !d.store(body) {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if fault == 2 {
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(http.StatusNoContent)
}

// store takes a request's events: an array, or one.
func (d *destination) store(body []byte) bool {
	var docs []json.RawMessage
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")) {
		docs = []json.RawMessage{body}
	} else if json.Unmarshal(body, &docs) != nil {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, doc := range docs {
		var e struct {
			ID        string `json:"id"`
			Tombstone bool   `json:"auditrelay_tombstone"`
		}
		if json.Unmarshal(doc, &e) != nil {
			return false
		}
		if e.Tombstone {
			d.stones++
			continue
		}
		d.seen[e.ID]++
		if bytes.Contains(doc, []byte(planted)) {
			d.leaked[e.ID] = true
		}
	}
	return true
}
