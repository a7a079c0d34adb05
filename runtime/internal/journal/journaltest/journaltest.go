// Package journaltest is the contract of a journal, whatever store is under it: a test
// that each of them passes.
package journaltest

import (
	"errors"
	"fmt"
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
		{"Outcomes", outcomes},
		{"OutcomesOfAnEarlierProgram", outcomesOfEarlier},
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

var errStop = errors.New("stop")

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
