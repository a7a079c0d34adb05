package http

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"auditrelay/runtime"
)

// The rate of Submit through HTTP, in requests of 100 events.
func BenchmarkPostEvents(b *testing.B) {
	const each = 100
	open := func(b *testing.B) *runtime.Runtime {
		rt, err := runtime.Open(b.Context(), runtime.Options{Dir: b.TempDir(), Logger: quiet()})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = rt.Close() })
		return rt
	}
	var n atomic.Uint64
	fill := strings.Repeat("x", 700)
	next := func() (events []string) {
		from := n.Add(each)
		for i := range uint64(each) {
			events = append(events, strings.Replace(event(fmt.Sprint("e", from+i)), `"{}"`, `"`+fill+`"`, 1))
		}
		return events
	}
	b.Run("submit", func(b *testing.B) {
		rt := open(b)
		b.SetParallelism(32)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				var batch []runtime.Submission
				for _, e := range next() {
					batch = append(batch, runtime.Submission{Data: []byte(e)})
				}
				if _, err := rt.Submit(b.Context(), batch...); err != nil {
					b.Error(err)
				}
			}
		})
		b.ReportMetric(float64(b.N*each)/b.Elapsed().Seconds(), "events/s")
	})
	b.Run("http", func(b *testing.B) {
		srv, err := New(Options{Config: tokens(nil), Runtime: open(b), Logger: quiet()})
		if err != nil {
			b.Fatal(err)
		}
		server := httptest.NewServer(srv.Handler())
		defer server.Close()
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 128}}
		b.SetParallelism(32)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				resp, err := client.Post(server.URL+"/v1/events", "application/x-ndjson", strings.NewReader(strings.Join(next(), "\n")))
				if err != nil {
					b.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					b.Error(resp.Status)
				}
			}
		})
		b.ReportMetric(float64(b.N*each)/b.Elapsed().Seconds(), "events/s")
	})
}
