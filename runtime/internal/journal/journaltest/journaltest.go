// Package journaltest is the contract of a journal, whatever store is under it: a test
// that each of them passes.
package journaltest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/runtime/internal/journal"

	"github.com/google/go-cmp/cmp"
)

// Place is where one journal is kept: each call opens it, or creates it.
type Place func(journal.Options) (*journal.Journal, error)

// Run runs the contract. place returns a new place for one journal.
func Run(t *testing.T, place func(t *testing.T) Place) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, Place)
	}{
		{"EventsComeBackAfterAReopen", events},
		{"AnEventThatComesAgain", again},
		{"AllOrNothing", allOrNothing},
		{"State", state},
		{"ScansNest", scansNest},
		{"LargeValues", large},
		{"RangesEndWhereTheyEnd", ranges},
		{"Concurrent", concurrent},
		{"Trim", trim},
		{"TimesAndCounts", timesAndCounts},
		{"Erase", erase},
		{"Proofs", proofs},
		{"Watch", watch},
		{"Close", closed},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, place(t)) })
	}
}

var base = time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)

func open(t *testing.T, p Place, o journal.Options) *journal.Journal {
	t.Helper()
	j, err := p(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

func reopen(t *testing.T, j *journal.Journal, p Place, o journal.Options) *journal.Journal {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return open(t, p, o)
}

func event(id, data string) auditrelay.Event {
	return auditrelay.Event{Namespace: "litellm", ID: id, Time: base.Add(-time.Hour), Action: "created",
		Provenance: auditrelay.Provenance{Source: "http", Principal: "p", Address: "10.0.0.1:1"}, Data: []byte(data)}
}

func commit(t *testing.T, j *journal.Journal, tx *journal.Tx) []journal.Appended {
	t.Helper()
	out, err := j.Commit(tx)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func add(t *testing.T, j *journal.Journal, events ...auditrelay.Event) []journal.Appended {
	t.Helper()
	tx := new(journal.Tx)
	for _, e := range events {
		tx.Append(e)
	}
	return commit(t, j, tx)
}

func read(t *testing.T, j *journal.Journal, from uint64) []auditrelay.Event {
	t.Helper()
	var all []auditrelay.Event
	for {
		events, next, err := j.Read(from, 100, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if len(events) == 0 {
			return all
		}
		all, from = append(all, events...), next
	}
}

func same(t *testing.T, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: %s", what, diff)
	}
}

func events(t *testing.T, p Place) {
	o := journal.Options{Now: func() time.Time { return base }}
	j := open(t, p, o)
	var want []auditrelay.Event
	for i := range 300 {
		e := event(fmt.Sprint(i), fmt.Sprintf(`{"n":%d,"x":%q}`, i, strings.Repeat("x", i%50)))
		if i%7 == 3 {
			e.Namespace = "emitted"
			e.Emission = &auditrelay.Emission{Target: "alerts", Callback: "c", Filter: "f", Sequence: 1, Hops: 1}
		}
		e.Sequence, e.Received = uint64(i+1), base
		want = append(want, e)
	}
	for i := 0; i < len(want); {
		n := min(1+i%13, len(want)-i)
		for k, a := range add(t, j, want[i:i+n]...) {
			if a.Sequence != want[i+k].Sequence || a.Status != journal.Stored || !a.Received.Equal(base) {
				t.Fatalf("event %d: %+v", i+k, a)
			}
		}
		i += n
	}
	id, head := j.Identity(), j.Head()
	if head.Next != 301 || head.Events != 300 || head.Emitted["alerts"] != 43 {
		t.Errorf("head: %+v", head)
	}
	for range 2 {
		same(t, "events", want, read(t, j, 1))
		same(t, "from the middle", want[123:], read(t, j, 124))
		one, err := j.Event(200)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "one event", want[199], one)
		found, err := j.All("litellm", []string{"151", "never"}, 10)
		if err != nil {
			t.Errorf("lookup: %v", err)
		}
		same(t, "the sequences of two ids", []uint64{152}, found)
		j = reopen(t, j, p, o)
		same(t, "identity", id, j.Identity())
		same(t, "head", head, j.Head())
	}
	// Beyond the window the index finds it.
	o.Window = 10
	j = reopen(t, j, p, o)
	found, err := j.Lookups("litellm", []string{"0", "151", "never", "299"}, true)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "lookups beyond the window", []uint64{1, 152, 0, 300}, found)
}

func again(t *testing.T, p Place) {
	j := open(t, p, journal.Options{})
	add(t, j, event("x", `{}`), event("a", `{"v":1}`))
	for range 2 {
		other := event("a", `{ "v": 1.0 }`)
		other.Provenance.Source = "s3"
		out := add(t, j, event("a", `{"v":1}`), other, event("a", `{"v":2}`), event("b", `{}`), event("b", `{}`))
		var got []journal.Status
		for _, a := range out {
			got = append(got, a.Status)
		}
		if out[0].Sequence != 2 || got[0] != journal.Duplicate || got[1] != journal.Duplicate || got[2] != journal.Conflict || got[4] != journal.Duplicate {
			t.Errorf("statuses: %v", out)
		}
		ways, err := j.AlsoFrom(2)
		if err != nil || len(ways) != 1 || ways[0].Source != "s3" {
			t.Errorf("other ways: %v %v", ways, err)
		}
		j = reopen(t, j, p, journal.Options{})
	}
	if n := j.Head().Next; n != 4 {
		t.Errorf("next is %d", n)
	}
}

func allOrNothing(t *testing.T, p Place) {
	j := open(t, p, journal.Options{})
	add(t, j, event("a", `{"v":1}`))
	tx := new(journal.Tx)
	tx.AllOrNothing()
	tx.Append(event("b", `{}`))
	tx.Append(event("a", `{"v":2}`))
	tx.Set(journal.MetaKey("m"), []byte("v"))
	if _, err := j.Commit(tx); !errors.Is(err, journal.ErrConflict) {
		t.Errorf("commit: %v", err)
	}
	if _, ok, err := j.Get(journal.MetaKey("m")); ok || err != nil {
		t.Errorf("the value of a refused transaction: %v %v", ok, err)
	}
	if out := add(t, j, event("c", `{}`)); out[0].Sequence != 2 {
		t.Errorf("sequences are not dense: %+v", out)
	}
}

func values(t *testing.T, j *journal.Journal, from, to journal.Key) (list []string) {
	t.Helper()
	err := j.Scan(from, to, func(k journal.Key, v []byte) error {
		_, _, n, _ := k.Split()
		list = append(list, fmt.Sprintf("%d=%s", n, v))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func state(t *testing.T, p Place) {
	j := open(t, p, journal.Options{})
	tx := new(journal.Tx)
	for i := range uint64(10) {
		tx.Set(journal.QuarantineKey("q", i), fmt.Append(nil, "v", i))
		tx.Set(journal.QuarantineKey("r", i), []byte("other"))
	}
	tx.Set(journal.MetaKey("empty"), nil)
	tx.Set(journal.MetaKey("zero\x00"), []byte{0, 1, 2})
	commit(t, j, tx)
	// In one transaction, in its order: what is set after a deletion stays.
	tx = new(journal.Tx)
	tx.Set(journal.QuarantineKey("q", 3), []byte("twice"))
	tx.DeleteRange(journal.QuarantineKey("q", 2), journal.QuarantineKey("q", 6))
	tx.Set(journal.QuarantineKey("q", 4), []byte("again"))
	tx.Set(journal.QuarantineKey("q", 4), []byte("once more"))
	tx.Delete(journal.QuarantineKey("q", 8))
	tx.Delete(journal.QuarantineKey("q", 99))
	commit(t, j, tx)
	for range 2 {
		from, to := journal.AllOf(journal.KindQuarantine, "q", 0)
		same(t, "values", []string{"0=v0", "1=v1", "4=once more", "6=v6", "7=v7", "9=v9"}, values(t, j, from, to))
		k, v, ok, err := j.Last(from, to)
		if err != nil || !ok || string(v) != "v9" {
			t.Errorf("last: %v %q %v %v", k, v, ok, err)
		}
		k, ok, err = j.FirstKey(journal.QuarantineKey("q", 2), to)
		if err != nil || !ok || !slices.Equal(k, journal.QuarantineKey("q", 4)) {
			t.Errorf("first: %v %v %v", k, ok, err)
		}
		if _, _, ok, err := j.Last(journal.QuarantineKey("s", 0), journal.QuarantineKey("s", 9)); ok || err != nil {
			t.Errorf("last of nothing: %v %v", ok, err)
		}
		if v, ok, err := j.Get(journal.MetaKey("empty")); len(v) > 0 || !ok || err != nil {
			t.Errorf("an empty value: %q %v %v", v, ok, err)
		}
		if v, ok, err := j.Get(journal.MetaKey("zero\x00")); string(v) != "\x00\x01\x02" || !ok || err != nil {
			t.Errorf("zero bytes: %q %v %v", v, ok, err)
		}
		j = reopen(t, j, p, journal.Options{})
	}
}

func scansNest(t *testing.T, p Place) {
	j := open(t, p, journal.Options{})
	const n = 1500 // more than a store reads at a time
	tx := new(journal.Tx)
	for i := range uint64(n) {
		tx.Set(journal.QuarantineKey("q", i), []byte("v"))
	}
	commit(t, j, tx)
	from, to := journal.All(journal.KindQuarantine)
	seen := uint64(0)
	var wg sync.WaitGroup
	for range 8 { // each holds a place in a range, and asks again
		wg.Go(func() {
			_ = j.Scan(from, to, func(k journal.Key, _ []byte) error {
				_, _, err := j.Get(slices.Clone(k))
				if err != nil {
					t.Error(err)
				}
				return errStop
			})
		})
	}
	wg.Wait()
	err := j.Scan(from, to, func(k journal.Key, v []byte) error {
		_, _, at, _ := k.Split()
		if at != seen {
			return fmt.Errorf("key %d at %d", at, seen)
		}
		seen++
		if at%500 == 0 { // what is deleted behind and before it does no harm
			tx := new(journal.Tx)
			tx.Delete(journal.QuarantineKey("q", at))
			commit(t, j, tx)
		}
		return nil
	})
	if err != nil || seen != n {
		t.Errorf("scanned %d: %v", seen, err)
	}
}

var errStop = errors.New("stop")

func large(t *testing.T, p Place) {
	j := open(t, p, journal.Options{})
	for i := range uint64(4) {
		tx := new(journal.Tx)
		tx.Append(event(fmt.Sprint("large ", i), `{"x":"`+strings.Repeat("x", 3<<20)+`"}`))
		tx.SetAbout(i+1, journal.BodyKey("lane", i), []byte(strings.Repeat(fmt.Sprint(i), 5<<20)))
		commit(t, j, tx)
	}
	j = reopen(t, j, p, journal.Options{})
	if all := read(t, j, 1); len(all) != 4 || len(all[3].Data) != 3<<20+8 {
		t.Errorf("%d events", len(all))
	}
	n := 0
	from, to := journal.AllOf(journal.KindBody, "lane", 0)
	err := j.Scan(from, to, func(k journal.Key, v []byte) error {
		if len(v) != 5<<20 || string(v[:1]) != fmt.Sprint(n) {
			return fmt.Errorf("value %d: %d bytes", n, len(v))
		}
		n++
		return nil
	})
	if err != nil || n != 4 {
		t.Errorf("scanned %d: %v", n, err)
	}
}

func ranges(t *testing.T, p Place) {
	j := open(t, p, journal.Options{})
	var tx journal.Tx
	names := []string{"a", "a\x00", "a\x00b", "a\xff", "aa", "b"}
	for _, name := range names {
		for i := range uint64(2) {
			tx.Set(journal.QuarantineKey(name, i<<40), []byte(name))
		}
	}
	commit(t, j, &tx)
	for _, name := range names {
		from, to := journal.AllOf(journal.KindQuarantine, name, 0)
		same(t, fmt.Sprintf("%q", name), []string{"0=" + name, fmt.Sprintf("%d=%s", uint64(1)<<40, name)}, values(t, j, from, to))
	}
}

func concurrent(t *testing.T, p Place) {
	j := open(t, p, journal.Options{})
	const writers, each = 16, 20
	var mu sync.Mutex
	got := map[uint64]string{}
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				id := fmt.Sprintf("%d-%d", w, i)
				tx := new(journal.Tx)
				tx.Append(event(id, `{}`))
				tx.Set(journal.MetaKey(id), []byte(id))
				out, err := j.Commit(tx)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				got[out[0].Sequence] = id
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	j = reopen(t, j, p, journal.Options{})
	all := read(t, j, 1)
	if len(all) != writers*each || len(got) != writers*each {
		t.Fatalf("%d events, %d acknowledged", len(all), len(got))
	}
	for i, e := range all {
		if e.Sequence != uint64(i+1) || got[e.Sequence] != e.ID {
			t.Fatalf("event %d is %s, acknowledged %s", e.Sequence, e.ID, got[e.Sequence])
		}
		if _, ok, err := j.Get(journal.MetaKey(e.ID)); !ok || err != nil {
			t.Fatalf("the state of %s: %v %v", e.ID, ok, err)
		}
	}
}

func trim(t *testing.T, p Place) {
	j := open(t, p, journal.Options{})
	for i := range 20 {
		add(t, j, event(fmt.Sprint(i, "a"), `{}`), event(fmt.Sprint(i, "b"), `{}`), event(fmt.Sprint(i, "c"), `{}`))
	}
	for _, before := range []uint64{5, 5, 30, 61} {
		if err := j.Trim(before); err != nil {
			t.Fatal(err)
		}
		j = reopen(t, j, p, journal.Options{})
		if j.Oldest() != before || j.Head().Next != 61 {
			t.Errorf("after a trim to %d: [%d, %d)", before, j.Oldest(), j.Head().Next)
		}
		if _, _, err := j.Read(before-1, 1, 1); !errors.Is(err, journal.ErrTrimmed) {
			t.Errorf("read below %d: %v", before, err)
		}
		if _, err := j.Prove(before - 1); !errors.Is(err, journal.ErrTrimmed) {
			t.Errorf("prove below %d: %v", before, err)
		}
		if got := read(t, j, before); len(got) != int(61-before) {
			t.Errorf("after a trim to %d: %d events", before, len(got))
		}
	}
	if found, err := j.All("litellm", []string{"0a"}, 1); found != nil || err != nil {
		t.Errorf("found what was trimmed: %v, %v", found, err)
	}
	if out := add(t, j, event("0a", `{}`)); out[0].Sequence != 61 {
		t.Errorf("after all was trimmed: %+v", out)
	}
}

func timesAndCounts(t *testing.T, p Place) {
	now := base
	o := journal.Options{Now: func() time.Time { return now }}
	j := open(t, p, o)
	for i := range 12 {
		now = base.Add(time.Duration(i) * time.Minute)
		e := event(fmt.Sprint(i, "e"), `{}`)
		e.Emission = &auditrelay.Emission{Target: "t", Callback: "c"}
		add(t, j, event(fmt.Sprint(i), `{}`), e)
	}
	for range 2 {
		for minutes, want := range map[int]uint64{-1: 1, 0: 1, 5: 11, 11: 23, 12: 25} {
			if got := j.SeekTime(base.Add(time.Duration(minutes) * time.Minute)); got != want {
				t.Errorf("at minute %d: %d, want %d", minutes, got, want)
			}
		}
		totals, err := j.Count(4, 10)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "count", journal.Totals{Events: 6, Emitted: map[string]uint64{"t": 3}}, totals)
		if u := j.Usage(); !u.Oldest.Equal(base) {
			t.Errorf("usage: %+v", u)
		}
		j = reopen(t, j, p, o)
	}
}

func erase(t *testing.T, p Place) {
	now := base
	o := journal.Options{Now: func() time.Time { return now }, Encryption: journal.Encryption{Key: []byte(strings.Repeat("k", 32)), Period: time.Hour}}
	j := open(t, p, o)
	for i := range uint64(2) {
		tx := new(journal.Tx)
		tx.Append(event(fmt.Sprint(i), `{"secret":"s"}`))
		commit(t, j, tx)
		tx = new(journal.Tx)
		tx.SetAbout(i+1, journal.ReceiptKey("lane", i), []byte("about it"))
		commit(t, j, tx)
		now = now.Add(2 * time.Hour)
	}
	from, to := journal.AllOf(journal.KindReceipt, "lane", 0)
	if k, ok, err := j.HeldBy(2, from, to); !ok || err != nil || !slices.Equal(k, journal.ReceiptKey("lane", 1)) {
		t.Errorf("held by the second period: %v %v %v", k, ok, err)
	}
	j = reopen(t, j, p, o)
	if _, err := j.Destroy(1); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := j.Event(1); !errors.Is(err, journal.ErrErased) {
			t.Errorf("an erased event: %v", err)
		}
		if e, err := j.Event(2); err != nil || string(e.Data) != `{"secret":"s"}` {
			t.Errorf("of the next period: %v", err)
		}
		if end := j.PeriodEnd(1); end != 2 {
			t.Errorf("the first period ends at %d", end)
		}
		var got []string
		err := j.ScanAll(from, to, func(k journal.Key, v []byte, erased bool) error {
			got = append(got, fmt.Sprintf("%s %v", v, erased))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		same(t, "values", []string{" true", "about it false"}, got)
		j = reopen(t, j, p, o)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if j, err := p(journal.Options{}); !errors.Is(err, journal.ErrNoKey) {
		t.Errorf("without a key: %v", err)
		if err == nil {
			j.Close()
		}
	}
	o.Encryption.Key = []byte(strings.Repeat("x", 32))
	if j, err := p(o); !errors.Is(err, journal.ErrWrongKey) {
		t.Errorf("with a wrong key: %v", err)
		if err == nil {
			j.Close()
		}
	}
}

func proofs(t *testing.T, p Place) {
	j := open(t, p, journal.Options{})
	tree, err := j.OpenTree("log")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		tx := new(journal.Tx)
		for k := range 20 {
			tx.Append(event(fmt.Sprint(i, " ", k), `{}`))
			tree.Append(tx, 0, 0, fmt.Appendf(nil, "%d %d", i, k))
		}
		commit(t, j, tx)
	}
	head, root := j.Accepted(), tree.Root()
	for range 2 {
		same(t, "the log of what was accepted", head, j.Accepted())
		if head.Size != 801 {
			t.Errorf("its size is %d", head.Size)
		}
		if tree, err = j.OpenTree("log"); err != nil || tree.Size() != 800 || tree.Root() != root {
			t.Errorf("a log: %d %v", tree.Size(), err)
		}
		if leaves, err := j.AcceptedLeaves(10, 700); err != nil || len(leaves) != 690 {
			t.Errorf("leaves: %d %v", len(leaves), err)
		}
		if proven, err := j.Prove(333); err != nil || proven.Index != 333 {
			t.Errorf("prove: %+v %v", proven.Index, err)
		}
		n := 0
		err := j.Entries("log", 5, 300, func(index uint64, entry []byte) error {
			if want := fmt.Sprint(index/20, index%20); index != uint64(n+5) || string(entry) != want {
				return fmt.Errorf("entry %d is %q, want %q", index, entry, want)
			}
			n++
			return nil
		})
		if err != nil || n != 295 {
			t.Errorf("%d entries: %v", n, err)
		}
		if _, err := j.TreeReader("log").ReadHashes([]int64{0, 1, 2}); err != nil {
			t.Error(err)
		}
		j = reopen(t, j, p, journal.Options{})
	}
	tx := new(journal.Tx)
	if err := j.PruneEntries(tx, "log", 1, 100); err != nil {
		t.Fatal(err)
	}
	commit(t, j, tx)
}

func watch(t *testing.T, p Place) {
	j := open(t, p, journal.Options{})
	appended := j.Watch()
	tx := new(journal.Tx)
	tx.Set(journal.MetaKey("m"), nil)
	commit(t, j, tx)
	select {
	case <-appended:
		t.Error("no event was appended")
	default:
	}
	add(t, j, event("a", `{}`))
	<-appended
}

func closed(t *testing.T, p Place) {
	j := open(t, p, journal.Options{})
	if other, err := p(journal.Options{}); !errors.Is(err, journal.ErrLocked) {
		t.Errorf("a second owner: %v", err)
		if err == nil {
			other.Close()
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Commit(new(journal.Tx)); !errors.Is(err, journal.ErrClosed) {
		t.Errorf("commit: %v", err)
	}
	if _, _, err := j.Get(journal.MetaKey("m")); !errors.Is(err, journal.ErrClosed) {
		t.Errorf("get: %v", err)
	}
	if err := j.Close(); !errors.Is(err, journal.ErrClosed) {
		t.Errorf("close: %v", err)
	}
}
