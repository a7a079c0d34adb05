package crashtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"auditrelay/internal/test/corpus"
	"auditrelay/internal/test/faultproxy"
	"auditrelay/internal/test/pgtest"
	"auditrelay/internal/test/s3test"
)

// safely are settings that other tests turn off.
var safely = []string{"fsync = on", "wal_sync_method = fdatasync", "max_connections = 60", "wal_keep_size = 256MB"}

// onPostgres is a relay with its journal on a server, and a second machine beside it.
type onPostgres struct {
	server   *pgtest.Server
	proxy    *faultproxy.Stream // between relay and server
	gateway  *s3test.Server
	configs  [2]string
	listens  [2]string
	env      []string
	book     *ledger
	auditor  *auditor
	seed     uint64
	duration time.Duration // of a round's load
}

func newOnPostgres(t *testing.T, settings ...string) *onPostgres {
	t.Helper()
	p := &onPostgres{server: pgtest.Start(t, append(safely, settings...)...), gateway: s3test.Start(t, "audit"), book: newLedger(t), duration: 700 * time.Millisecond}
	p.proxy = faultproxy.StartStream(t, "unix", p.server.Socket())
	host, port, err := net.SplitHostPort(p.proxy.Addr)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(dir, "proof.key")
	if out, err := exec.Command(path, "proof", "keygen", "--out", key).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for i := range p.configs {
		p.listens[i] = address(t)
		p.configs[i] = filepath.Join(dir, fmt.Sprintf("machine%d.yaml", i))
		write(t, p.configs[i], fmt.Sprintf(`
data_dir: %s
journal: {postgres: {url: "host=%s port=%s user=owner dbname=postgres sslmode=disable", takeover: 1s}}
proofs: {every: 1s, key: "file:%s"}
callbacks:
  - name: archive
    sink: {s3: {bucket: audit, prefix: archive, %s}}
    chunk: {age: 30ms, events: 200}
    backoff: {initial: 10ms, max: 100ms}
  - name: rotations
    when: {action: [rotated]}
    sink: {s3: {bucket: audit, prefix: rotations, layout: litellm, %s}}
    chunk: {age: 30ms}
    backoff: {initial: 10ms, max: 100ms}
`, filepath.Join(dir, fmt.Sprint("data", i)), host, port, key, s3Options(p.gateway), s3Options(p.gateway)))
	}
	bucket := filepath.Join(p.gateway.Root, "audit")
	p.auditor = &auditor{key: key, config: p.configs[0], places: []string{filepath.Join(bucket, "archive"), filepath.Join(bucket, "rotations"), "journal"}, pins: t.TempDir()}
	return p
}

func (p *onPostgres) start(t *testing.T, machine int) *relay {
	t.Helper()
	return startRelay(t, p.listens[machine], p.configs[machine], p.env...)
}

// load sends to a relay until fault, which it calls after a while, has returned. If the relay
// must continue, load waits until enough is acknowledged after that.
func (p *onPostgres) load(t *testing.T, r *relay, goesOn bool, fault func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: producers}, Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	p.seed++
	seed := p.seed
	var wg sync.WaitGroup
	for n := range producers {
		wg.Go(func() {
			g := corpus.New(seed<<16 + uint64(n))
			for ctx.Err() == nil {
				batch := make([][]byte, 1+n%4)
				for i := range batch {
					batch[i] = g.Next().Data
				}
				p.book.send(batch)
				ids, err := r.post(ctx, client, batch)
				if err != nil {
					time.Sleep(20 * time.Millisecond) // the relay or its server is unavailable
					continue
				}
				if err := p.book.acknowledge(ids); err != nil {
					t.Errorf("log acknowledgements: %v", err)
					return
				}
			}
		})
	}
	time.Sleep(time.Duration(float64(p.duration) * (0.5 + rand.Float64()))) // the moment of the fault
	fault()
	before := p.book.count()
	for until := time.Now().Add(30 * time.Second); goesOn && p.book.count() < before+100; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(until) {
			t.Errorf("only %d were accepted after the fault:\n%s", p.book.count()-before, r.log)
			break
		}
	}
	cancel()
	wg.Wait()
}

