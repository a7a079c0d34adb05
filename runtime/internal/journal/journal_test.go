package journal

import (
	"errors"
	"fmt"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"auditrelay"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
)

var base = time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)

func clock() time.Time { return base }

func mem() Options { return Options{FS: vfs.NewMem(), Now: clock, Window: 1000} }

func open(t *testing.T, dir string, o Options) *Journal {
	t.Helper()
	j, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil && !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	})
	return j
}

func closeJournal(t *testing.T, j *Journal) {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

func event(id string, data string) auditrelay.Event {
	return auditrelay.Event{
		Namespace: "litellm", ID: id, Time: base.Add(-time.Hour), Action: "created",
		Provenance: auditrelay.Provenance{Source: "http", Principal: "p", Address: "10.0.0.1:1"},
		Data:       []byte(data),
	}
}

func body(n int) string { return fmt.Sprintf(`{"n":%d}`, n) }

func appendEvents(t *testing.T, j *Journal, events ...auditrelay.Event) []Appended {
	t.Helper()
	tx := &Tx{}
	for _, e := range events {
		tx.Append(e)
	}
	out, err := j.Commit(tx)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func readAll(j *Journal) ([]auditrelay.Event, error) {
	events, _, err := j.Read(j.Oldest(), 1<<20, 1<<40)
	return events, err
}

func TestEventsComeBackAsTheyWentIn(t *testing.T) {
	for name, e := range map[string]Encryption{"plain": {}, "encrypted": {Key: masterKey(1)}} {
		t.Run(name, func(t *testing.T) { comeBack(t, e) })
	}
}

func comeBack(t *testing.T, e Encryption) {
	o := mem()
	o.Encryption = e
	j := open(t, "j", o)
	in := []auditrelay.Event{
		event("a", body(1)),
		{Namespace: "emitted", ID: "b", TimeFrom: auditrelay.TimeMissing, Data: []byte(`{}`),
			Emission: &auditrelay.Emission{Target: "alerts", Callback: "c", Filter: "f", Sequence: 1, Ordinal: 2, Hops: 3}},
		{Namespace: "x", ID: "c", TimeFrom: auditrelay.TimeNaive, Time: time.Date(1066, 1, 1, 0, 0, 0, 5, time.UTC), Action: "odd \x00", Data: []byte(`{"a":1}`)},
		{Namespace: "x", ID: "d", TimeFrom: auditrelay.TimeUnreadable, Time: base.AddDate(900, 0, 0), Data: []byte(`{"a":1}`)},
		{Namespace: "shop", ID: "e", TimeFrom: auditrelay.TimeMissing, Data: []byte(`{"a":2}`),
			Mapping: &auditrelay.Mapping{Schema: "shop", ID: "{a}/{b}", Action: "=x", Time: "at", Actor: "by", Object: "o", ObjectType: "k"}},
		{Namespace: "shop", ID: "f", TimeFrom: auditrelay.TimeMissing, Data: []byte(`{"a":3}`),
			Mapping: &auditrelay.Mapping{Schema: "shop"}, Ingest: &auditrelay.Ingest{Outcome: auditrelay.Filtered, Digest: [16]byte{1, 2}}},
	}
	var want []auditrelay.Event
	for i, a := range appendEvents(t, j, in...) {
		e := in[i]
		e.Sequence, e.Received = uint64(i+1), base
		if e.TimeFrom == auditrelay.TimeMissing || e.TimeFrom == auditrelay.TimeUnreadable {
			e.Time = base
		}
		want = append(want, e)
		if diff := cmp.Diff(Appended{Sequence: e.Sequence, Received: base, Status: Stored}, a); diff != "" {
			t.Error(diff)
		}
	}
	for range 2 {
		got, err := readAll(j)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		for _, n := range []uint64{3, 5, 6} {
			one, err := j.Event(n)
			if diff := cmp.Diff(want[n-1], one); err != nil || diff != "" {
				t.Error(err, diff)
			}
		}
		wantHead := Head{Next: 7, Events: 6, Bytes: 7 + 2 + 7 + 7 + 7 + 7, Emitted: map[string]uint64{"alerts": 1}}
		if diff := cmp.Diff(wantHead, j.Head()); diff != "" {
			t.Error(diff)
		}
		closeJournal(t, j)
		j = open(t, "j", o)
	}
}

func TestReadIsBounded(t *testing.T) {
	j := open(t, "j", mem())
	for i := range 10 {
		appendEvents(t, j, event(fmt.Sprint(i), body(i)))
	}
	for _, test := range []struct {
		name  string
		from  uint64
		max   int
		bytes int64
		want  int
	}{
		{"all", 1, 100, 1 << 20, 10},
		{"some", 3, 4, 1 << 20, 4},
		{"by bytes", 1, 100, 15, 2},
		{"at least one", 1, 100, 0, 1},
		{"at the head", 11, 100, 1 << 20, 0},
		{"beyond the head", 99, 100, 1 << 20, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			events, next, err := j.Read(test.from, test.max, test.bytes)
			if err != nil || len(events) != test.want || next != test.from+uint64(test.want) {
				t.Errorf("%d events, next %d, %v", len(events), next, err)
			}
		})
	}
}

func TestStateIsWrittenWithTheEvents(t *testing.T) {
	o := mem()
	j := open(t, "j", o)
	tx := &Tx{}
	tx.Append(event("a", body(1)))
	tx.Set(LaneKey("s3"), []byte("cursor 1"))
	for n := range uint64(5) {
		tx.SetAbout(1, PayloadKey("s3", n), []byte{byte(n)})
		tx.SetAbout(1, PayloadKey("s3\x00x", n), []byte("other"))
	}
	if _, err := j.Commit(tx); err != nil {
		t.Fatal(err)
	}
	tx = &Tx{}
	tx.Delete(PayloadKey("s3", 4))
	tx.DeleteRange(PayloadKey("s3", 0), PayloadKey("s3", 2))
	if _, err := j.Commit(tx); err != nil {
		t.Fatal(err)
	}
	closeJournal(t, j)
	j = open(t, "j", o)
	if v, ok, err := j.Get(LaneKey("s3")); string(v) != "cursor 1" || !ok || err != nil {
		t.Error(v, ok, err)
	}
	if _, ok, err := j.Get(LaneKey("s4")); ok || err != nil {
		t.Error(ok, err)
	}
	var got []uint64
	from, to := AllOf(KindPayload, "s3", 0)
	err := j.Scan(from, to, func(k Key, v []byte) error {
		kind, lane, n, ok := k.Split()
		if kind != KindPayload || lane != "s3" || !ok || len(v) != 1 || v[0] != byte(n) {
			t.Errorf("%v %q %d %v: %v", kind, lane, n, ok, v)
		}
		got = append(got, n)
		return nil
	})
	if diff := cmp.Diff([]uint64{2, 3}, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
	k, v, ok, err := j.Last(from, to)
	if diff := cmp.Diff(PayloadKey("s3", 3), k); diff != "" || !ok || err != nil || v[0] != 3 {
		t.Error(diff, v, ok, err)
	}
	if _, _, ok, err := j.Last(AllOf(KindChunk, "s3", 0)); ok || err != nil {
		t.Error(ok, err)
	}
}

func TestStateCannotReachTheJournalsOwnKeys(t *testing.T) {
	j := open(t, "j", mem())
	appendEvents(t, j, event("a", body(1)))
	for _, f := range []func(tx *Tx){
		func(tx *Tx) { tx.Set(Key(eventKey(1)), nil) },
		func(tx *Tx) { tx.Delete(Key(keyHead)) },
		func(tx *Tx) { tx.Delete(nil) },
		func(tx *Tx) { tx.DeleteRange(Key{0}, LaneKey("z")) },
		func(tx *Tx) { tx.DeleteRange(LaneKey(""), Key{0xff}) },
	} {
		tx := &Tx{}
		f(tx)
		if _, err := j.Commit(tx); err == nil {
			t.Error("accepted")
		}
	}
	if _, err := j.Event(1); err != nil {
		t.Error(err)
	}
}

func TestWatchMissesNoAppend(t *testing.T) {
	j := open(t, "j", mem())
	var group sync.WaitGroup
	const n = 200
	group.Go(func() {
		for i := range n {
			tx := &Tx{}
			tx.Append(event(fmt.Sprint(i), body(i)))
			if _, err := j.Commit(tx); err != nil {
				t.Error(err)
			}
		}
	})
	for seen := uint64(1); seen <= n; {
		changed := j.Watch()
		if next := j.Head().Next; next > seen {
			seen = next
			continue
		}
		<-changed
	}
	group.Wait()
}

func TestConcurrentCommitsAreEachWhole(t *testing.T) {
	j := open(t, "j", Options{FS: vfs.NewMem()})
	const committers, each = 16, 50
	var group sync.WaitGroup
	for c := range committers {
		group.Go(func() {
			for i := range each {
				tx := &Tx{}
				for k := range 3 {
					tx.Append(event(fmt.Sprintf("%d/%d/%d", c, i, k), body(i)))
				}
				tx.Set(LaneKey(fmt.Sprint(c)), fmt.Append(nil, i))
				out, err := j.Commit(tx)
				if err != nil || out[1].Sequence != out[0].Sequence+1 || out[2].Sequence != out[0].Sequence+2 {
					t.Error(out, err)
				}
			}
		})
	}
	group.Wait()
	events, err := readAll(j)
	if err != nil || len(events) != committers*each*3 {
		t.Fatal(len(events), err)
	}
	for i := range events[1:] {
		if events[i+1].Received.Before(events[i].Received) {
			t.Fatal("received goes back")
		}
	}
	totals, err := j.Count(1, j.Head().Next)
	if err != nil || totals.Events != committers*each*3 {
		t.Error(totals, err)
	}
}

func TestOneOwner(t *testing.T) {
	for _, test := range []struct {
		name string
		o    Options
		dir  string
	}{
		{"memory", mem(), "j"},
		{"disk", Options{}, filepath.Join(t.TempDir(), "j")},
	} {
		t.Run(test.name, func(t *testing.T) {
			j := open(t, test.dir, test.o)
			if _, err := Open(test.dir, test.o); !errors.Is(err, ErrLocked) {
				t.Errorf("second owner: %v", err)
			}
			appendEvents(t, j, event("a", body(1)))
			closeJournal(t, j)
			open(t, test.dir, test.o)
		})
	}
}

func TestClosedJournalRefuses(t *testing.T) {
	j := open(t, "j", mem())
	closeJournal(t, j)
	tx := &Tx{}
	tx.Append(event("a", body(1)))
	if _, err := j.Commit(tx); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if _, _, err := j.Read(1, 1, 1); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if err := j.Close(); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// A reader inside a scan must not wait for a Close that waits for the scan.
func TestCloseDuringAScanThatReads(t *testing.T) {
	j := open(t, "j", mem())
	tx := &Tx{}
	tx.Set(LaneKey("a"), []byte("x"))
	if _, err := j.Commit(tx); err != nil {
		t.Fatal(err)
	}
	closed := make(chan error, 1)
	from, to := All(KindLane)
	err := j.Scan(from, to, func(k Key, v []byte) error {
		go func() { closed <- j.Close() }()
		for !j.closed.Load() {
			goruntime.Gosched()
		}
		_, _, err := j.Get(k)
		return err
	})
	if !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

// The transactions of a group are not admitted on the same free bytes.
func TestTheReserveCountsTheWholeGroup(t *testing.T) {
	fs := vfs.NewMem()
	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 13 << 20, TotalBytes: 1 << 30})
	j := open(t, "j", Options{FS: fs, Now: clock, Reserve: 10 << 20})
	var group []*waiter
	for i := range 6 {
		tx := &Tx{}
		tx.Append(event(fmt.Sprint(i), strings.Repeat("x", 700<<10)))
		group = append(group, &waiter{tx: tx})
	}
	j.writeGroup(group)
	full := 0
	for _, w := range group {
		if errors.Is(w.err, ErrFull) {
			full++
		} else if w.err != nil {
			t.Error(w.err)
		}
	}
	if full != 4 || j.Head().Next != 3 {
		t.Errorf("%d refused, next %d", full, j.Head().Next)
	}
}
