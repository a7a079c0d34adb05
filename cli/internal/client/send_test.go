package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/cli/internal/api"

	"github.com/google/go-cmp/cmp"
)

// fakeRelay answers as a relay does, or as script says for the first requests.
// What a real one answers is tested where it is; here it is failures that no
// healthy one gives.
type fakeRelay struct {
	mu       sync.Mutex
	script   []func(w http.ResponseWriter, lines []string) bool // true: answered
	stored   []string
	requests int
	most     int // lines in one request
}

func (f *fakeRelay) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	lines := strings.Split(strings.TrimSuffix(string(body), "\n"), "\n")
	f.requests++
	f.most = max(f.most, len(lines))
	if len(f.script) > 0 {
		next := f.script[0]
		f.script = f.script[1:]
		if next(w, lines) {
			return
		}
	}
	var answer api.Submitted
	for i, line := range lines {
		if strings.Contains(line, "bad") {
			answer.Results = append(answer.Results, api.Result{Index: i, Error: &api.Error{Reason: "missing"}})
			continue
		}
		f.stored = append(f.stored, line)
		answer.Results = append(answer.Results, api.Result{Index: i, Sequence: uint64(len(f.stored))})
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func status(code int, head ...string) func(http.ResponseWriter, []string) bool {
	return func(w http.ResponseWriter, _ []string) bool {
		for i := 0; i < len(head); i += 2 {
			w.Header().Set(head[i], head[i+1])
		}
		w.WriteHeader(code)
		return true
	}
}

func hangUp(http.ResponseWriter, []string) bool { panic(http.ErrAbortHandler) }

func newSender(t *testing.T, f *fakeRelay) *Sender {
	t.Helper()
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	c, err := New(Options{Server: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	return &Sender{Client: c, Pause: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }}
}

func lines(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "{\"id\":\"e%d\"}\n", i)
	}
	return b.String()
}

func TestSend(t *testing.T) {
	rows := []struct {
		name, file string
		script     []func(http.ResponseWriter, []string) bool
		want       Sent
		stored     string
	}{
		{"empty", "", nil, Sent{}, ""},
		{"lines", lines(3), nil, Sent{Offset: 35, Events: 3, Accepted: 3}, `{"id":"e0"} {"id":"e1"} {"id":"e2"}`},
		{"array over lines", "[\n{\n\"id\": 1},\n{\"id\":2}\n]", nil, Sent{Offset: 22, Events: 2, Accepted: 2}, `{"id":1} {"id":2}`},
		{"a refused one", `{"a":1}` + "\n" + `{"bad":1}` + "\n" + `{"a":2}`, nil, Sent{Offset: 25, Events: 3, Accepted: 2, Refused: 1}, `{"a":1} {"a":2}`},
		{"busy, then broken, then well", lines(1), []func(http.ResponseWriter, []string) bool{status(503, "Retry-After", "7"), hangUp, status(500)},
			Sent{Offset: 11, Events: 1, Accepted: 1}, `{"id":"e0"}`},
		{"too large for one request", lines(4), []func(http.ResponseWriter, []string) bool{status(413)},
			Sent{Offset: 47, Events: 4, Accepted: 4}, `{"id":"e0"} {"id":"e1"} {"id":"e2"} {"id":"e3"}`},
		{"too large by itself", lines(1), []func(http.ResponseWriter, []string) bool{status(413)}, Sent{Offset: 11, Events: 1, Refused: 1}, ""},
		{"answered in part", lines(3), []func(http.ResponseWriter, []string) bool{func(w http.ResponseWriter, _ []string) bool {
			w.WriteHeader(http.StatusMultiStatus)
			_, _ = io.WriteString(w, `{"accepted":1,"results":[{"index":0,"sequence":1}],"error":{"reason":"too_many_events"}}`)
			return true
		}}, Sent{Offset: 35, Events: 3, Accepted: 3}, `{"id":"e1"} {"id":"e2"}`},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			f := &fakeRelay{script: row.script}
			got, err := newSender(t, f).Send(t.Context(), strings.NewReader(row.file), "")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Error(diff)
			}
			if stored := strings.Join(f.stored, " "); stored != row.stored {
				t.Errorf("stored %s, want %s", stored, row.stored)
			}
		})
	}
}

