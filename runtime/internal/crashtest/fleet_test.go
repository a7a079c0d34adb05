package crashtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"auditrelay/internal/test/corpus"
	"auditrelay/internal/test/faultproxy"
	"auditrelay/internal/test/pgtest"
	"auditrelay/internal/test/s3test"

	"golang.org/x/mod/sumdb/note"
)

const (
	fleetSize  = 3
	fleetToken = "a-token-of-the-load-balancer"
)

// fleet is three relays behind a load balancer, with their journal on a server with a
// synchronous standby.
type fleet struct {
	servers [2]*pgtest.Server
	proxies [fleetSize][2]*faultproxy.Stream // between each relay and the servers
	primary int
	gateway *s3test.Server
	dir     string
	public  string // file of the key that verifies proofs
	configs [fleetSize]string
	listens [fleetSize]string
	relays  [fleetSize]*relay
	balance *relay                  // the load balancer
	out     [fleetSize]atomic.Int64 // when the balancer uses the relay again, Unix ns
	program string                  // the program of each relay
	env     []string
	used    int           // number of module changes
	age     time.Duration // of a chunk: changed by rolling upgrades
	book    *ledger
	seed    uint64
}

func newFleet(t *testing.T, env ...string) *fleet {
	t.Helper()
	f := &fleet{gateway: s3test.Start(t, "audit"), book: newLedger(t), dir: t.TempDir(), env: env, age: 30 * time.Millisecond}
	path, err := relayProgram()
	if err != nil {
		t.Fatal(err)
	}
	f.program = path
	f.servers[0] = pgtest.StartOn(t, fleetHost(t), fleetServer...)
	f.servers[1] = f.servers[0].Standby(t)
	f.servers[0].Synchronous(t)
	private, public, err := note.GenerateKey(rand.Reader, "fleet.example")
	if err != nil {
		t.Fatal(err)
	}
	f.public = filepath.Join(f.dir, "public.key")
	write(t, f.public, public+"\n")
	write(t, filepath.Join(f.dir, "proof.key"), private+"\n")
	for i := range f.configs {
		f.listens[i] = address(t)
		f.connect(t, i)
		f.configs[i] = filepath.Join(f.dir, fmt.Sprintf("relay%d.yaml", i))
	}
	f.startBalancer(t)
	f.modules(t)
	for i := range f.relays {
		f.configure(t, i)
		f.start(t, i)
	}
	f.balance.await(t, "/readyz")
	return f
}

// connect puts proxies between a relay and the servers.
func (f *fleet) connect(t *testing.T, i int) {
	t.Helper()
	var hosts, ports []string
	for n, s := range f.servers {
		p := faultproxy.StartStream(t, "unix", s.Socket())
		host, port, err := net.SplitHostPort(p.Addr)
		if err != nil {
			t.Fatal(err)
		}
		f.proxies[i][n], hosts, ports = p, append(hosts, host), append(ports, port)
	}
	write(t, f.url(i), fmt.Sprintf("host=%s port=%s user=owner dbname=postgres sslmode=disable target_session_attrs=read-write connect_timeout=2",
		strings.Join(hosts, ","), strings.Join(ports, ",")))
}

// url returns the file of a relay's connection string.
func (f *fleet) url(i int) string { return filepath.Join(f.dir, fmt.Sprintf("journal%d.url", i)) }

func (f *fleet) configure(t *testing.T, i int) {
	t.Helper()
	write(t, f.configs[i], fmt.Sprintf(`
data_dir: %s
tokens: [{name: balancer, token: %s, roles: [admin]}]
proofs: {key: file:%s}
journal:
  postgres:
    url: file:%s
    takeover: 2s
    fleet: {name: relay%d, address: "http://%s"}
filters: {guard: {wasm: %s}}
callbacks:
  - name: guarded
    filters: [guard]
    sink: {s3: {bucket: audit, prefix: guarded, %s}}
    chunk: {age: 30ms, events: 200}
    backoff: {initial: 10ms, max: 100ms}
  - name: archive
    sink: {s3: {bucket: audit, prefix: archive, %s}}
    chunk: {age: %v, events: 200}
    backoff: {initial: 10ms, max: 100ms}
  - name: rotations
    when: {action: [rotated]}
    sink: {s3: {bucket: audit, prefix: rotations, layout: litellm, %s}}
    chunk: {age: 30ms}
    backoff: {initial: 10ms, max: 100ms}
`, filepath.Join(f.dir, fmt.Sprint("data", i)), fleetToken, filepath.Join(f.dir, "proof.key"), f.url(i), i, f.listens[i],
		f.module(0), s3Options(f.gateway), s3Options(f.gateway), f.age, s3Options(f.gateway)))
}

