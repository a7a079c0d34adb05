package runtime

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/runtime/internal/delivery"
	"auditrelay/runtime/internal/journal"
)

// bucket counts the payloads sent to it, and can be down.
type bucket struct {
	down  atomic.Bool
	sent  atomic.Int64
	taken atomic.Int64
}

func (b *bucket) Render(c auditrelay.Chunk) ([]auditrelay.Payload, error) {
	p := auditrelay.Payload{Key: fmt.Sprint(c.From), Body: []byte("x")}
	for _, r := range c.Records {
		p.Sequences = append(p.Sequences, r.Sequence)
	}
	return []auditrelay.Payload{p}, nil
}

func (b *bucket) Deliver(_ context.Context, p auditrelay.Payload) (auditrelay.Receipt, error) {
	b.sent.Add(1)
	if b.down.Load() {
		return auditrelay.Receipt{}, fmt.Errorf("down")
	}
	b.taken.Add(int64(len(p.Sequences)))
	return auditrelay.Receipt{}, nil
}

func begin(t *testing.T, o Options) *Runtime {
	t.Helper()
	o.Logger = slog.New(slog.DiscardHandler)
	r, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// happens polls until ok returns true: there is no signal.
func happens(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for tick := time.NewTicker(time.Millisecond); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("it does not come to that: %s", what)
		}
	}
}

