// Package receiver contains small HTTP endpoints that store requests, for tests of the HTTP
// sinks: Splunk's event collector, Datadog's log intake, and a webhook that remembers ids. They
// answer as the sinks' package comments describe the real ones, so they only prove conformity
// with that description. Other tests use real servers (TestARealStore,
// TestAcknowledgementsOfAnotherReceiver, TestTheOfficialVerifier).
package receiver

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Receiver is an endpoint with its stored data.
type Receiver struct {
	*httptest.Server
	mu     sync.Mutex
	secret string
	refuse string // a record that is refused, together with its request
	docs   [][]byte
	ids    map[string]bool
	// acks are the outstanding numbers by channel, and next the next numbers. While holding,
	// none is reported. Each is reported once.
	acks    map[string]map[int64]bool
	next    map[string]int64
	holding bool
	polls   int
	posts   int
}

// Documents returns the stored records in order.
func (r *Receiver) Documents() [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([][]byte(nil), r.docs...)
}

// Posts returns the number of accepted requests with events.
func (r *Receiver) Posts() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.posts
}

// Polls returns the number of requests for acknowledgements.
func (r *Receiver) Polls() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.polls
}

// Secret makes the endpoint require another secret from now on.
func (r *Receiver) Secret(secret string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.secret = secret
}

// Refuse makes the endpoint refuse a record permanently from now on, according to its protocol:
// HEC stores the events before it and names it; the others refuse the whole request.
func (r *Receiver) Refuse(record string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refuse = record
}

func (r *Receiver) refuses(doc []byte) bool { return r.refuse != "" && string(doc) == r.refuse }

// Hold withholds acknowledgements, or releases them.
func (r *Receiver) Hold(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.holding = on
}

// Restart simulates the restart of an event collector before indexing: the events are lost, and
// the count of acknowledgements too.
func (r *Receiver) Restart() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.docs, r.acks, r.next = nil, map[string]map[int64]bool{}, map[string]int64{}
}

func start(t testing.TB, secret string, serve func(r *Receiver, w http.ResponseWriter, q *http.Request, body []byte)) *Receiver {
	t.Helper()
	r := &Receiver{secret: secret, ids: map[string]bool{}, acks: map[string]map[int64]bool{}, next: map[string]int64{}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		var in io.Reader = q.Body
		if q.Header.Get("Content-Encoding") == "gzip" {
			z, err := gzip.NewReader(q.Body)
			if err != nil {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			in = z
		}
		body, err := io.ReadAll(in)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		serve(r, w, q, body)
	}))
	t.Cleanup(r.Close)
	return r
}

