package crashtest

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"auditrelay/internal/test/faultproxy"
	"auditrelay/internal/test/s3test"
)

// faultSeed determines the mixed faults. Change it for another mixture.
const faultSeed = 1

// TestFaults makes a real S3 gateway fail in every known way while producers send. Nothing may
// be lost, doubled or stuck, and the callback beside it may not lag.
func TestFaults(t *testing.T) {
	rounds(t, 1)
	gateway := s3test.Start(t, "audit")
	proxy := faultproxy.Start(t, gateway.Endpoint)
	dir := t.TempDir()
	files := filepath.Join(dir, "files")
	config := filepath.Join(dir, "auditrelay.yaml")
	behind := *gateway
	behind.Endpoint = proxy.URL
	write(t, config, fmt.Sprintf(`
data_dir: %s
callbacks:
  - name: archive
    sink: {s3: {bucket: audit, prefix: archive, %s}}
    chunk: {age: 20ms, events: 100}
    timeout: 1s
    backoff: {initial: 10ms, max: 100ms}
  - name: files
    sink: {file: {path: %s}}
    chunk: {age: 10ms, events: 100}
`, filepath.Join(dir, "data"), s3Options(&behind), filepath.Join(files, "events.ndjson")))
	r := startRelay(t, address(t), config)
	book := newLedger(t)
	producers := startTraffic(t, r, book, 6, 3, 25*time.Millisecond, fromCorpus(faultSeed))

	// faulty waits until the proxy has caused n more faults and the callback beside it has
	// delivered everything acknowledged by then.
	faulty := func(t *testing.T, n int) {
		misbehaved := func() (m int) {
			for _, q := range proxy.Requests() {
				if q.Fault != faultproxy.Pass.String() {
					m++
				}
			}
			return m
		}
		n += misbehaved()
		r.eventually(t, time.Minute, "faults", func() (bool, string) {
			c := r.callback(t, "archive")
			if !c.Account.Balanced {
				t.Errorf("the account does not balance: %+v", c.Account)
			}
			if c.State == "auth_error" {
				r.operate(t, "archive", "resume") // otherwise it waits for about a minute
			}
			m := misbehaved()
			return m >= n, fmt.Sprintf("%d of %d", m, n)
		})
		acked := uint64(book.count())
		start := time.Now()
		r.eventually(t, 3*time.Second, "the other callback's lag staying small", func() (bool, string) {
			c := r.callback(t, "files")
			if !c.Account.Balanced {
				t.Errorf("the account does not balance: %+v", c.Account)
			}
			return c.Account.Delivered >= acked, fmt.Sprintf("%+v, %d acknowledged", c, acked)
		})
		t.Logf("%d acknowledged; files has them %s later; %d pending for S3",
			acked, time.Since(start).Round(time.Millisecond), r.callback(t, "archive").Account.Pending)
	}
	// heals waits until the callback has delivered everything acknowledged so far.
	heals := func(t *testing.T) {
		proxy.Always(faultproxy.Pass)
		if r.callback(t, "archive").State == "auth_error" {
			r.operate(t, "archive", "resume")
		}
		acked := uint64(book.count())
		r.eventually(t, 30*time.Second, "recovery", func() (bool, string) {
			c := r.callback(t, "archive")
			return c.State == "active" && c.Account.Delivered >= acked, fmt.Sprintf("%+v, %d acknowledged", c, acked)
		})
	}

	rows := []struct {
		fault faultproxy.Fault
		times int
		state string // required state meanwhile
	}{
		{faultproxy.InternalError, 10, "degraded"},
		{faultproxy.SlowDown, 5, "degraded"},
		{faultproxy.AccessDenied, 4, "auth_error"},
		{faultproxy.LoseAnswer, 10, "degraded"},
		{faultproxy.HangAfter, 4, "degraded"},
		{faultproxy.Reset, 10, "degraded"},
		{faultproxy.Torn(100), 10, "degraded"},
		{faultproxy.SlowBody(2 * time.Millisecond), 4, ""},
		{faultproxy.SlowBody(200 * time.Millisecond), 4, "degraded"},
	}
	for _, row := range rows {
		t.Run(row.fault.String(), func(t *testing.T) {
			proxy.Always(row.fault)
			if row.state != "" {
				r.eventually(t, 20*time.Second, "state "+row.state, func() (bool, string) {
					state := r.callback(t, "archive").State
					return state == row.state, state
				})
			}
			faulty(t, row.times)
			heals(t)
		})
	}
	t.Run("mixed", func(t *testing.T) {
		random := rand.New(rand.NewPCG(faultSeed, 1))
		script := make([]faultproxy.Fault, 60)
		bad := 0
		for i := range script {
			script[i] = faultproxy.Pass
			if n := random.IntN(len(rows) + 3); n < len(rows) {
				script[i] = rows[n].fault
				bad++
			}
		}
		proxy.Script(script...)
		faulty(t, bad)
		heals(t)
	})

	producers.stop()
	if n := producers.refused.Load(); n > 0 {
		t.Errorf("%d requests were refused: a broken destination is no affair of the producers", n)
	}
	list := r.settle(t, 30*time.Second)
	if i := slices.IndexFunc(list, func(c callbackStatus) bool {
		return c.Account.Delivered != c.Account.Assigned || c.Account.Assigned < uint64(book.count())
	}); i >= 0 {
		t.Errorf("not all was delivered: %+v", list[i])
	}
	all := func(string) bool { return true }
	lost := book.compare(t, "archive", objects(t, filepath.Join(gateway.Root, "audit", "archive")), all)
	lost += book.compare(t, "files", objects(t, files), all)
	if lost > 0 {
		t.Errorf("%d acknowledged events are lost", lost)
	}
}
