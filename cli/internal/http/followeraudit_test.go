package http

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"auditrelay/builtin/sqlite"
	"auditrelay/config"
	"auditrelay/internal/auditstore"
)

const auditorsToken = "a-token-of-an-auditor-01"

// aloof is a store that cannot be opened here.
type aloof struct{ sqliteStore }

func (s aloof) Serving() (Store, error) { return s, nil }

func (s aloof) Read(context.Context) (*auditstore.Store, error) { return nil, errors.New("planted") }

// reading returns a leader with n large events in its store, and a follower that reads the same
// store.
func reading(t *testing.T, n int, change func(*Leader, *FollowerOptions)) (leader *relay, f *Follower, address string) {
	t.Helper()
	o := sqlite.Options{Path: filepath.Join(t.TempDir(), "store.db")}
	sink, err := sqlite.New(o)
	if err != nil {
		t.Fatal(err)
	}
	stores := sqliteStore{t, o}
	cfg := tokens([]config.Token{{Name: "auditor", Token: auditorsToken, Roles: []config.Role{roleComply, roleIngest, roleAuditor}}})
	leader = newRelay(t, Options{Config: cfg, Stores: stores, Fleet: aFleet{}, Secret: func() string { return "s3cr3t" }}, callbackOf("archive", sink))
	big := `"` + strings.Repeat("x", 900<<10) + `"`
	for i := range n {
		if status, answer, _ := leader.call("POST", "/v1/events", strings.Replace(numbered(i), `"user-`, big+`,"more":"user-`, 1), "Authorization", "Bearer "+auditorsToken); status != 200 {
			t.Fatal(answer)
		}
	}
	leader.settle()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	to := Leader{Address: leader.http.URL, Secret: "s3cr3t", Alike: true}
	fo := FollowerOptions{Config: cfg, Listener: l, Logger: quiet(), Fleet: aFleet{}, Stores: stores, Lives: func(string) bool { return true }}
	if change != nil {
		change(&to, &fo)
	}
	fo.Leader = func() (Leader, <-chan struct{}) { return to, nil }
	if f, err = NewFollower(fo); err != nil {
		t.Fatal(err)
	}
	f.hold = 100 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		f.Close()
	})
	return leader, f, "http://" + f.Address()
}

// read makes a request of the auditor's.
func read(t *testing.T, client *http.Client, url string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+auditorsToken)
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func (r *relay) control() string {
	r.t.Helper()
	_, text, _ := r.call("GET", "/v1/control", "", "Authorization", "Bearer "+auditorsToken)
	return text
}

// TestWhoAnswersASearch: a follower forwards what it cannot answer itself.
func TestWhoAnswersASearch(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*Leader, *FollowerOptions)
		status int
		grants bool // the leader grants the request
	}{
		{"the follower reads the store", nil, http.StatusOK, true},
		{"another configuration or version", func(l *Leader, _ *FollowerOptions) { l.Alike = false }, http.StatusOK, false},
		{"no store", func(_ *Leader, o *FollowerOptions) { o.Stores = nil }, http.StatusOK, false},
		{"the store is out of reach", func(_ *Leader, o *FollowerOptions) { o.Stores = aloof{o.Stores.(sqliteStore)} }, http.StatusOK, false},
		{"another store", func(_ *Leader, o *FollowerOptions) {
			s := o.Stores.(sqliteStore)
			s.o.Path += "2"
			o.Stores = s
		}, http.StatusOK, false},
		{"another secret", func(l *Leader, _ *FollowerOptions) { l.Secret = "guess" }, http.StatusOK, false},
		{"no leader", func(l *Leader, _ *FollowerOptions) { l.Address = "" }, http.StatusServiceUnavailable, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			leader, _, url := reading(t, 1, test.change)
			grants := 0
			next := leader.http.Config.Handler
			leader.http.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				next.ServeHTTP(w, r)
				if w.Header().Get(grantHeader) != "" {
					grants++
				}
			})
			resp := read(t, http.DefaultClient, url+"/audit/e0")
			text, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != test.status || strings.Contains(string(text), `"id":"e0"`) != (test.status == http.StatusOK) || resp.Header.Get(grantHeader) != "" {
				t.Errorf("%d %v %.200s", resp.StatusCode, resp.Header, text)
			}
			leader.http.Close() // the exchange has ended
			if (grants == 1) != test.grants {
				t.Errorf("%d grants", grants)
			}
		})
	}
}

