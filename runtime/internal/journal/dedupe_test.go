package journal

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"auditrelay"

	"github.com/google/go-cmp/cmp"
)

func TestAnEventThatComesAgain(t *testing.T) {
	stored := event("a", `{"v":1}`)
	otherWay := stored
	otherWay.Provenance.Source = "s3"
	unequal := event("a", `{"v":2}`)
	otherNamespace := stored
	otherNamespace.Namespace = "emitted"
	// Between the first and the second: nothing, a commit, a restart, many events.
	for _, test := range []struct {
		name   string
		second auditrelay.Event
		want   Status
	}{
		{"equal", stored, Duplicate},
		{"equal, by another way", otherWay, Duplicate},
		{"equal, written differently", event("a", `{ "v": 1.0, "x": null }`), Duplicate},
		{"unequal", unequal, Conflict},
		{"another namespace", otherNamespace, Stored},
		{"another id", event("b", `{"v":1}`), Stored},
	} {
		check := func(t *testing.T, first uint64, got Appended) {
			t.Helper()
			if got.Status != test.want || test.want != Stored && got.Sequence != first {
				t.Errorf("got %+v, want %v of %d", got, test.want, first)
			}
			if !got.Received.Equal(base) {
				t.Errorf("received %v", got.Received)
			}
		}
		t.Run(test.name+"/in one transaction", func(t *testing.T) {
			j := open(t, "j", mem())
			check(t, 1, appendEvents(t, j, stored, test.second)[1])
		})
		t.Run(test.name+"/in the next", func(t *testing.T) {
			j := open(t, "j", mem())
			appendEvents(t, j, stored)
			check(t, 1, appendEvents(t, j, test.second)[0])
		})
		t.Run(test.name+"/after a restart", func(t *testing.T) {
			o := mem()
			j := open(t, "j", o)
			appendEvents(t, j, event("x", body(1)), stored)
			closeJournal(t, j)
			j = open(t, "j", o)
			check(t, 2, appendEvents(t, j, test.second)[0])
		})
		t.Run(test.name+"/at the window's end", func(t *testing.T) {
			j := open(t, "j", mem())
			appendEvents(t, j, stored)
			for i := range mem().Window - 1 {
				appendEvents(t, j, event(fmt.Sprint("x", i), body(i)))
			}
			check(t, 1, appendEvents(t, j, test.second)[0])
		})
	}
}

func TestBeyondTheWindowAnEventIsStoredAgain(t *testing.T) {
	o := mem()
	o.Window = 10
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprint("restart ", restart), func(t *testing.T) {
			j := open(t, fmt.Sprint("j", restart), o)
			appendEvents(t, j, event("a", body(1)))
			for i := range 10 {
				appendEvents(t, j, event(fmt.Sprint("x", i), body(i)))
			}
			if restart {
				closeJournal(t, j)
				j = open(t, fmt.Sprint("j", restart), o)
			}
			if got := appendEvents(t, j, event("a", body(1)))[0]; got.Status != Stored || got.Sequence != 12 {
				t.Errorf("%+v", got)
			}
			for id, want := range map[string][]uint64{"a": {1, 12}, "x0": {2}, "never seen": nil} {
				if got, err := j.All("litellm", []string{id}, 10); !slices.Equal(got, want) || err != nil {
					t.Error(id, got, err)
				}
			}
			if got, err := j.All("litellm", []string{"a", "x3"}, 2); !slices.Equal(got, []uint64{1, 5}) || err != nil {
				t.Error("of two ids, at most two:", got, err)
			}
			if got, err := j.All("elsewhere", []string{"a"}, 10); got != nil || err != nil {
				t.Error("of another namespace:", got, err)
			}
		})
	}
}

