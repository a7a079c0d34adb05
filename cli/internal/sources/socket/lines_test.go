package socket

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"auditrelay/cli/internal/sources/intake"
	"auditrelay/runtime"
)

// The packets of a producer, and their result once its connection is closed.
func TestLines(t *testing.T) {
	tooLong := strings.TrimSuffix(long("big", testEventBytes), "\n")
	digest := fmt.Sprintf(`{"bytes":%d,"sha256":"%x"}`, len(tooLong), sha256.Sum256([]byte(tooLong)))
	for _, tt := range []struct {
		name    string
		packets []string
		ids     []string // accepted, in order
		items   []string // in quarantine
	}{
		{"one", []string{line("a")}, []string{"a"}, nil},
		{"several in a packet", []string{line("a") + line("b") + line("c")}, []string{"a", "b", "c"}, nil},
		{"split across packets", []string{line("a")[:5], line("a")[5:20], line("a")[20:] + line("b")[:1], line("b")[1:]}, []string{"a", "b"}, nil},
		{"the line feed alone comes late", []string{strings.TrimSuffix(line("a"), "\n"), "\n"}, []string{"a"}, nil},
		{"carriage returns and empty lines", []string{strings.ReplaceAll(line("a"), "\n", "\r\n") + "\n \r\n" + line("b")}, []string{"a", "b"}, nil},
		{"longer than the buffer", []string{long("a", bufferBytes+10), line("b")}, []string{"a", "b"}, nil},
		{"longer than the buffer, thrice", []string{long("a", 80<<10) + long("b", 90<<10) + long("c", 99<<10)}, []string{"a", "b", "c"}, nil},
		{"half at the end", []string{line("a"), `{"id":"b","act`}, []string{"a"}, []string{`truncated {"id":"b","act`}},
		{"whole but for its line feed", []string{`{"id":"b","action":"x"}`}, nil, []string{`truncated {"id":"b","action":"x"}`}},
		{"no JSON", []string{"good morning\n" + line("a") + "[1]\n"}, []string{"a"}, []string{"not_object good morning", "not_object [1]"}},
		{"no action", []string{`{"id":"b"}` + "\n" + line("a")}, []string{"a"}, []string{`missing {"id":"b"}`}},
		{"no UTF-8", []string{"{\"id\":\"\xff\"}\n"}, nil, []string{"utf8 {\"id\":\"\xff\"}"}},
		{"the same once more", []string{line("a") + line("a")}, []string{"a"}, nil},
		{"one id, other bytes", []string{line("a") + long("a", 1)}, []string{"a"}, []string{"conflict " + strings.TrimSuffix(long("a", 1), "\n")}},
		{"too long", []string{line("a") + tooLong + "\n" + line("b")}, []string{"a", "b"}, []string{"too_large " + digest}},
		{"too long, in packets", []string{tooLong[:1000], tooLong[1000:], "\n" + line("b")}, []string{"b"}, []string{"too_large " + digest}},
		{"too long and half", []string{tooLong}, nil, []string{"too_large " + digest}},
		{"nothing", nil, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRelay(t, runtime.Options{}, "", "")
			conn := r.dial()
			for _, p := range tt.packets {
				if _, err := io.WriteString(conn, p); err != nil {
					t.Fatal(err)
				}
			}
			_ = conn.Close()
			r.stop() // everything written is read first
			last := uint64(0)
			for _, id := range tt.ids {
				e, err := r.rt.Explain(t.Context(), "plain", id)
				if err != nil || e.Sequence <= last {
					t.Errorf("%s: %d after %d, %v", id, e.Sequence, last, err)
				}
				last = e.Sequence
			}
			if got := r.count(intake.Accepted); got != uint64(len(tt.ids)) || r.count(intake.Quarantined) != uint64(len(tt.items)) || r.count(intake.Lost) != 0 {
				t.Errorf("%d accepted, %d in quarantine, %d lost", got, r.count(intake.Quarantined), r.count(intake.Lost))
			}
			if got := r.items(); !slices.Equal(got, tt.items) {
				t.Errorf("in quarantine: %.300q", got)
			}
		})
	}
}

// A line may hold several events, by its schema.
func TestALineOfSeveralEvents(t *testing.T) {
	r := newRelay(t, runtime.Options{}, ", connections: 1", ", many: {listen: '127.0.0.1:0', schema: wrapped, namespace: plain}")
	d := r.source.doors["127.0.0.1:0"]
	conn := dialTCP(t, d)
	if _, err := io.WriteString(conn, `{"all":[{"id":"a","action":"x"},{"id":"b","action":"x"}]}`+"\n"); err != nil {
		t.Fatal(err)
	}
	r.until("both", func() bool { return r.known("a") && r.known("b") })
	e, err := r.rt.Explain(t.Context(), "plain", "a")
	if err != nil || e.Provenance.Address != "127.0.0.1" || e.Provenance.Principal != "socket:many" {
		t.Errorf("%+v %v", e.Provenance, err)
	}
}

// At a stop, every line that a producer wrote without an error is accepted.
func TestAStopLosesNothing(t *testing.T) {
	r := newRelay(t, runtime.Options{}, "", "")
	const producers = 4
	written := make([]int, producers)
	var writing sync.WaitGroup
	for p := range producers {
		conn := r.dial()
		writing.Go(func() {
			for i := 0; ; i++ {
				if _, err := io.WriteString(conn, line(fmt.Sprintf("%d-%d", p, i))); err != nil {
					return
				}
				written[p] = i + 1
			}
		})
	}
	r.until("lines came", func() bool { return r.count(intake.Accepted) > 500 })
	r.source.Stop()
	writing.Wait()
	if _, err := os.Stat(r.path); err == nil {
		t.Error("the socket's name stands there still")
	}
	total := 0
	for p := range producers {
		total += written[p]
		for i := range written[p] {
			if !r.known(fmt.Sprintf("%d-%d", p, i)) {
				t.Fatalf("line %d of %d of producer %d is lost", i, written[p], p)
			}
		}
	}
	if got := r.count(intake.Accepted); got != uint64(total) {
		t.Errorf("%d accepted, %d written", got, total)
	}
}