func accept(t *testing.T, r *Runtime, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if _, err := r.Submit(t.Context(), Submission{Data: fmt.Appendf(nil, `{"id":%q,"action":"created"}`, id)}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTrimKeepsWhatCallbacksNeed: retention removes everything that all callbacks have taken,
// and nothing else. A finished replay retains nothing.
func TestTrimKeepsWhatCallbacksNeed(t *testing.T) {
	sink, behind := &bucket{}, &bucket{}
	quick := Callback{Name: "archive", Sink: sink, Chunk: auditrelay.Chunking{Age: time.Millisecond}, Backoff: auditrelay.Backoff{Initial: time.Millisecond, Max: time.Millisecond}}
	slow := quick
	slow.Name, slow.Sink = "slow", behind
	behind.down.Store(true)
	r := begin(t, Options{Callbacks: []Callback{quick, slow}})
	accept(t, r, "a", "b", "c")
	later := time.Now().Add(30 * 24 * time.Hour)
	if err := r.trim(later); err != nil {
		t.Fatal(err)
	}
	if got := r.Stats().Oldest; got != 1 {
		t.Errorf("the oldest event is %d while a callback needs the first", got)
	}
	behind.down.Store(false)
	if err := r.Settled(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Replay(t.Context(), ReplayRequest{Callback: "archive", To: 3}); err != nil {
		t.Fatal(err)
	}
	if err := r.Settled(t.Context()); err != nil {
		t.Fatal(err)
	}
	happens(t, "a replay that is done is dropped", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.pumps) == 2
	})
	accept(t, r, "d")
	if err := r.Settled(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.trim(time.Now().Add(-time.Hour)); err != nil || r.Stats().Oldest != 1 {
		t.Errorf("trimmed what is young: %+v, %v", r.Stats(), err)
	}
	if err := r.trim(later); err != nil {
		t.Fatal(err)
	}
	if s := r.Stats(); s.Oldest != s.Head {
		t.Errorf("left after retention: %+v", s)
	}
	if _, err := r.Explain(t.Context(), "", "a"); err == nil || !strings.Contains(err.Error(), ErrNotSeen.Error()) {
		t.Errorf("explain after a trim: %v", err)
	}
	list, err := r.Callbacks()
	if err != nil || len(list) != 3 {
		t.Fatalf("callbacks: %+v, %v", list, err)
	}
	for _, s := range list {
		if !s.Account.Balanced || s.Account.Pending != 0 {
			t.Errorf("after a trim: %+v", s)
		}
	}
	accept(t, r, "e")
	if err := r.Settled(t.Context()); err != nil || sink.taken.Load() != 8 {
		t.Errorf("%d records, %v", sink.taken.Load(), err)
	}
	if _, err := r.Replay(t.Context(), ReplayRequest{Callback: "archive", From: 1}); err == nil {
		t.Error("a replay of what is forgotten")
	}
}

// TestJournalThatCannotRecord: a payload is not sent repeatedly while its receipt cannot be
// made durable, and Close still ends.
func TestJournalThatCannotRecord(t *testing.T) {
	sink := &bucket{}
	r := begin(t, Options{Callbacks: []Callback{{Name: "archive", Sink: sink, Chunk: auditrelay.Chunking{Age: time.Millisecond}}}})
	sink.down.Store(true)
	accept(t, r, "a")
	happens(t, "something is sent", func() bool { return sink.sent.Load() > 0 })
	// A closed journal refuses every commit, as a failed disk does.
	if err := r.journal.Close(); err != nil {
		t.Fatal(err)
	}
	sink.down.Store(false)
	before := sink.sent.Load()
	<-time.After(300 * time.Millisecond) // nothing signals the absence of an action
	if n := sink.sent.Load() - before; n > 4 {
		t.Errorf("%d deliveries in 300 ms", n)
	}
	closed := make(chan struct{})
	go func() { defer close(closed); _ = r.Close() }()
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Fatal("Close does not end")
	}
}

// TestRestAfterACommitThatFails: the lane continues from the durable state after a pause,
// whatever its backoff.
func TestRestAfterACommitThatFails(t *testing.T) {
	sink := &bucket{}
	sink.down.Store(true)
	r := begin(t, Options{Callbacks: []Callback{{Name: "archive", Sink: sink, Chunk: auditrelay.Chunking{Age: time.Millisecond},
		Backoff: auditrelay.Backoff{Initial: time.Microsecond, Max: time.Microsecond}}}})
	accept(t, r, "a")
	happens(t, "something is sent", func() bool { return sink.sent.Load() > 0 })
	from := time.Now()
	wrong := errors.New("the disk is gone")
	if err := r.set(t.Context(), "archive", func(*delivery.Lane, *journal.Tx, time.Time) error { return wrong }); err != wrong {
		t.Fatalf("set: %v", err)
	}
	before := sink.sent.Load()
	happens(t, "it is sent again", func() bool { return sink.sent.Load() > before })
	if rest := time.Since(from); rest < shortestRest {
		t.Errorf("sent again after %v, want at least %v", rest, shortestRest)
	}
	sink.down.Store(false)
	if err := r.Settled(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s, err := r.Callback("archive"); err != nil || s.Account.Delivered != 1 || !s.Account.Balanced || s.State != StateActive {
		t.Errorf("status: %+v, %v", s, err)
	}
}

// TestRestoredBackupGoesOn: it continues with the events accepted by the original, under its
// own incarnation.
func TestRestoredBackupGoesOn(t *testing.T) {
	base := t.TempDir()
	sink := &bucket{}
	sink.down.Store(true)
	c := Callback{Name: "archive", Sink: sink, Chunk: auditrelay.Chunking{Age: time.Millisecond}, Backoff: auditrelay.Backoff{Initial: time.Millisecond, Max: time.Millisecond}}
	r := begin(t, Options{Dir: filepath.Join(base, "data"), Callbacks: []Callback{c}})
	accept(t, r, "a", "b")
	backup := filepath.Join(base, "backup")
	if err := r.Backup(t.Context(), backup, By{}, nil); err != nil {
		t.Fatal(err)
	}
	accept(t, r, "after")
	if err := Restore(backup, filepath.Join(base, "restored"), By{}, nil); err != nil {
		t.Fatal(err)
	}
	fresh := &bucket{}
	c.Sink = fresh
	again := begin(t, Options{Dir: filepath.Join(base, "restored"), Callbacks: []Callback{c}})
	if err := again.Settled(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, err := again.Callback("archive")
	if err != nil || s.Account.Delivered != 5 || !s.Account.Balanced || fresh.taken.Load() != 5 { // including own records of the backup and the restore
		t.Errorf("restored: %+v, %v", s, err)
	}
	if one, two := r.Stats().Journal, again.Stats().Journal; one == two || strings.Split(one, ".")[0] != strings.Split(two, ".")[0] {
		t.Errorf("identities %s and %s: want one journal in two incarnations", one, two)
	}
	if err := r.Backup(t.Context(), backup, By{}, nil); err == nil {
		t.Error("a backup over another")
	}
}
