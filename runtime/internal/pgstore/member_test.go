package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/internal/test/faultproxy"
	"auditrelay/internal/test/pgtest"
	"auditrelay/runtime/internal/journal"
	"auditrelay/runtime/internal/pgstore"
)

func join(t *testing.T, po pgstore.Options, name, digest string) *pgstore.Member {
	t.Helper()
	m, err := pgstore.Join(po, pgstore.Relay{Name: name, Address: "http://" + name, Version: "test", Digest: digest})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

// lead waits for the lease and opens the journal.
func lead(t *testing.T, po pgstore.Options, m *pgstore.Member) *journal.Journal {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		if err := m.Await(ctx); err != nil {
			t.Fatalf("wait for the lease: %v", err)
		}
		po.Member = m
		j, err := place(po)(journal.Options{})
		if errors.Is(err, journal.ErrLocked) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = j.Close() })
		return j
	}
}

// waits reports whether a member does not get the lease within that time.
func waits(t *testing.T, m *pgstore.Member, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	if err := m.Await(ctx); err == nil {
		t.Error("it got the lease")
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for until := time.Now().Add(15 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

func TestFleet(t *testing.T) {
	server := pgtest.Start(t, safe...)
	po := options(server)
	po.Lock = 2 * time.Second
	a := join(t, po, "a", "1")
	first := lead(t, po, a)
	if _, err := add(first, "of a"); err != nil {
		t.Fatal(err)
	}
	b := join(t, po, "b", "1")
	waits(t, b, 3*time.Second)
	v := b.View()
	if len(v.Relays) != 2 || v.Leader == nil || v.Leader.Name != "a" || v.Leader.Address != "http://a" || v.Err != nil {
		t.Fatalf("the fleet as b sees it: %+v", v)
	}

	// Told to drain, a gives it up for b, which need not wait for the lease's end.
	if n, err := b.Drain(t.Context(), "a", false); n != 1 || err != nil {
		t.Fatalf("drain: %d %v", n, err)
	}
	select {
	case <-a.Yield():
	case <-time.After(10 * time.Second):
		t.Fatal("a does not yield")
	}
	lease := first.Lease()
	if lease.Err() != nil {
		t.Error("a has no lease")
	}
	began := time.Now()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if lease.Err() == nil {
		t.Error("a has its lease after it gave it up")
	}
	a.Retire()
	second := lead(t, po, b)
	if took := time.Since(began); took > 1500*time.Millisecond {
		t.Errorf("b took over after %v", took)
	}
	if _, err := add(second, "of b"); err != nil {
		t.Fatal(err)
	}
	waits(t, a, 300*time.Millisecond)

	// A newer configuration: b gives it up for c.
	c := join(t, po, "c", "2")
	select {
	case <-b.Yield():
	case <-time.After(10 * time.Second):
		t.Fatal("b does not yield to a newer configuration")
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	b.Retire()
	third := lead(t, po, c)
	if next := third.Head().Next; next != 3 {
		t.Errorf("the next sequence is %d", next)
	}
	// It fails there: those with the older one come first again.
	if err := c.Fail(t.Context(), errors.New("no such callback")); err != nil {
		t.Fatal(err)
	}
	_ = third.Close()
	_ = c.Close()
	lead(t, po, b)
	eventually(t, "b leads", func() bool { v := a.View(); return v.Leader != nil && v.Leader.Name == "b" })
	for _, r := range a.View().Relays {
		if r.Name == "c" && (r.Failure != "no such callback" || r.Alive) {
			t.Errorf("c: %+v", r)
		}
	}
}

// TestADeadRelayBehindASteppedClock: a relay that died while the server's clock was ahead
// counts as dead, and is not awaited, when the clock is right again.
func TestADeadRelayBehindASteppedClock(t *testing.T) {
	server := pgtest.Start(t, safe...)
	po := options(server)
	po.Lock = 2 * time.Second
	a := join(t, po, "a", "1")
	lead(t, po, a)
	eventually(t, "a is seen", func() bool { return len(a.View().Relays) == 1 })
	db := server.Connect(t, "owner", "postgres")
	defer db.Close()
	dead := func(name, seen string) {
		db.Exec(fmt.Sprintf(`INSERT INTO %s.relays (instance, name, address, version, digest, since, joined, seen, gone, drained, failure)
			VALUES ('%s', '%[2]s', '', '', '2', now(), now(), now() + interval '%[3]s', false, false, '')`, po.Schema, name, seen))
	}
	dead("long ahead", "1 minute")
	dead("ahead", "7 seconds") // which the clock passes by while it is known
	b := join(t, po, "b", "1") // knows nothing yet
	for until := time.Now().Add(5 * time.Second); time.Now().Before(until); time.Sleep(100 * time.Millisecond) {
		for name, m := range map[string]*pgstore.Member{"a": a, "b": b} {
			for _, r := range m.View().Relays {
				if r.Alive != (r.Digest == "1") {
					t.Fatalf("as %s sees it: %+v", name, r)
				}
			}
		}
	}
	select {
	case <-a.Yield():
		t.Error("a gives the lease up for a relay that is dead")
	default:
	}
}

// TestALeaseThatIsNotRenewed: its holder stops before another relay takes it over, and can
// commit nothing afterwards.
func TestALeaseThatIsNotRenewed(t *testing.T) {
	server := pgtest.Start(t, safe...)
	po := options(server)
	po.Lock = time.Second
	first := lead(t, po, join(t, po, "a", "1"))
	b := join(t, po, "b", "1")
	eventually(t, "b sees a", func() bool { return b.View().Leader != nil })
	// The lease of a stands still: its row is held by somebody else.
	db := server.Connect(t, "owner", "postgres")
	db.Exec("BEGIN; SELECT FROM " + po.Schema + ".lease FOR UPDATE")
	<-first.Lease().Done()
	ended := time.Now()
	awaited := make(chan time.Time, 1)
	go func() {
		_ = b.Await(t.Context())
		awaited <- time.Now()
	}()
	if at := <-awaited; at.Before(ended) {
		t.Error("b had the lease while a had it")
	}
	if first.Lease().Err() == nil {
		t.Error("a has the lease again")
	}
	db.Exec("ROLLBACK")
}

// TestAWaitIsNotBegunAnew: a relay whose sessions break again and again counts on where the
// same server shows the same lease, and begins anew where the server has started anew.
func TestAWaitIsNotBegunAnew(t *testing.T) {
	server := pgtest.Start(t, safe...)
	po := options(server)
	po.Lock = 3 * time.Second
	a := join(t, po, "a", "1")
	_ = lead(t, po, a).Close()
	_ = a.Close()
	await := func(name string, every time.Duration, meanwhile func(p *faultproxy.Stream)) (took time.Duration) {
		t.Helper()
		server.Connect(t, "owner", "postgres").Exec("UPDATE " + po.Schema + ".lease SET released = false, holder = 'gone', beat = beat + 1")
		p := faultproxy.StartStream(t, "unix", server.Socket())
		host, port, err := net.SplitHostPort(p.Addr)
		if err != nil {
			t.Fatal(err)
		}
		through := po
		through.URL = auditrelay.Secret(fmt.Sprintf("host=%s port=%s user=owner dbname=postgres sslmode=disable", host, port))
		began := time.Now()
		m := join(t, through, name, "1")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		awaited := make(chan error, 1)
		go func() { awaited <- m.Await(ctx) }()
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				meanwhile(p)
			case err := <-awaited:
				if err != nil {
					t.Errorf("%s did not get the lease: %v", name, err)
				}
				took = time.Since(began)
				_ = m.Close()
				return took
			}
		}
	}
	if took := await("b", 1500*time.Millisecond, func(p *faultproxy.Stream) { p.CloseAll() }); took < po.Lock {
		t.Errorf("it took the lease after %v", took)
	}
	var restarted time.Time
	await("c", 2*time.Second, func(*faultproxy.Stream) {
		if restarted.IsZero() {
			server.Stop(t, "immediate")
			server.Restart(t)
			restarted = time.Now()
		}
	})
	if after := time.Since(restarted); restarted.IsZero() || after < po.Lock-500*time.Millisecond { // Restart returns a little later
		t.Errorf("it took the lease %v after the server had started anew", after)
	}
}

// TestPassing: why the journal could not be opened, and whether the relay's configuration
// counts as one that cannot lead.
func TestPassing(t *testing.T) {
	server := pgtest.Start(t, safe...)
	open := func(po pgstore.Options) error {
		j, err := place(po)(journal.Options{})
		if err == nil {
			_ = j.Close()
		}
		return err
	}
	first := options(server)
	if err := open(first); err != nil {
		t.Fatal(err)
	}
	gone, proxied := first, faultproxy.StartStream(t, "unix", server.Socket())
	gone.URL = auditrelay.Secret("host=127.0.0.1 port=1 user=owner dbname=postgres sslmode=disable")
	host, port, _ := net.SplitHostPort(proxied.Addr)
	cut := first
	cut.URL = auditrelay.Secret(fmt.Sprintf("host=%s port=%s user=owner dbname=postgres sslmode=disable", host, port))
	proxied.Script("", faultproxy.CutAnswer, faultproxy.CutAnswer, faultproxy.CutAnswer, faultproxy.CutAnswer, faultproxy.CutAnswer, faultproxy.CutAnswer)
	full := first
	full.URL = auditrelay.Secret(server.URL("crowded", "postgres"))
	db := server.Connect(t, "owner", "postgres")
	db.Exec("CREATE ROLE crowded LOGIN CONNECTION LIMIT 0; CREATE ROLE stranger LOGIN")
	stranger := first
	stranger.URL = auditrelay.Secret(server.URL("stranger", "postgres"))
	for _, tt := range []struct {
		name   string
		o      pgstore.Options
		passes bool
	}{
		{"nobody listens", gone, true},
		{"the connection breaks", cut, true},
		{"no connection is left", full, true},
		{"the role may not", stranger, false},
	} {
		tt.o.Wait, tt.o.Attempt = 200*time.Millisecond, 200*time.Millisecond
		err := open(tt.o)
		if err == nil || pgstore.Passing(err) != tt.passes {
			t.Errorf("%s: passes %v: %v", tt.name, pgstore.Passing(err), err)
		}
	}
	db.Exec("UPDATE " + first.Schema + ".journal SET format = 999")
	if err := open(first); err == nil || pgstore.Passing(err) {
		t.Errorf("a newer format: %v", err)
	}
	// What else fails while a relay starts is its configuration's.
	for _, err := range []error{&net.OpError{Op: "listen", Err: errors.New("address already in use")}, context.DeadlineExceeded, io.EOF} {
		if err := fmt.Errorf("open the sources: %w", err); pgstore.Passing(err) {
			t.Errorf("%v passes", err)
		}
	}
}

// TestAFleetThatCannotBeRead: the log says why a relay neither leads nor knows who does, once,
// and that it does again.
func TestAFleetThatCannotBeRead(t *testing.T) {
	server := pgtest.Start(t, safe...)
	po := options(server)
	po.Lock = time.Second
	lead(t, po, join(t, po, "a", "1"))
	db := server.Connect(t, "owner", "postgres")
	db.Exec("CREATE ROLE poor LOGIN")
	var log lockedLog
	po.URL = auditrelay.Secret(server.URL("poor", "postgres"))
	po.Logger = slog.New(slog.NewTextHandler(&log, nil))
	m := join(t, po, "b", "1")
	eventually(t, "the log says why", func() bool { return strings.Contains(log.String(), "permission denied for schema") })
	for range 3 { // it looks again, and does not say it again
		<-m.Changed()
	}
	db.Exec("GRANT ALL ON SCHEMA " + po.Schema + " TO poor; GRANT ALL ON ALL TABLES IN SCHEMA " + po.Schema + " TO poor")
	eventually(t, "it can be read again", func() bool { return strings.Contains(log.String(), "can be read again") })
	if n := strings.Count(log.String(), "level=WARN"); n != 1 {
		t.Errorf("%d warnings:\n%s", n, &log)
	}
}

// lockedLog is a log that is read while it is written.
type lockedLog struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
