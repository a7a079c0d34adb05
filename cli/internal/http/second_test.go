package http

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"auditrelay/config"
)

// TestASecondClientsLatency measures the latency of a second client beside a greedy one,
// alternating with quiet rounds of the same run: the p99 of both, and their ratio. With
// AUDITRELAY_SOAK, waiting requests may not double it. A flood of events uses the processor,
// which is not divided, so it is only measured.
func TestASecondClientsLatency(t *testing.T) {
	const greedy, second = "the-greedy-token-0123", "the-second-token-0123"
	rounds, soak := 2, os.Getenv("AUDITRELAY_SOAK") != ""
	if soak {
		rounds = 20
	}
	r := newRelay(t, Options{Config: tokens([]config.Token{
		{Name: "greedy", Token: greedy, Roles: []config.Role{"ingest"}}, {Name: "second", Token: second, Roles: []config.Role{"ingest"}},
	})})
	address := r.listen(defaultPatience())
	dial := func(text string) net.Conn {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, text); err != nil && text != "" {
			_ = c.Close() // the server has already closed it
		}
		return c
	}
	post := func(line, body string) net.Conn {
		return dial("POST /v1/events" + line + "\r\nAuthorization: Bearer " + greedy + "\r\nContent-Type: application/json\r\n\r\n" + body)
	}
	many := func(n int, open func() net.Conn) func() {
		conns := make([]net.Conn, n)
		for i := range conns {
			conns[i] = open()
		}
		return func() {
			for _, c := range conns {
				_ = c.Close()
			}
		}
	}
	sent := 0
	send := func(client *http.Client, token, body string) {
		q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/v1/events", strings.NewReader(body))
		if err != nil {
			t.Error(err)
			return
		}
		q.Header.Set("Authorization", "Bearer "+token)
		q.Header.Set("Content-Type", "application/x-ndjson")
		resp, err := client.Do(q)
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		if answer, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
			t.Errorf("%d %.200s", resp.StatusCode, answer)
		}
	}
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	measure := func(into *[]time.Duration) {
		for range 50 {
			sent++
			start := time.Now()
			send(client, second, event(fmt.Sprint("second-", sent)))
			*into = append(*into, time.Since(start))
		}
	}
	flooded := 0
	for _, load := range []struct {
		name  string
		waits bool
		start func() (stop func())
	}{
		{"an atomic request", true, func() func() {
			return many(1, func() net.Conn {
				return post("?atomic=true HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked", "2\r\n[ \r\n")
			})
		}},
		{"45 slow requests", true, func() func() {
			return many(45, func() net.Conn { return post(" HTTP/1.1\r\nHost: a\r\nContent-Length: 76000", "[") })
		}},
		{"1,024 idle connections", true, func() func() { return many(1024, func() net.Conn { return dial("") }) }},
		{"a flood of ids", false, func() func() {
			done := make(chan struct{})
			var wg sync.WaitGroup
			for n := range 2 {
				flooded++
				prefix := fmt.Sprintf("flood-%d-%d", flooded, n)
				wg.Go(func() {
					flood := &http.Client{Transport: &http.Transport{}}
					defer flood.CloseIdleConnections()
					for i := 0; ; i++ {
						select {
						case <-done:
							return
						default:
						}
						var lines []string
						for k := range 100 {
							lines = append(lines, event(fmt.Sprintf("%s-%d-%d", prefix, i, k)))
						}
						send(flood, greedy, strings.Join(lines, "\n"))
					}
				})
			}
			return func() {
				close(done)
				wg.Wait()
			}
		}},
	} {
		var quiet, beside []time.Duration
		for range rounds {
			measure(&quiet)
			stop := load.start()
			measure(&beside)
			stop()
		}
		p99 := func(all []time.Duration) time.Duration {
			slices.Sort(all)
			return all[len(all)*99/100]
		}
		before, now := p99(quiet), p99(beside)
		ratio := float64(now) / float64(before)
		t.Logf("%s: p99 %v beside it, %v without: %.2f times", load.name, now, before, ratio)
		if soak && load.waits && ratio > 2 {
			t.Errorf("%s makes a second client's p99 %.2f times as long", load.name, ratio)
		}
	}
}