// check settles everything, compares the arrived events with the acknowledged ones, and
// verifies the journal and the bucket.
func (p *onPostgres) check(t *testing.T) (lost int, verified error) {
	t.Helper()
	r := p.start(t, 0)
	r.settle(t, 2*time.Minute)
	verified = p.auditor.whole(t, r)
	lost = p.book.compare(t, "archive", objects(t, filepath.Join(p.gateway.Root, "audit", "archive")), func(string) bool { return true })
	lost += p.book.compare(t, "rotations", objects(t, filepath.Join(p.gateway.Root, "audit", "rotations")),
		func(action string) bool { return action == "rotated" })
	return lost, verified
}

// TestPostgres repeatedly stops the relay and its server in every way.
func TestPostgres(t *testing.T) { lives(t, rounds(t, 5), downOnPostgres) }

func downOnPostgres(t *testing.T, n int) {
	p := newOnPostgres(t)
	faults := []struct {
		name string
		run  func()
	}{
		{"kill -9 of the relay", func() {
			r := p.start(t, 0)
			p.load(t, r, false, r.kill)
		}},
		{"immediate stop of the server", func() {
			r := p.start(t, 0)
			p.load(t, r, true, func() {
				p.server.Stop(t, "immediate")
				p.server.Restart(t)
			})
			r.kill()
		}},
		{"both", func() {
			r := p.start(t, 0)
			p.load(t, r, false, func() {
				p.server.Stop(t, "immediate")
				r.kill()
				p.server.Restart(t)
			})
		}},
		{"lost requests and answers", func() {
			r := p.start(t, 0)
			made := p.proxy.Made()
			p.load(t, r, true, func() {
				p.proxy.Script("updated_values", faultproxy.CutAnswer, faultproxy.CutHalf, faultproxy.CutAnswer, faultproxy.CutRequest)
			})
			if p.proxy.Made()-made < 2 {
				t.Error("no answer was lost")
			}
			p.proxy.Script("")
			r.kill()
		}},
		{"stopped until another relay took over", func() { p.stopped(t) }},
	}
	for round := range n {
		f := faults[round%len(faults)]
		before, began := p.book.count(), time.Now()
		f.run()
		if err := p.auditor.left(t); err != nil {
			t.Errorf("%s: %v", f.name, err)
		}
		t.Logf("%s: %d acknowledged, %v", f.name, p.book.count()-before, time.Since(began))
	}
	if lost, err := p.check(t); lost > 0 || err != nil {
		t.Errorf("%d acknowledged events are lost, %v", lost, err)
	}
}

// stopped suspends a relay under load until another one has taken over the journal. Then it
// resumes the relay, which must end by itself.
func (p *onPostgres) stopped(t *testing.T) {
	t.Helper()
	first := p.start(t, 0)
	var second *relay
	p.load(t, first, false, func() {
		first.cmd.Process.Signal(syscall.SIGSTOP)
		second = p.start(t, 1)
		p.load(t, second, true, func() { first.cmd.Process.Signal(syscall.SIGCONT) })
	})
	select {
	case <-first.done:
	case <-time.After(20 * time.Second):
		t.Errorf("the relay that lost the journal goes on:\n%s", first.log)
	}
	second.kill()
	first.kill()
}

// TestPostgresWithoutSyncReportsLoss: on a server that loses acknowledged data, TestPostgres
// would fail. Package pgstore shows the same without the fence. Such a server would still write
// soon; here it is prevented.
func TestPostgresWithoutSyncReportsLoss(t *testing.T) {
	rounds(t, 1)
	p := newOnPostgres(t, "wal_buffers = 64MB")
	p.env = []string{"AUDITRELAY_UNSAFE_NO_SYNC=1"}
	r := p.start(t, 0)
	if !p.server.Signal(t, pgtest.Writer, syscall.SIGSTOP) {
		t.Fatal("the server has nobody who writes its log")
	}
	p.load(t, r, false, func() {
		p.server.Stop(t, "immediate")
		r.kill()
		p.server.Restart(t)
	})
	p.env, p.configs[0] = nil, p.configs[1] // a machine whose anchor does not refuse the remaining data
	lost, _ := p.check(t)
	if lost == 0 {
		t.Error("no loss is reported: nothing is tested")
	}
	t.Logf("%d of %d acknowledged events are lost", lost, p.book.count())
}
