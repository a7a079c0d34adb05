package crashtest

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"auditrelay/internal/test/corpus"
	"auditrelay/internal/test/pgtest"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/sys/unix"
)

// BenchmarkFleet measures the rate at which one relay, and a fleet of three, accept events over
// HTTP on a Postgres without a standby, and the processor time of each relay.
//
// Relays, server and senders share this machine. With "shares", each relay gets a tenth of a
// core and the others as much as they need. So the relays' processors are the limit, as with a
// machine for each, until the server is the limit. A relay is stopped whenever it has used its
// share.
//
// AUDITRELAY_PROGRAM is the program to measure, if not this one.
func BenchmarkFleet(b *testing.B) {
	program := os.Getenv("AUDITRELAY_PROGRAM")
	if program == "" {
		var err error
		if program, err = binary(); err != nil {
			b.Fatal(err)
		}
	}
	for _, limit := range []struct {
		name string
		core float64 // each relay's share of a core
	}{{"shares", 0.1}, {"whole", 0}} {
		for _, each := range []int{1, 4, 100} {
			for _, size := range []int{1, 3} {
				b.Run(fmt.Sprintf("%s/events=%d/relays=%d", limit.name, each, size), func(b *testing.B) {
					benchmarkFleet(b, program, size, each, limit.core)
				})
			}
		}
	}
}

func benchmarkFleet(b *testing.B, program string, size, each int, share float64) {
	server := pgtest.Start(b, "fsync = on", "synchronous_commit = on")
	private, _, err := note.GenerateKey(rand.Reader, "fleet.example")
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	write(b, filepath.Join(dir, "proof.key"), private+"\n")
	var relays []*relay
	for i := range size {
		listen, config := address(b), filepath.Join(dir, fmt.Sprint("relay", i, ".yaml"))
		write(b, config, fmt.Sprintf(`
data_dir: %s
tokens: [{name: sender, token: %s, roles: [ingest]}]
proofs: {key: file:%s}
journal: {postgres: {url: %q, takeover: 10s, fleet: {name: relay%d, address: "http://%s"}}}
callbacks: []
`, filepath.Join(dir, fmt.Sprint("data", i)), fleetToken, filepath.Join(dir, "proof.key"), server.URL("owner", "postgres"), i, listen))
		r := spawn(b, program, listen, config)
		relays = append(relays, r)
		r.await(b, "/readyz")
	}
	senders := 96
	transport := &http.Transport{MaxIdleConnsPerHost: senders}
	defer transport.CloseIdleConnections()
	generator := corpus.New(1)
	var data [1000][]byte
	for i := range data {
		data[i] = generator.Next().Data
	}
	var n atomic.Int64
	send := func(most int64) {
		var all sync.WaitGroup
		for sender := range senders {
			all.Go(func() {
				for {
					at := n.Add(int64(each))
					if at > most {
						return
					}
					if err := post(transport, relays[sender%size].url, at, each, data[:]); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		all.Wait()
	}
	send(2000) // warm up
	start := make([]time.Duration, size)
	for i, r := range relays {
		start[i] = used(b, r)
	}
	release := throttle(b, relays, share)
	b.ResetTimer()
	n.Store(1 << 40)
	send(1<<40 + int64(b.N))
	b.StopTimer()
	release()
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	for i, r := range relays {
		b.ReportMetric(float64((used(b, r)-start[i]).Nanoseconds())/1e3/float64(b.N), fmt.Sprintf("relay%d-us/event", i))
	}
}

// post sends events with new ids.
func post(transport http.RoundTripper, url string, at int64, each int, data [][]byte) error {
	var body bytes.Buffer
	for i := range int64(each) {
		event := data[(at+i)%int64(len(data))]
		fmt.Fprintf(&body, `{"id":"%d-%d",`, at, i)
		_, rest, _ := bytes.Cut(event, []byte(`,`)) // the id is the first member
		body.Write(append(rest, '\n'))
	}
	req, err := http.NewRequest(http.MethodPost, url+"/v1/events", &body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+fleetToken)
	req.Header.Set("Content-Type", "application/x-ndjson")
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK {
		err = cmp.Or(err, fmt.Errorf("%s: %.300s", resp.Status, text))
	}
	return err
}

// used returns a relay's processor time.
func used(b *testing.B, r *relay) time.Duration {
	b.Helper()
	const scheduled = 2 // the kernel's CPUCLOCK_SCHED
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^r.cmd.Process.Pid<<3|scheduled), &ts); err != nil {
		b.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

// throttle limits each relay to a share of a core, 0 for no limit, until the returned function
// is called.
func throttle(b *testing.B, relays []*relay, share float64) (release func()) {
	done := make(chan struct{})
	var all sync.WaitGroup
	if share == 0 {
		relays = nil
	}
	for _, r := range relays {
		all.Go(func() {
			began, first := time.Now(), used(b, r)
			stopped := false
			for tick := time.NewTicker(time.Millisecond); ; {
				over := float64(used(b, r)-first) > share*float64(time.Since(began))
				select {
				case <-done:
					over = false
				case <-tick.C:
				}
				if over != stopped {
					stopped = over
					signal := unix.SIGCONT
					if over {
						signal = unix.SIGSTOP
					}
					_ = r.cmd.Process.Signal(signal) // it only fails if the relay has ended, which the senders report
				}
				select {
				case <-done:
					if !stopped {
						tick.Stop()
						return
					}
				default:
				}
			}
		})
	}
	return func() {
		close(done)
		all.Wait()
	}
}
