package http

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
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

// follows returns the handler of a follower that waits briefly for a leader.
func follows(t *testing.T, leader func() (Leader, <-chan struct{})) *Follower {
	t.Helper()
	f := &Follower{s: &Server{log: quiet()}, transport: &http.Transport{}, leads: make(chan struct{}), hold: 20 * time.Millisecond,
		o: FollowerOptions{Leader: leader, Lives: func(string) bool { return true }}}
	f.over, f.end = context.WithCancel(t.Context())
	t.Cleanup(f.transport.CloseIdleConnections)
	return f
}

// TestNobodyLeads: while no relay leads, the page shows a screen that says so, and a program
// gets a readable error. What was not sent was certainly not done.
func TestNobodyLeads(t *testing.T) {
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead.Close()
	dies := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer dies.Close()
	for leader, sent := range map[string]bool{"": false, "http://" + dead.Addr().String(): false, dies.URL: true} {
		told := 0
		f := follows(t, func() (Leader, <-chan struct{}) { return Leader{Address: leader}, nil })
		f.o.Away = func(w http.ResponseWriter, r *http.Request, why string, mayBe bool) bool {
			if r.URL.Path != "/ui/" {
				return false
			}
			if told++; why == "" || mayBe != sent {
				t.Errorf("leader %q: %q, sent: %v", leader, why, mayBe)
			}
			return true
		}
		for path, want := range map[string]int{"/ui/": http.StatusOK, "/v1/stats": http.StatusServiceUnavailable} {
			w := httptest.NewRecorder()
			f.sendOn(w, httptest.NewRequest(http.MethodGet, path, nil))
			if w.Code != want {
				t.Errorf("leader %q, %s: %d", leader, path, w.Code)
			}
		}
		if told != 1 {
			t.Errorf("leader %q: told %d times", leader, told)
		}
	}
}

// TestARequestDuringAChangeOfTheLeader: a follower keeps a request that the former leader did
// not process, and gives it to the next leader, which may be itself. It never repeats a request
// that may have been processed.
func TestARequestDuringAChangeOfTheLeader(t *testing.T) {
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead.Close()
	answer := func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		fmt.Fprint(w, len(text), " bytes")
	}
	next := httptest.NewServer(http.HandlerFunc(answer))
	defer next.Close()
	former := httptest.NewServer(http.HandlerFunc(follows(t, nil).sendOn))
	defer former.Close()
	dies := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		panic(http.ErrAbortHandler)
	}))
	defer dies.Close()
	for _, test := range []struct {
		name, first string
		itself      bool // leads next
		body        int
		want        int
	}{
		{"the former leader follows", former.URL, false, 1000, http.StatusOK},
		{"the former leader follows, no body", former.URL, false, 0, http.StatusOK},
		{"the former leader follows, this relay leads", former.URL, true, keptBody, http.StatusOK},
		{"the former leader is gone", "http://" + dead.Addr().String(), false, 1000, http.StatusOK},
		{"the former leader is gone, a large body", "http://" + dead.Addr().String(), false, 5 * keptBody, http.StatusOK},
		{"the former leader is gone, this relay leads", "http://" + dead.Addr().String(), true, 5 * keptBody, http.StatusOK},
		{"no relay leads yet", "", false, 1000, http.StatusOK},
		{"no relay leads yet, then this one", "", true, 5 * keptBody, http.StatusOK},
		{"the former leader dies with the request", dies.URL, false, 1000, http.StatusServiceUnavailable},
	} {
		t.Run(test.name, func(t *testing.T) {
			var asked atomic.Int32
			changed := make(chan struct{})
			f := follows(t, func() (Leader, <-chan struct{}) {
				switch {
				case asked.Add(1) <= 2: // for the request, and to watch it
					return Leader{Address: test.first, Secret: "s3cr3t"}, changed
				case test.itself:
					return Leader{}, make(chan struct{})
				}
				return Leader{Address: next.URL, Secret: "s3cr3t"}, make(chan struct{})
			})
			f.hold = 10 * time.Second
			go func() {
				for tick := time.NewTicker(time.Millisecond); asked.Load() < 2 && test.first != "" || asked.Load() < 1; <-tick.C {
				}
				if test.itself {
					f.Lead(http.HandlerFunc(answer))
				}
				close(changed)
			}()
			r, w := httptest.NewRequest(http.MethodPost, "/v1/events", strings.NewReader(strings.Repeat("x", test.body))), httptest.NewRecorder()
			f.sendOn(w, r)
			if want := fmt.Sprint(test.body, " bytes"); w.Code != test.want || w.Code == http.StatusOK && w.Body.String() != want {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			if w.Header().Get(followsHeader) != "" {
				t.Error("a header of the fleet goes on")
			}
		})
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