// start starts a relay unless it runs.
func (f *fleet) start(t *testing.T, i int) {
	t.Helper()
	if r := f.relays[i]; r != nil {
		select {
		case <-r.done:
		default:
			return
		}
	}
	f.relays[i] = spawn(t, f.program, f.listens[i], f.configs[i], f.env...)
	f.relays[i].await(t, "/healthz")
}

// startBalancer starts a round-robin load balancer that skips a relay for a second if it does
// not answer.
func (f *fleet) startBalancer(t *testing.T) {
	t.Helper()
	var turn atomic.Uint64
	transport := &http.Transport{MaxIdleConnsPerHost: producers, ResponseHeaderTimeout: 3 * time.Second}
	t.Cleanup(transport.CloseIdleConnections)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i := int(turn.Add(1) % fleetSize)
		for range fleetSize {
			if time.Now().UnixNano() > f.out[i].Load() {
				break
			}
			i = (i + 1) % fleetSize
		}
		proxy := httputil.ReverseProxy{
			Transport: transport,
			Rewrite: func(p *httputil.ProxyRequest) {
				p.SetURL(&url.URL{Scheme: "http", Host: f.listens[i]})
				p.Out.Header.Set("Authorization", "Bearer "+fleetToken)
			},
			ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
				f.out[i].Store(time.Now().Add(time.Second).UnixNano())
				w.WriteHeader(http.StatusBadGateway)
			},
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	f.balance = &relay{url: server.URL, log: new(bytes.Buffer), done: make(chan struct{})}
}

// leader waits until a relay leads, and returns its index.
func (f *fleet) leader(t *testing.T) int {
	t.Helper()
	for until := time.Now().Add(30 * time.Second); time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
		var seen struct{ Leader string }
		if f.get("/v1/fleet", &seen) == nil && seen.Leader != "" {
			return int(seen.Leader[len("relay")] - '0')
		}
	}
	t.Fatalf("no relay leads:\n%s", f.allLogs())
	return 0
}

func (f *fleet) get(path string, into any) error {
	resp, err := http.Get(f.balance.url + path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

// round sends to the fleet while fault causes a fault, and until enough events are accepted
// afterwards. It returns how long nothing was accepted.
func (f *fleet) round(t *testing.T, fault func()) (gap time.Duration) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: producers}, Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	f.seed++
	seed := f.seed
	var mu sync.Mutex
	last := time.Now()
	var wg sync.WaitGroup
	for n := range producers {
		wg.Go(func() {
			g := corpus.New(seed<<16 + uint64(n))
			for ctx.Err() == nil {
				batch := make([][]byte, 1+n%4)
				for i := range batch {
					batch[i] = g.Next().Data
				}
				f.book.send(batch)
				for ctx.Err() == nil { // retry like a sender, until it is acknowledged
					ids, err := f.balance.post(ctx, client, batch)
					if err != nil {
						time.Sleep(20 * time.Millisecond) // the fleet is unavailable
						continue
					}
					if err := f.book.acknowledge(ids); err != nil {
						t.Errorf("log acknowledgements: %v", err)
						return
					}
					mu.Lock()
					gap = max(gap, time.Since(last))
					last = time.Now()
					mu.Unlock()
					break
				}
			}
		})
	}
	f.more(t, 200)
	fault()
	f.more(t, 200)
	cancel()
	wg.Wait()
	return gap
}

// more waits until n more events are acknowledged.
func (f *fleet) more(t *testing.T, n int) {
	t.Helper()
	for want, until := f.book.count()+n, time.Now().Add(60*time.Second); f.book.count() < want; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("only %d of %d more were accepted:\n%s", f.book.count()-want+n, n, f.allLogs())
		}
	}
}

func (f *fleet) allLogs() string {
	var b strings.Builder
	for i, r := range f.relays {
		if r != nil {
			text := r.log.String()
			fmt.Fprintf(&b, "relay%d:\n%s\n", i, text[max(0, len(text)-3000):])
		}
	}
	return b.String()
}

// failover stops the primary immediately and promotes the standby. Then there is a new standby.
func (f *fleet) failover(t *testing.T) {
	t.Helper()
	old, next := f.servers[f.primary], f.servers[1-f.primary]
	old.Stop(t, "immediate")
	next.Promote(t)
	f.primary = 1 - f.primary
	f.more(t, 100)
	old.Follow(t, next)
	next.Synchronous(t)
}