func reply(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

// Splunk starts an event collector that requires token. With ack it acknowledges.
func Splunk(t testing.TB, token string, ack bool) *Receiver {
	return start(t, token, func(r *Receiver, w http.ResponseWriter, q *http.Request, body []byte) {
		fail := func(status, code int, text string) {
			reply(w, status, `{"text":`+strconv.Quote(text)+`,"code":`+strconv.Itoa(code)+`}`)
		}
		switch given, ok := strings.CutPrefix(q.Header.Get("Authorization"), "Splunk "); {
		case q.Header.Get("Authorization") == "":
			fail(401, 2, "Token is required")
			return
		case !ok:
			fail(401, 3, "Invalid authorization")
			return
		case given != r.secret:
			fail(403, 4, "Invalid token")
			return
		}
		switch q.URL.Path {
		case "/services/collector/event":
			r.events(w, q, body, ack, fail)
		case "/services/collector/ack":
			if !ack {
				fail(400, 14, "ACK is disabled")
				return
			}
			r.acknowledge(w, q.Header.Get("X-Splunk-Request-Channel"), body)
		default:
			reply(w, 404, `{"text":"The requested URL was not found on this server.","code":404}`)
		}
	})
}

func (r *Receiver) events(w http.ResponseWriter, q *http.Request, body []byte, ack bool, fail func(status, code int, text string)) {
	if ack && q.Header.Get("X-Splunk-Request-Channel") == "" {
		fail(400, 10, "Data channel is missing")
		return
	}
	if len(bytes.TrimSpace(body)) == 0 {
		fail(400, 5, "No data")
		return
	}
	var docs [][]byte
	for d := json.NewDecoder(bytes.NewReader(body)); d.More(); {
		var e struct {
			Time  json.RawMessage   `json:"time"`
			Event json.RawMessage   `json:"event"`
			Field map[string]string `json:"fields"`
		}
		err := d.Decode(&e)
		number := `,"invalid-event-number":` + strconv.Itoa(len(docs)) + `}`
		switch {
		case err != nil:
			reply(w, 400, `{"text":"Invalid data format","code":6`+number)
			return
		case e.Event == nil:
			reply(w, 400, `{"text":"Event field is required","code":12`+number)
			return
		case strings.ContainsAny(string(e.Time), "eE"):
			reply(w, 400, `{"text":"Error in handling indexed fields","code":15`+number)
			return
		case r.refuses(e.Event):
			r.docs = append(r.docs, docs...)
			reply(w, 400, `{"text":"Invalid data format","code":6`+number)
			return
		}
		docs = append(docs, e.Event)
	}
	r.posts++
	r.docs = append(r.docs, docs...)
	if !ack {
		reply(w, 200, `{"text":"Success","code":0}`)
		return
	}
	channel := q.Header.Get("X-Splunk-Request-Channel")
	id := r.next[channel]
	r.next[channel]++
	if r.acks[channel] == nil {
		r.acks[channel] = map[int64]bool{}
	}
	r.acks[channel][id] = true
	reply(w, 200, `{"text":"Success","code":0,"ackId":`+strconv.FormatInt(id, 10)+`}`)
}

func (r *Receiver) acknowledge(w http.ResponseWriter, channel string, body []byte) {
	r.polls++
	var asked struct {
		Acks []int64 `json:"acks"`
	}
	if json.Unmarshal(body, &asked) != nil {
		reply(w, 400, `{"text":"Invalid data format","code":6}`)
		return
	}
	answer := map[string]bool{}
	for _, id := range asked.Acks {
		indexed := r.acks[channel][id] && !r.holding
		if answer[strconv.FormatInt(id, 10)] = indexed; indexed {
			delete(r.acks[channel], id)
		}
	}
	text, _ := json.Marshal(map[string]any{"acks": answer})
	reply(w, 200, string(text))
}

// Datadog starts a log intake that requires key.
func Datadog(t testing.TB, key string) *Receiver {
	return start(t, key, func(r *Receiver, w http.ResponseWriter, q *http.Request, body []byte) {
		if q.Header.Get("Dd-Api-Key") != r.secret {
			reply(w, 403, `{"errors":[{"status":"403","title":"Forbidden"}]}`)
			return
		}
		if q.URL.Path != "/api/v2/logs" {
			reply(w, 404, `{"errors":[{"status":"404","title":"Not Found"}]}`)
			return
		}
		var logs []struct {
			Message string `json:"message"`
		}
		if err := json.Unmarshal(body, &logs); err != nil || len(logs) > 1000 {
			reply(w, 400, `{"errors":[{"status":"400","title":"Bad Request"}]}`)
			return
		}
		if len(body) > 5_000_000 {
			reply(w, 413, `{"errors":[{"status":"413","title":"Payload Too Large"}]}`)
			return
		}
		for _, l := range logs {
			if r.refuses([]byte(l.Message)) {
				reply(w, 400, `{"errors":[{"status":"400","title":"Bad Request"}]}`)
				return
			}
		}
		r.posts++
		for _, l := range logs {
			r.docs = append(r.docs, []byte(l.Message))
		}
		reply(w, 202, `{}`)
	})
}

// Webhook starts an endpoint that accepts each webhook-id once. verify, if not nil, checks each
// request. split divides a body into records.
func Webhook(t testing.TB, verify func(body []byte, h http.Header) error, split func(body []byte) [][]byte) *Receiver {
	return start(t, "", func(r *Receiver, w http.ResponseWriter, q *http.Request, body []byte) {
		if verify != nil {
			if err := verify(body, q.Header); err != nil {
				reply(w, 401, `{}`)
				return
			}
		}
		r.posts++
		docs := split(body)
		if slices.ContainsFunc(docs, r.refuses) {
			reply(w, 422, `{}`)
			return
		}
		if id := q.Header.Get("Webhook-Id"); !r.ids[id] {
			r.ids[id] = true
			r.docs = append(r.docs, docs...)
		}
		w.WriteHeader(http.StatusNoContent)
	})
}
