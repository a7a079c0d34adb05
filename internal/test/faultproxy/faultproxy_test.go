package faultproxy_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"auditrelay/internal/test/faultproxy"
)

func TestFaults(t *testing.T) {
	body := strings.Repeat("x", 200)
	for _, tc := range []struct {
		fault   faultproxy.Fault
		status  int // 0: no answer
		reached int // number of whole bodies that the server received
		answer  string
	}{
		{faultproxy.Pass, 200, 1, "host is kept"},
		{faultproxy.Answer(418, "short"), 418, 0, "short"},
		{faultproxy.SlowDown, 503, 0, "<Code>SlowDown</Code>"},
		{faultproxy.Echo(500), 500, 0, body},
		{faultproxy.LoseAnswer, 0, 1, ""},
		{faultproxy.HangAfter, 0, 1, ""},
		{faultproxy.Hang, 0, 0, ""},
		{faultproxy.Reset, 0, 0, ""},
		{faultproxy.Torn(100), 0, 0, ""},
		{faultproxy.SlowBody(time.Millisecond), 200, 1, "host is kept"},
	} {
		t.Run(tc.fault.String(), func(t *testing.T) {
			t.Parallel()
			var reached atomic.Int64
			hosts := make(chan string, 1)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				got, err := io.ReadAll(r.Body)
				if err == nil && string(got) == body {
					reached.Add(1)
				}
				hosts <- r.Host
				io.WriteString(w, "host is kept")
			}))
			t.Cleanup(server.Close)
			proxy := faultproxy.Start(t, server.URL)
			proxy.Script(tc.fault)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			status, answer := put(ctx, t, proxy.URL, body)
			if status != tc.status || !strings.Contains(answer, tc.answer) || int(reached.Load()) != tc.reached {
				t.Errorf("status %d, %d bodies reached the server, answer %q", status, reached.Load(), answer)
			}
			if tc.status == 200 {
				if host := <-hosts; "http://"+host != proxy.URL {
					t.Errorf("the server saw the host %s: signatures would break", host)
				}
			}
			if seen := proxy.Requests(); len(seen) != 1 || seen[0].Fault != tc.fault.String() || seen[0].Method != http.MethodPut {
				t.Errorf("the proxy saw %+v", seen)
			}
		})
	}
}

func TestScriptThenAlways(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(server.Close)
	proxy := faultproxy.Start(t, server.URL)
	proxy.Always(faultproxy.AccessDenied)
	proxy.Script(faultproxy.InternalError, faultproxy.Pass)
	for i, want := range []int{500, 200, 403, 403} {
		if status, _ := put(t.Context(), t, proxy.URL, ""); status != want {
			t.Errorf("request %d: %d, want %d", i, status, want)
		}
	}
	proxy.Always(faultproxy.Pass)
	if status, _ := put(t.Context(), t, proxy.URL, ""); status != 200 {
		t.Errorf("healed: %d", status)
	}
}

func put(ctx context.Context, t *testing.T, url, body string) (status int, answer string) {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, url+"/a%2Fb", bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	got, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, ""
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	if err != nil {
		return 0, ""
	}
	return got.StatusCode, string(text)
}