// stopped suspends the leader until another relay leads, and then resumes it.
func (f *fleet) stopped(t *testing.T) {
	t.Helper()
	i := f.leader(t)
	f.relays[i].cmd.Process.Signal(syscall.SIGSTOP)
	f.more(t, 100)
	f.relays[i].cmd.Process.Signal(syscall.SIGCONT)
	select {
	case <-f.relays[i].done: // its supervisor would restart it
	case <-time.After(20 * time.Second):
		t.Errorf("the relay that lost the lease goes on:\n%s", f.relays[i].log)
	}
}

// cutOff interrupts the network between the leader and the servers until another relay leads.
func (f *fleet) cutOff(t *testing.T) {
	t.Helper()
	i := f.leader(t)
	for _, p := range f.proxies[i] {
		p.Freeze()
	}
	f.more(t, 100)
	for _, p := range f.proxies[i] {
		p.Thaw()
	}
	select {
	case <-f.relays[i].done:
	case <-time.After(20 * time.Second):
		t.Errorf("the relay that lost the lease goes on:\n%s", f.relays[i].log)
	}
}

// exhausted takes all connections of the primary, breaks those of the relays, and releases its
// own after a while.
func (f *fleet) exhausted(t *testing.T) {
	t.Helper()
	for i := range f.proxies {
		f.proxies[i][f.primary].CloseAll()
	}
	var taken []*pgtest.Conn
	for i := 0; i < 100; i++ {
		c, err := f.servers[f.primary].TryConnect("owner", "postgres")
		if err != nil {
			break
		}
		taken = append(taken, c)
	}
	if len(taken) < 20 {
		t.Errorf("only %d connections were taken", len(taken))
	}
	for i := range f.proxies {
		f.proxies[i][f.primary].CloseAll()
	}
	time.Sleep(time.Second) // no relay can connect
	for _, c := range taken {
		c.Close()
	}
}

// upgrade gives every relay another configuration, one after the other.
func (f *fleet) upgrade(t *testing.T) {
	t.Helper()
	f.age += time.Millisecond
	for i := range f.relays {
		f.configure(t, i)
		f.relays[i].cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-f.relays[i].done:
		case <-time.After(30 * time.Second):
			t.Fatalf("relay%d does not stop:\n%s", i, f.allLogs())
		}
		f.start(t, i)
		f.more(t, 50)
	}
	for until := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		var seen struct {
			Agree  bool
			Leader string
		}
		if f.get("/v1/fleet", &seen) == nil && seen.Agree && seen.Leader != "" {
			return
		}
		if time.Now().After(until) {
			t.Fatalf("the fleet does not agree: %+v\n%s", seen, f.allLogs())
		}
	}
}

// check settles everything, and compares the arrived events with the acknowledged ones.
func (f *fleet) check(t *testing.T) (lost, doubled int) {
	t.Helper()
	f.leader(t)
	f.balance.await(t, "/readyz")
	f.balance.settle(t, 2*time.Minute)
	for _, r := range f.relays {
		r.kill()
	}
	return f.differ(t)
}

// differ compares the arrived events with the acknowledged ones.
func (f *fleet) differ(t *testing.T) (lost, doubled int) {
	t.Helper()
	for callback, receives := range map[string]func(string) bool{
		"archive":   func(string) bool { return true },
		"guarded":   func(string) bool { return true },
		"rotations": func(action string) bool { return action == "rotated" },
	} {
		l, d := f.book.differ(t, callback, objects(t, filepath.Join(f.gateway.Root, "audit", callback)), receives)
		lost, doubled = lost+l, doubled+d
	}
	return lost, doubled
}

