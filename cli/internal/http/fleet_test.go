package http

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"auditrelay/cli/internal/api"
	"auditrelay/runtime"
)

// aFleet is a fleet of one.
type aFleet struct{}

func (aFleet) Fleet() api.Fleet { return api.Fleet{Relay: "a"} }

func (f aFleet) Drain(context.Context, string, bool, runtime.By) (api.Fleet, error) {
	return f.Fleet(), nil
}

// TestAFollowersDoor: a relay that does not lead slows down token guessing like the leader, and
// does not know a token that a reload removed.
func TestAFollowersDoor(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := NewFollower(FollowerOptions{Config: parsed(t, "callbacks: []\ntokens: [{name: a, token: the-first-token-0123, roles: [view]}]\n"), Listener: l, Logger: quiet(), Fleet: aFleet{}})
	if err != nil {
		t.Fatal(err)
	}
	f.s.failures.delay = 100 * time.Millisecond
	get := func(token string) int {
		r, w := httptest.NewRequest(http.MethodGet, "/v1/fleet", nil), httptest.NewRecorder()
		r.Header.Set("Authorization", "Bearer "+token)
		f.fleet(w, r)
		return w.Code
	}
	if got := get("the-first-token-0123"); got != http.StatusOK {
		t.Errorf("with the token: %d", got)
	}
	if err := f.Use(parsed(t, "callbacks: []\ntokens: [{name: a, token: the-other-token-0123, roles: [view]}]\n")); err != nil {
		t.Fatal(err)
	}
	if first, other := get("the-first-token-0123"), get("the-other-token-0123"); first != http.StatusUnauthorized || other != http.StatusOK {
		t.Errorf("after a reload: the first token %d, the other %d", first, other)
	}
	var guesses sync.WaitGroup
	var slowed atomic.Int32
	for range freeFailures + 2*waitingFailure {
		guesses.Go(func() {
			if get("guess") == http.StatusTooManyRequests {
				slowed.Add(1)
			}
		})
	}
	guesses.Wait()
	if n := slowed.Load(); n == 0 {
		t.Error("no guess was slowed down")
	}
}

// TestNobodyLeads: while no relay leads, the page shows a screen that says so, and a program
// gets a readable error.
func TestNobodyLeads(t *testing.T) {
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead.Close()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for leader, sent := range map[string]bool{"": false, "http://" + dead.Addr().String(): true} {
		told := 0
		f := &Follower{s: &Server{log: quiet()}, transport: &http.Transport{}, o: FollowerOptions{
			Leader: func() (Leader, <-chan struct{}) { return Leader{Address: leader}, nil },
			Away: func(w http.ResponseWriter, r *http.Request, why string, mayBe bool) bool {
				if r.URL.Path != "/ui/" {
					return false
				}
				if told++; why == "" || mayBe != sent {
					t.Errorf("leader %q: %q, sent: %v", leader, why, mayBe)
				}
				return true
			},
		}}
		running := t.Context()
		if leader == "" {
			running = over // otherwise it would wait for one
		}
		for path, want := range map[string]int{"/ui/": http.StatusOK, "/v1/stats": http.StatusServiceUnavailable} {
			w := httptest.NewRecorder()
			f.sendOn(running).ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
			if w.Code != want {
				t.Errorf("leader %q, %s: %d", leader, path, w.Code)
			}
		}
		if told != 1 {
			t.Errorf("leader %q: told %d times", leader, told)
		}
	}
}

// TestSentOn: only another relay of the fleet can state a request's origin.
func TestSentOn(t *testing.T) {
	for _, test := range []struct {
		name, secret, given, peer, want string
	}{
		{"a relay of the fleet", "s3cr3t", "s3cr3t", "198.51.100.7", "198.51.100.7"},
		{"a relay of the fleet, for IPv6", "s3cr3t", "s3cr3t", "2001:db8::7", "2001:db8::7"},
		{"somebody who guesses", "s3cr3t", "guess", "198.51.100.7", "192.0.2.1"},
		{"somebody who names an address", "s3cr3t", "", "198.51.100.7", "192.0.2.1"},
		{"before the secret is known", "", "", "198.51.100.7", "192.0.2.1"},
		{"anybody else", "s3cr3t", "", "", "192.0.2.1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/v1/stats", nil)
			if test.given != "" {
				r.Header.Set(fleetHeader, test.given)
			}
			if test.peer != "" {
				r.Header.Set(peerHeader, test.peer)
			}
			var got string
			sentOn(func() string { return test.secret }, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				got = peerAddress(r)
				if r.Header.Get(fleetHeader)+r.Header.Get(peerHeader) != "" {
					t.Error("a header of the fleet goes on")
				}
			})).ServeHTTP(httptest.NewRecorder(), r)
			if got != test.want {
				t.Errorf("it comes from %s, want %s", got, test.want)
			}
		})
	}
}
