package http

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"auditrelay/cli/internal/api"
	"auditrelay/config"
)

// A principal that uses its whole share leaves room for the next, and that one for the one
// after it. A principal at its share waits without delaying others.
func TestMemoryIsShared(t *testing.T) {
	b := newBudget(64)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	takeAll := func(who string) (n int) {
		for {
			if _, err := b.acquire(gone, who, 1); err != nil {
				return n
			}
			n++
		}
	}
	if a, second, third := takeAll("a"), takeAll("b"), takeAll("c"); a != 48 || second != 12 || third < 2 {
		t.Errorf("three greedy ones have %d, %d, %d of 64", a, second, third)
	}
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(64)
		release, err := b.acquire(t.Context(), "a", 100) // its whole share
		if err != nil || b.inUse() != 48 {
			t.Fatal(err, b.inUse())
		}
		waits := make(chan struct{})
		go func() {
			more, err := b.acquire(t.Context(), "a", 8)
			if err != nil {
				t.Error(err)
			} else {
				more()
			}
			close(waits)
		}()
		synctest.Wait()
		other, err := b.acquire(gone, "b", 8)
		if err != nil {
			t.Errorf("the second waits behind the first: %v", err)
		} else {
			other()
		}
		release()
		<-waits
		if b.inUse() != 0 || len(b.held) != 0 {
			t.Errorf("%d in use, by %v", b.inUse(), b.held)
		}
	})
}

// starve opens everything that one client may: a slow atomic request, one at 80 KiB a second,
// and 45 that announce a body without sending it. Nobody else waits.
func TestOneClientStarvesNobody(t *testing.T) {
	const greedy, second = "the-greedy-token-0123", "the-second-token-0123"
	r := newRelay(t, Options{Config: tokens([]config.Token{
		{Name: "greedy", Token: greedy, Roles: []config.Role{"ingest"}}, {Name: "second", Token: second, Roles: []config.Role{"ingest"}},
	})})
	p := defaultPatience()
	p.busy = time.Minute // a waiting request fails the test by its own deadline
	address := r.listen(p)
	open := func(head, body string) net.Conn {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		fmt.Fprintf(c, "POST /v1/events%s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n\r\n%s", head, greedy, body)
		return c
	}
	send := func(token, id string, events int) time.Duration {
		t.Helper()
		var lines []string
		for i := range events {
			lines = append(lines, strings.Replace(event(fmt.Sprintf("%s-%d", id, i)), `"o"`, `"`+strings.Repeat("x", 400)+`"`, 1))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		q, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/v1/events", strings.NewReader(strings.Join(lines, "\n")))
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("Authorization", "Bearer "+token)
		q.Header.Set("Content-Type", "application/x-ndjson")
		start := time.Now()
		resp, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Errorf("%s: %v", id, err)
			return 0
		}
		defer resp.Body.Close()
		if answer, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %d %.200s", id, resp.StatusCode, answer)
		}
		return time.Since(start)
	}
	chunked := "?atomic=true HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked"
	open(chunked, "2\r\n[ \r\n")
	open(chunked, "2\r\n[ \r\n")
	paced := open(chunked, "1\r\n[\r\n")
	for range 20 { // the amount sent in 20 s at 80 KiB/s
		fmt.Fprintf(paced, "14000\r\n%s\r\n", strings.Repeat(" ", 0x14000))
	}
	for range 45 {
		open(" HTTP/1.1\r\nHost: a\r\nContent-Length: 76000", "[")
	}
	for range 6 { // large ones that stop half way
		open(" HTTP/1.1\r\nHost: a\r\nContent-Length: 900000", "["+strings.Repeat(" ", 300<<10))
	}
	for _, who := range []struct{ name, token string }{{"another", second}, {"the same", greedy}} {
		if took := max(send(who.token, who.name+" small", 1), send(who.token, who.name+" large", 700)); took > 10*time.Second {
			t.Errorf("%s client waited %v", who.name, took)
		}
	}
}

// A body uses memory for its received part, and releases all of it.
func TestMemoryGrowsWithTheBody(t *testing.T) {
	r := newRelay(t, Options{})
	h := &holding{server: r.srv, ctx: t.Context(), who: "a", full: 17 << 20, atomic: true, event: 1 << 20}
	last := int64(0)
	for come := int64(0); come <= 16<<20; come += 32 << 10 {
		want := h.want(come)
		if want < last || want < min(come, h.full) {
			t.Fatalf("%d bytes came, and it wants %d after %d", come, want, last)
		}
		last = want
		if err := h.grow(want); err != nil {
			t.Fatal(err)
		}
	}
	if used := r.srv.large.inUse() + r.srv.small.inUse(); used != 17<<20 {
		t.Errorf("%d are held of what %d bytes take", used, h.full)
	}
	// Another large atomic request of the same client waits its turn; another client's does
	// not.
	r.srv.patience.busy = 10 * time.Millisecond
	same := &holding{server: r.srv, ctx: t.Context(), who: "a", full: 17 << 20, atomic: true, event: 1 << 20}
	if err := same.grow(3 << 20); !errors.Is(err, errBusy) {
		t.Errorf("a second large one of the same client: %v", err)
	}
	same.release()
	other := &holding{server: r.srv, ctx: t.Context(), who: "b", full: 17 << 20, atomic: true, event: 1 << 20}
	if err := other.grow(3 << 20); err != nil {
		t.Errorf("another client's: %v", err)
	}
	other.release()
	h.release()
	if used := r.srv.large.inUse() + r.srv.small.inUse(); used != 0 {
		t.Errorf("%d bytes were never given back", used)
	}
}