// TestFleet repeatedly causes every fault with three relays, their server and its standby.
func TestFleet(t *testing.T) {
	type fault struct {
		name string
		run  func(t *testing.T, f *fleet)
	}
	faults := []fault{
		{"kill -9 of the leader", func(t *testing.T, f *fleet) { f.relays[f.leader(t)].kill() }},
		{"a leader that is stopped past its lease", func(t *testing.T, f *fleet) { f.stopped(t) }},
		{"the primary is lost, its standby promoted", func(t *testing.T, f *fleet) { f.failover(t) }},
		{"a leader that is cut off from the servers", func(t *testing.T, f *fleet) { f.cutOff(t) }},
		{"a rolling upgrade", func(t *testing.T, f *fleet) { f.upgrade(t) }},
		{"kill -9 of all", func(t *testing.T, f *fleet) {
			for i := range f.relays {
				f.relays[i].kill()
			}
			for i := range f.relays {
				f.start(t, i)
			}
		}},
		{"lost answers to COMMIT", func(t *testing.T, f *fleet) {
			p := f.proxies[f.leader(t)][f.primary]
			made := p.Made()
			p.Script("updated_values", faultproxy.CutAnswer, faultproxy.CutHalf, faultproxy.CutAnswer, faultproxy.CutRequest)
			f.more(t, 100)
			if p.Made() == made {
				t.Error("no answer was lost")
			}
			p.Script("")
		}},
		{"all connections are taken", func(t *testing.T, f *fleet) { f.exhausted(t) }},
		{"kill -9 of the leader and loss of the primary", func(t *testing.T, f *fleet) {
			f.relays[f.leader(t)].kill()
			f.failover(t)
		}},
		{"another module is used, and the leader killed", func(t *testing.T, f *fleet) { f.another(t) }},
		{"the standby is slow", func(t *testing.T, f *fleet) { f.slow(t) }},
		{"the primary's disk is full", func(t *testing.T, f *fleet) { f.full(t) }},
		{"the primary's clock is set, and the leader killed", func(t *testing.T, f *fleet) { f.clock(t) }},
	}
	n := (rounds(t, 40) + 9) / 10                                 // each takes as long as ten of the others: 200 in the soak
	if only := os.Getenv("AUDITRELAY_FLEET_FAULTS"); only != "" { // select some by a part of their names
		faults = slices.DeleteFunc(faults, func(fault fault) bool {
			return !slices.ContainsFunc(strings.Split(only, ","), func(part string) bool { return strings.Contains(fault.name, part) })
		})
	}
	f := newFleet(t)
	for round := range n {
		fault := faults[round%len(faults)]
		for i := range f.relays {
			f.start(t, i)
		}
		before, began := f.book.count(), time.Now()
		gap := f.round(t, func() { fault.run(t, f) })
		if gap > 10*time.Second {
			t.Errorf("nothing was accepted for %v:\n%s", gap, f.allLogs())
		}
		t.Logf("%s: %d acknowledged in %v, nothing for %v", fault.name, f.book.count()-before, time.Since(began).Round(time.Millisecond), gap.Round(time.Millisecond))
	}
	for i := range f.relays {
		f.start(t, i)
	}
	lost, doubled := f.check(t)
	if lost > 0 || doubled > 0 {
		t.Errorf("of %d acknowledged events %d are lost and %d doubled", f.book.count(), lost, doubled)
	}
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(path, "verify", "journal", "--config", f.configs[0], "--key", f.public).CombinedOutput(); err != nil {
		t.Errorf("the journal does not verify: %v\n%s", err, out)
	}
}

// TestFleetWithoutFenceReports: without the check of the fencing token, TestFleet would fail.
// The primary key of frames must be removed too: it alone ends a relay without a lease at its
// next events.
func TestFleetWithoutFenceReports(t *testing.T) {
	if rounds(t, 1); os.Getenv("AUDITRELAY_SOAK") == "" {
		t.Skip("takes half a minute; run with AUDITRELAY_SOAK=1")
	}
	f := newFleet(t, "AUDITRELAY_UNSAFE_NO_FENCE=1")
	f.servers[0].Connect(t, "owner", "postgres").Exec("ALTER TABLE auditrelay.frames DROP CONSTRAINT frames_pkey")
	f.round(t, func() {
		i := f.leader(t)
		f.relays[i].cmd.Process.Signal(syscall.SIGSTOP)
		f.more(t, 300)
		f.relays[i].cmd.Process.Signal(syscall.SIGCONT)
		f.more(t, 300)
	})
	f.env = nil
	for i := range f.relays {
		f.relays[i].kill()
	}
	for i := range f.relays {
		f.relays[i] = spawn(t, f.program, f.listens[i], f.configs[i])
	}
	for until := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if f.get("/v1/stats", new(struct{})) == nil {
			break
		}
		if time.Now().After(until) {
			lost, doubled := f.differ(t)
			t.Logf("without the fence the journal is refused as damaged; %d of %d lost, %d doubled:\n%s", lost, f.book.count(), doubled, f.allLogs())
			return
		}
	}
	lost, doubled := f.check(t)
	t.Logf("without the fence: %d lost, %d doubled of %d", lost, doubled, f.book.count())
	if lost+doubled == 0 {
		t.Error("nothing is reported: nothing is tested")
	}
}