// A large file goes in requests of a bounded size; broken off anywhere, it goes
// on from what Progress said, and nothing is left out.
func TestSendGoesOnWhereItStopped(t *testing.T) {
	const n = 3*batchEvents + 7
	f := &fakeRelay{}
	s := newSender(t, f)
	broken := errors.New("broken off")
	var at Sent
	s.Progress = func(sent Sent) error {
		at = sent
		return broken
	}
	for range 10 {
		_, err := s.Send(t.Context(), strings.NewReader(lines(n)), "")
		if err == nil {
			break
		}
		if !errors.Is(err, broken) {
			t.Fatal(err)
		}
		s.From = at.Offset
	}
	if got := strings.Join(f.stored, "\n") + "\n"; got != lines(n) {
		t.Errorf("%d events are stored, in %d requests", len(f.stored), f.requests)
	}
	if f.most > batchEvents {
		t.Errorf("%d events in one request", f.most)
	}
}

func TestSendGivesUp(t *testing.T) {
	rows := []struct {
		name   string
		answer func(http.ResponseWriter, []string) bool
		tries  int // at least
	}{
		{"denied", status(401), 1},
		{"never well", status(503, "Retry-After", "60"), 5},
	}
	for _, row := range rows {
		f := &fakeRelay{}
		for range 1000 {
			f.script = append(f.script, row.answer)
		}
		_, err := newSender(t, f).Send(t.Context(), strings.NewReader(lines(2)), "")
		if e, ok := errors.AsType[*api.Error](err); !ok || f.requests < row.tries || f.requests > 20 {
			t.Errorf("%s: %v (%v) after %d requests", row.name, err, e, f.requests)
		}
	}
}

func TestTheRelaysRetryAfterIsHonoured(t *testing.T) {
	f := &fakeRelay{script: []func(http.ResponseWriter, []string) bool{status(503, "Retry-After", "7")}}
	s := newSender(t, f)
	var pauses []time.Duration
	s.Pause = func(_ context.Context, d time.Duration) error { pauses = append(pauses, d); return nil }
	if _, err := s.Send(t.Context(), strings.NewReader(lines(1)), ""); err != nil {
		t.Fatal(err)
	}
	if len(pauses) != 1 || pauses[0] < 7*time.Second {
		t.Errorf("paused %v", pauses)
	}
}

func TestNew(t *testing.T) {
	rows := []struct {
		server, token string
		bad           bool
	}{
		{"", "", false},
		{"127.0.0.1:8787", "t", false},
		{"http://localhost:8787/", "t", false},
		{"https://relay.example", "t", false},
		{"http://relay.example", "", false},
		{"http://relay.example", "t", true}, // in the clear
		{"http://user:pass@127.0.0.1", "", true},
		{"ftp://relay.example", "", true},
		{"http://", "", true},
		{"://", "", true},
	}
	for _, row := range rows {
		_, err := New(Options{Server: row.server, Token: auditrelay.Secret(row.token)})
		if (err != nil) != row.bad {
			t.Errorf("%q with token %q: %v", row.server, row.token, err)
		}
		if err != nil && strings.Contains(err.Error(), "pass") && !strings.Contains(err.Error(), "password") {
			t.Errorf("the error holds the password: %v", err)
		}
	}
}

// TestObjectsThatHoldSeveralEvents: of one that a schema unwraps there are several results
// under one index, or one that says that it held none.
func TestObjectsThatHoldSeveralEvents(t *testing.T) {
	f := &fakeRelay{script: []func(http.ResponseWriter, []string) bool{func(w http.ResponseWriter, _ []string) bool {
		fmt.Fprint(w, `{"accepted":3,"results":[{"index":0,"id":"a","sequence":1},{"index":0,"error":{"reason":"missing"}},{"index":0,"error":{"reason":"too_long"}},`+
			`{"index":1,"empty":true},{"index":2,"id":"b","sequence":2},{"index":2,"id":"c","sequence":3,"duplicate":true}]}`)
		return true
	}}}
	s := newSender(t, f)
	var rejects []string
	s.Refused = func(_ int64, event []byte, why *api.Error) error {
		rejects = append(rejects, string(event)+" "+why.Reason)
		return nil
	}
	sent, err := s.Send(t.Context(), strings.NewReader(`{"Records":[1,2,3]}`+"\n"+`{"Records":[]}`+"\n"+`{"Records":[4,5]}`+"\n"), "")
	if err != nil || sent.Events != 5 || sent.Accepted != 2 || sent.Duplicates != 1 || sent.Refused != 2 || f.requests != 1 {
		t.Errorf("%+v, %d requests, %v", sent, f.requests, err)
	}
	if len(rejects) != 1 || rejects[0] != `{"Records":[1,2,3]} missing` {
		t.Errorf("%q", rejects)
	}
}