// TestTheLeaderIsLostDuringASearch: a follower shows no record whose reading is not on record,
// and an export breaks off if its end cannot be recorded.
func TestTheLeaderIsLostDuringASearch(t *testing.T) {
	t.Run("before the reading is on record", func(t *testing.T) {
		leader, _, url := reading(t, 1, nil)
		next := leader.http.Config.Handler
		leader.http.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get(grantHeader) != "" {
				r.Body = io.NopCloser(strings.NewReader("")) // the leader dies after the grant
			}
			next.ServeHTTP(w, r)
		})
		for _, path := range []string{"/audit", "/audit/e0", "/audit/export?format=csv"} {
			resp := read(t, http.DefaultClient, url+path)
			text, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != http.StatusServiceUnavailable || strings.Contains(string(text), "user-") || resp.Header.Get("Retry-After") == "" {
				t.Errorf("%s: %v %d %.200s", path, err, resp.StatusCode, text)
			}
		}
		if text := leader.control(); strings.Contains(text, tableReading) || strings.Contains(text, tableExport) {
			t.Errorf("on record: %s", text)
		}
	})
	t.Run("the leader cannot record", func(t *testing.T) {
		leader, _, url := reading(t, 1, nil)
		if resp := read(t, http.DefaultClient, url+"/audit/e0"); resp.StatusCode != http.StatusOK {
			t.Fatal(resp.Status)
		}
		if err := leader.rt.Close(); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{"/audit", "/audit/e0", "/audit/export?format=csv"} {
			resp := read(t, http.DefaultClient, url+path)
			text, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(text), "cannot be recorded") || strings.Contains(string(text), "user-") {
				t.Errorf("%s: %v %d %.200s", path, err, resp.StatusCode, text)
			}
		}
	})
	t.Run("during an export", func(t *testing.T) {
		leader, _, url := reading(t, 14, nil)
		resp := read(t, http.DefaultClient, url+"/audit/export?format=ndjson") // more than fits into the buffers of a connection
		if _, err := io.ReadFull(resp.Body, make([]byte, 1000)); err != nil || resp.StatusCode != http.StatusOK {
			t.Fatal(err, resp.Status)
		}
		if text := leader.control(); !strings.Contains(text, tableExport) {
			t.Errorf("it is shown and not on record: %s", text)
		}
		leader.http.CloseClientConnections()
		if text, err := io.ReadAll(resp.Body); err == nil {
			t.Errorf("%d bytes came as if the export were complete", len(text))
		}
		for until := time.Now().Add(20 * time.Second); !strings.Contains(leader.control(), `"outcome":"failed"`); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(until) {
				t.Fatalf("the end is not on record: %s", leader.control())
			}
		}
	})
}

// TestAClientLeavesAnExport: the record of the end says how many records a client that
// disconnected was sent at most.
func TestAClientLeavesAnExport(t *testing.T) {
	leader, _, url := reading(t, 14, nil)
	resp := read(t, &http.Client{Transport: &http.Transport{}}, url+"/audit/export?format=ndjson")
	if _, err := io.ReadFull(resp.Body, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	for until := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if text := leader.control(); regexp.MustCompile(`"records":\d+\},"control":\{"act":"export","outcome":"failed"`).MatchString(text) {
			return
		} else if time.Now().After(until) {
			t.Fatalf("on record: %s", text)
		}
	}
}

// TestOnlyAFollowerGetsAGrant: the value of the header proves that its sender knows the
// fleet's secret, so that a client's header has no effect even if a relay forwards it.
func TestOnlyAFollowerGetsAGrant(t *testing.T) {
	leader, f, _ := reading(t, 1, nil)
	store, _ := f.o.Stores.Serving() // it never fails
	for name, head := range map[string][]string{
		"a client":              {grantHeader, grantFor("s3cr3t", store)},
		"a client's, forwarded": {fleetHeader, "s3cr3t", peerHeader, "198.51.100.7", grantHeader, grantFor("guess", store)},
		"for another database":  {fleetHeader, "s3cr3t", peerHeader, "198.51.100.7", grantHeader, grantFor("s3cr3t", aloof{})},
	} {
		status, answer, header := leader.call("GET", "/audit/e0", "", append(head, "Authorization", "Bearer "+auditorsToken)...)
		if status != http.StatusOK || !strings.Contains(answer, `"id":"e0"`) || header.Get(grantHeader) != "" {
			t.Errorf("%s: %d %v %.200s", name, status, header, answer)
		}
	}
}
