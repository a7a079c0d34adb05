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
	flaky         // one request in five fails, in turn with: 500, reset, lost answer, 429
	dead          // every connection is dropped
	login         // a log-in page with status 200, as from a proxy in front of it
	rejected      // a request with a poison record is refused with 400
)

func (m mode) String() string {
	return [...]string{"healthy", "flaky", "dead", "log-in page", "poison"}[m]
}

// destination accepts arrays of events over HTTP and stores them. It cannot detect a repeated
// request.
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

// arrived returns the number of distinct events it has.
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

// store stores the events of a request: an array, or one event.
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