func TestEverySourceOfADuplicateIsRecordedOnce(t *testing.T) {
	o := mem()
	j := open(t, "j", o)
	e := event("a", body(1))
	from := func(source string) auditrelay.Event {
		e := e
		e.Provenance = auditrelay.Provenance{Source: source}
		return e
	}
	appendEvents(t, j, e, e, from("s3"), from("postgres"), from("s3"))
	appendEvents(t, j, from("stdin"), from("s3"), e)
	closeJournal(t, j)
	j = open(t, "j", o)
	commits := j.state.Load().commits
	appendEvents(t, j, from("stdin"))
	if n := j.state.Load().commits; n != commits {
		t.Error("a duplicate without news was written")
	}
	got, err := j.AlsoFrom(1)
	want := []auditrelay.Provenance{{Source: "s3"}, {Source: "postgres"}, {Source: "stdin"}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
	for i := range 50 {
		appendEvents(t, j, from(fmt.Sprint("address ", i)))
	}
	if got, err := j.AlsoFrom(1); len(got) != maxAlso || err != nil {
		t.Error(len(got), err)
	}
	if j.Head().Next != 2 {
		t.Error(j.Head())
	}
}

func TestAllOrNothing(t *testing.T) {
	j := open(t, "j", mem())
	appendEvents(t, j, event("a", body(1)), event("b", body(1)))
	tx := &Tx{}
	tx.AllOrNothing()
	for _, e := range []auditrelay.Event{
		event("new", body(1)), event("b", body(2)), event("a", body(1)), event("new", body(2)),
	} {
		tx.Append(e)
	}
	tx.Set(LaneKey("x"), []byte("y"))
	out, err := j.Commit(tx)
	conflict, ok := errors.AsType[*ConflictError](err)
	if out != nil || !ok || !errors.Is(err, ErrConflict) {
		t.Fatal(out, err)
	}
	want := []ConflictAt{{Index: 1, Sequence: 2}, {Index: 3}}
	if diff := cmp.Diff(want, conflict.Conflicts); diff != "" {
		t.Error(diff)
	}
	if _, ok, _ := j.Get(LaneKey("x")); ok || j.Head().Next != 3 {
		t.Error("something was written")
	}
	// A rolled-back event is not remembered.
	if got := appendEvents(t, j, event("new", body(3)))[0]; got.Status != Stored || got.Sequence != 3 {
		t.Errorf("%+v", got)
	}
	// Duplicates are no conflicts.
	tx = &Tx{}
	tx.AllOrNothing()
	tx.Append(event("a", body(1)))
	tx.Append(event("c", body(1)))
	if out, err := j.Commit(tx); err != nil || out[0].Status != Duplicate || out[1].Sequence != 4 {
		t.Error(out, err)
	}
}

func TestWindowAgainstAMap(t *testing.T) {
	for _, limit := range []int{1, 7, 300, 1100} {
		w := newWindow(limit, 1)
		want := map[uint64][]uint64{}
		next := uint64(1)
		state := uint64(limit)
		random := func(n uint64) uint64 {
			state = state*6364136223846793005 + 1442695040888963407
			return state >> 33 % n
		}
		for range 400 {
			for range random(8) {
				// Few different hashes, many of them in one place of the table.
				hash := random(40) << random(3) * 10
				w.push(hash)
				want[hash] = append(want[hash], next)
				next++
			}
			if random(4) == 0 && w.len() > 0 {
				next--
				w.pop()
				for hash, all := range want {
					if n := len(all); n > 0 && all[n-1] == next {
						want[hash] = all[:n-1]
					}
				}
			}
			w.settle(0)
			low := uint64(1)
			if next > uint64(limit) {
				low = next - uint64(limit)
			}
			low = max(low, w.low)
			for hash, all := range want {
				got := map[uint64]bool{}
				w.find(hash, func(sequence uint64) bool { got[sequence] = true; return true })
				n := 0
				for _, sequence := range all {
					if sequence >= low {
						n++
						if !got[sequence] {
							t.Fatalf("limit %d: %d not found", limit, sequence)
						}
					}
				}
				if n != len(got) {
					t.Fatalf("limit %d: %d found, want %d", limit, len(got), n)
				}
			}
		}
	}
}