// While the relay does not accept, nothing is read, and the producer's writes wait. Nothing
// written is lost.
func TestTheProducerWaitsWhileTheRelayDoesNotAccept(t *testing.T) {
	r := newRelay(t, runtime.Options{Quarantine: runtime.QuarantineOptions{Items: 1}}, "", "")
	conn := r.dial()
	if _, err := io.WriteString(conn, "one\n"+"two\n"+line("a")); err != nil {
		t.Fatal(err)
	}
	d := r.source.doors["unix:"+r.path]
	r.until("it waits", func() bool { return d.waiting.Load() == 1 })
	wrote := 1
	for ; ; wrote++ {
		_ = conn.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
		if n, err := io.WriteString(conn, long(fmt.Sprint("w", wrote), 10<<10)); err != nil {
			if n != 0 {
				t.Logf("%d bytes of a line were written", n)
			}
			break
		}
		if wrote > 10_000 {
			t.Fatal("the producer never waits")
		}
	}
	if r.known("w1") {
		t.Fatal("it was read on")
	}
	items, err := r.rt.QuarantineItems(t.Context(), runtime.QuarantineQuery{})
	if err != nil || len(items) > 1 {
		t.Fatalf("%d items, %v", len(items), err)
	}
	r.makeRoom()
	r.until("all that was written", func() bool { r.makeRoom(); return r.known(fmt.Sprint("w", wrote-1)) })
	for i := 1; i < wrote; i++ {
		if !r.known(fmt.Sprint("w", i)) {
			t.Fatalf("line %d of %d is lost", i, wrote)
		}
	}
	if !r.known("a") {
		t.Error("the line behind what was set aside is lost")
	}
	r.until("it does not wait any more", func() bool { return d.waiting.Load() == 0 })
}

func (r *relay) makeRoom() {
	r.t.Helper()
	items, err := r.rt.QuarantineItems(r.t.Context(), runtime.QuarantineQuery{})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, it := range items {
		if err := r.rt.DeleteQuarantineItem(r.t.Context(), runtime.By{}, it.Number); err != nil {
			r.t.Fatal(err)
		}
	}
}

// Data that the relay cannot accept before it ends is counted as lost, and the stop does not
// wait forever.
func TestALossIsCounted(t *testing.T) {
	r := newRelay(t, runtime.Options{}, "", "")
	conn := r.dial()
	if err := r.rt.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, line("a")+line("b")); err != nil {
		t.Fatal(err)
	}
	r.until("it waits", func() bool { return r.source.doors["unix:"+r.path].waiting.Load() == 1 })
	r.stop()
	if r.count(intake.Lost) != 2 {
		t.Errorf("%d lost", r.count(intake.Lost))
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	r := newRelay(t, runtime.Options{}, ", connections: 1", "")
	first := r.dial()
	if _, err := io.WriteString(first, line("a")); err != nil {
		t.Fatal(err)
	}
	r.until("the first", func() bool { return r.known("a") })
	if n, err := r.dial().Read(make([]byte, 1)); err == nil {
		t.Errorf("%d bytes of an answer at a connection too many", n)
	}
	if refused := r.source.refused.get(); refused["lines"] != 1 {
		t.Errorf("refused: %v", refused)
	}
	_ = first.Close()
	r.until("room for another", func() bool { return r.source.doors["unix:"+r.path].open() == 0 })
	if _, err := io.WriteString(r.dial(), line("b")); err != nil {
		t.Fatal(err)
	}
	r.until("the next", func() bool { return r.known("b") })
}

// Above the rate the relay reads more slowly. Nothing is refused.
func TestRate(t *testing.T) {
	r := newRelay(t, runtime.Options{}, ", rate: {events: 50}", "")
	conn := r.dial()
	start := time.Now()
	for i := range 3 {
		var lines strings.Builder
		for j := range 40 {
			lines.WriteString(line(fmt.Sprintf("%d-%d", i, j)))
		}
		if _, err := io.WriteString(conn, lines.String()); err != nil {
			t.Fatal(err)
		}
		r.until("they came", func() bool { return r.count(intake.Accepted) == uint64(40*(i+1)) })
	}
	if took := time.Since(start); took < 500*time.Millisecond {
		t.Errorf("120 events at 50 a second, the first 50 at once, took %v", took)
	}
}

// Settings change at a reload without ending a connection. Another mode requires a restart.
func TestReload(t *testing.T) {
	r := newRelay(t, runtime.Options{}, "", "")
	conn := r.dial()
	if info, err := os.Stat(r.path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	change, err := r.prepare(fmt.Sprintf("lines: {listen: 'unix:%s', schema: plain, namespace: other, mode: '0660'}", r.path))
	if err != nil || !slices.Equal(change.Restart, []string{"ingest.sockets.lines: mode and group"}) {
		t.Fatalf("%v %v", change.Restart, err)
	}
	change.Apply()
	if _, err := io.WriteString(conn, line("a")); err != nil {
		t.Fatal(err)
	}
	r.until("the namespace is the new one", func() bool { _, err := r.rt.Explain(t.Context(), "other", "a"); return err == nil })
}
