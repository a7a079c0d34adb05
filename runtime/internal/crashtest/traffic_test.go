package crashtest

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"auditrelay/internal/test/corpus"
)

// traffic is endless producers, each with a steady pace, that retry temporarily refused events.
type traffic struct {
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	refused atomic.Int64 // number of answers other than 200
	mayEnd  atomic.Bool  // the relay may end under the producers
}

// source returns the events of one producer.
type source func(producer int) (next func() []byte)

// fromCorpus returns LiteLLM's events.
func fromCorpus(seed uint64) source {
	return func(producer int) func() []byte {
		g := corpus.New(seed<<16 + uint64(producer))
		return func() []byte { return g.Next().Data }
	}
}

// bulky returns incompressible events of a given size.
func bulky(seed uint64, size int) source {
	return func(producer int) func() []byte {
		noise := rand.NewChaCha8([32]byte{byte(seed), byte(producer)})
		n := 0
		return func() []byte {
			n++
			padding := make([]byte, size*3/4)
			noise.Read(padding)
			return fmt.Appendf(nil, `{"id":"bulk-%d-%d-%d","action":"created","updated_values":%q}`,
				seed, producer, n, base64.StdEncoding.EncodeToString(padding))
		}
	}
}

// startTraffic lets n producers send a batch of events at every tick of pace.
func startTraffic(t *testing.T, r *relay, book *ledger, n, batch int, pace time.Duration, from source) *traffic {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	s := &traffic{cancel: cancel}
	t.Cleanup(s.stop)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: n}}
	for p := range n {
		s.wg.Go(func() {
			next := from(p)
			tick := time.NewTicker(pace)
			defer tick.Stop()
			var events [][]byte
			for {
				if events == nil {
					for range batch {
						events = append(events, next())
					}
					book.send(events)
				}
				ids, err := r.post(ctx, client, events)
				switch {
				case ctx.Err() != nil:
					return
				case errors.Is(err, errUnanswered):
					if !s.mayEnd.Load() {
						t.Errorf("a producer got no answer")
					}
					return
				case err != nil:
					s.refused.Add(1)
				default:
					if err := book.acknowledge(ids); err != nil {
						t.Errorf("log acknowledgements: %v", err)
						return
					}
					events = nil
				}
				select {
				case <-tick.C:
				case <-ctx.Done():
					return
				}
			}
		})
	}
	return s
}

// stop ends the producers. They cancel a request in progress, so its events do not count as
// accepted.
func (s *traffic) stop() {
	s.cancel()
	s.wg.Wait()
}

// eventually polls until ok returns true. ok also describes what it saw.
func (r *relay) eventually(t *testing.T, within time.Duration, what string, ok func() (bool, string)) {
	t.Helper()
	deadline := time.Now().Add(within)
	for {
		done, saw := ok()
		if done {
			return
		}
		select {
		case <-r.done:
			t.Fatalf("the program ended; waiting for %s\n%s", what, r.log)
		case <-time.After(10 * time.Millisecond): // poll another process
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s; saw %s\n%s", within, what, saw, r.log)
		}
	}
}

// callback returns the status of one callback.
func (r *relay) callback(t *testing.T, name string) callbackStatus {
	t.Helper()
	for _, c := range r.callbacks(t) {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("no callback %s", name)
	return callbackStatus{}
}

// operate posts to one of a callback's routes, such as resume.
func (r *relay) operate(t *testing.T, name, verb string) {
	t.Helper()
	resp, err := http.Post(r.url+"/v1/callbacks/"+name+"/"+verb, "application/json", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		answer, _ := io.ReadAll(resp.Body)
		t.Fatalf("%s %s: %s: %s\n%s", verb, name, resp.Status, answer, r.log)
	}
}

// readiness returns the result of /readyz?verbose.
func (r *relay) readiness(t *testing.T) (status int, reason string) {
	t.Helper()
	resp, err := http.Get(r.url + "/readyz?verbose")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var body struct{ Reason string }
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
		t.Fatal(fmt.Errorf("readyz: %w", err))
	}
	return resp.StatusCode, body.Reason
}