// Invalid credentials get slow answers, then none. A valid one from the same address is
// answered normally.
func TestBadCredentialsAreSlowedDown(t *testing.T) {
	const good = "a-good-token-01234567"
	r := newRelay(t, Options{Config: tokens([]config.Token{{Name: "good", Token: good, Roles: []config.Role{"view"}}})})
	r.srv.failures.delay = time.Hour
	status := func(token string) int {
		t.Helper()
		status, _, head := r.call("GET", "/v1/version", "", "Authorization", "Bearer "+token)
		if status == http.StatusTooManyRequests && head.Get("Retry-After") == "" {
			t.Error("429 without Retry-After")
		}
		return status
	}
	for range freeFailures {
		if got := status("a-bad-token-012345678"); got != http.StatusUnauthorized {
			t.Fatal(got)
		}
	}
	for range waitingFailure {
		conn, err := net.Dial("tcp", strings.TrimPrefix(r.http.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "GET /v1/version HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer a-bad-token-012345678\r\n\r\n")
		_ = conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		if _, err := bufio.NewReader(conn).ReadByte(); !isTimeout(err) {
			// The bucket gains one per second.
			continue
		}
	}
	var got []int
	for range 30 {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		q, _ := http.NewRequestWithContext(ctx, http.MethodGet, r.http.URL+"/v1/version", nil)
		q.Header.Set("Authorization", "Bearer a-bad-token-012345678")
		if resp, err := http.DefaultClient.Do(q); err == nil {
			got = append(got, resp.StatusCode)
			resp.Body.Close()
		}
		cancel()
	}
	if !slices.Contains(got, http.StatusTooManyRequests) {
		t.Errorf("answers to the flood: %v", got)
	}
	if got := status(good); got != http.StatusOK {
		t.Errorf("a good credential from there: %d", got)
	}
}

// A token's rate: above it, 429 with the time to retry. Another token is unaffected.
func TestRates(t *testing.T) {
	const limited, free = "a-limited-token-01234", "an-unlimited-token-01"
	r := newRelay(t, Options{Config: tokens([]config.Token{
		{Name: "limited", Token: limited, Roles: []config.Role{"ingest"}, Rate: config.Rate{Events: 10}},
		{Name: "few", Token: "a-token-of-few-012345", Roles: []config.Role{"view"}, Rate: config.Rate{Requests: 1}},
		{Name: "free", Token: free, Roles: []config.Role{"ingest"}},
	})})
	send := func(token string, from, n int) (int, string, http.Header) {
		t.Helper()
		var lines []string
		for i := range n {
			lines = append(lines, event(fmt.Sprint("e", from+i)))
		}
		return r.call("POST", "/v1/events", strings.Join(lines, "\n"), "Authorization", "Bearer "+token)
	}
	if status, answer, _ := send(limited, 0, 1000); status != http.StatusOK {
		t.Fatal(status, answer)
	}
	if status, answer, head := send(limited, 2000, 1); status != http.StatusTooManyRequests || !strings.Contains(answer, api.ReasonRate) || head.Get("Retry-After") != "99" && head.Get("Retry-After") != "100" {
		t.Errorf("%d %s, Retry-After %s", status, answer, head.Get("Retry-After"))
	}
	if status, answer, _ := send(free, 3000, 1000); status != http.StatusOK {
		t.Error(status, answer)
	}
	statuses := []int{}
	for range 5 {
		status, _, _ := r.call("GET", "/v1/version", "", "Authorization", "Bearer a-token-of-few-012345")
		statuses = append(statuses, status)
	}
	if statuses[0] != http.StatusOK || !slices.Contains(statuses, http.StatusTooManyRequests) {
		t.Errorf("five requests at one a second: %v", statuses)
	}
}

// onAnswer calls f when the answer begins to leave.
type onAnswer struct {
	*httptest.ResponseRecorder
	f func()
}

func (w *onAnswer) Write(b []byte) (int, error) {
	if w.f != nil {
		w.f()
		w.f = nil
	}
	return w.ResponseRecorder.Write(b)
}

// TestARateCountsBeforeTheAnswer: a client with an answer may send again at once, and the
// answered events already count.
func TestARateCountsBeforeTheAnswer(t *testing.T) {
	const limited = "a-limited-token-01234"
	r := newRelay(t, Options{Config: tokens([]config.Token{{Name: "limited", Token: limited, Roles: []config.Role{"ingest"}, Rate: config.Rate{Events: 1}}})})
	request := func(id string) *http.Request {
		req := httptest.NewRequest(http.MethodPost, "/v1/events", strings.NewReader(event(id+"1")+"\n"+event(id+"2")+"\n"+event(id+"3")))
		req.Header.Set("Authorization", "Bearer "+limited)
		return req
	}
	next := httptest.NewRecorder()
	w := &onAnswer{httptest.NewRecorder(), func() { r.srv.Handler().ServeHTTP(next, request("b")) }}
	r.srv.Handler().ServeHTTP(w, request("a"))
	if w.Code != http.StatusOK || next.Code != http.StatusTooManyRequests {
		t.Errorf("the first: %d, the next: %d", w.Code, next.Code)
	}
}
