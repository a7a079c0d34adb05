package delivery_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/runtime/internal/delivery"
	"auditrelay/runtime/internal/journal"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestListingAfterADiscardReadsWhatIsLeft discards dead letters, in three numbers. A list and
// the next start read only the remaining ones, however many there were.
func TestListingAfterADiscardReadsWhatIsLeft(t *testing.T) {
	t.Parallel()
	for _, n := range []int{100, 1_000, 10_000} {
		j, err := journal.Open("journal", journal.Options{FS: vfs.NewMem()})
		if err != nil {
			t.Fatal(err)
		}
		commit := func(fn func(tx *journal.Tx) error) {
			t.Helper()
			tx := new(journal.Tx)
			if err := fn(tx); err != nil {
				t.Fatal(err)
			}
			if _, err := j.Commit(tx); err != nil {
				t.Fatal(err)
			}
		}
		place := delivery.Place{Callback: "c"}
		var state *delivery.State
		commit(func(tx *journal.Tx) (err error) {
			state, err = delivery.Create(j, tx, delivery.State{Callback: "c"}, 1, time.Now())
			return err
		})
		lane, err := delivery.Open(j, state, delivery.Options{}, rand.New(rand.NewPCG(1, 2)))
		if err != nil {
			t.Fatal(err)
		}
		deadLetter := func(n int) { // n more events, all of which fail in the filters
			t.Helper()
			from := j.Head().Next
			commit(func(tx *journal.Tx) error {
				for i := range n {
					tx.Append(auditrelay.Event{Namespace: "x", ID: fmt.Sprint(from, "-", i), Data: []byte(`{}`)})
				}
				return nil
			})
			events, to, err := j.Read(from, n, 1<<30)
			if err != nil {
				t.Fatal(err)
			}
			b := delivery.Batch{From: from, To: to}
			for i := range events {
				b.Judged = append(b.Judged, delivery.Judged{Event: &events[i], Outcome: auditrelay.DeadLettered, Cause: auditrelay.CauseFail})
			}
			a, err := delivery.Assemble(b, place)
			if err != nil {
				t.Fatal(err)
			}
			commit(func(tx *journal.Tx) error { return lane.Seal(tx, time.Now(), a, place) })
		}
		deadLetter(n)
		for after, more := uint64(0), true; more; more = after != 0 {
			commit(func(tx *journal.Tx) (err error) {
				_, after, err = lane.DiscardDead(tx, time.Now(), "somebody", nil, after)
				return err
			})
		}
		deadLetter(3)

		before := j.Scanned()
		s := lane.State()
		list, err := delivery.DeadLetters(j, &s, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) != 3 || list[0].Event.Sequence != uint64(n+1) {
			t.Errorf("%d discarded: %d are listed, not the last 3", n, len(list))
		}
		counted := 0
		if err := delivery.EachDead(j, &s, func(uint64) bool { counted++; return true }); err != nil || counted != 3 {
			t.Errorf("%d discarded: %d are counted, not the last 3: %v", n, counted, err)
		}
		if _, err := lane.Reopen(); err != nil {
			t.Fatal(err)
		}
		if read := j.Scanned() - before; read > 13 {
			t.Errorf("%d discarded: a list of 3 and a start read %d", n, read)
		}
		j.Close()
	}
}

// TestDeadLettersAreCountedWithoutDecodingThem: only the key of each is parsed.
func TestDeadLettersAreCountedWithoutDecodingThem(t *testing.T) {
	for _, n := range []int{10, 100, 1_000} {
		j, err := journal.Open("journal", journal.Options{FS: vfs.NewMem()})
		if err != nil {
			t.Fatal(err)
		}
		tx := new(journal.Tx)
		state, err := delivery.Create(j, tx, delivery.State{Callback: "c"}, 1, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			tx.Append(auditrelay.Event{Namespace: "x", ID: fmt.Sprint(i), Data: []byte(`{}`)})
		}
		if _, err := j.Commit(tx); err != nil {
			t.Fatal(err)
		}
		lane, err := delivery.Open(j, state, delivery.Options{}, rand.New(rand.NewPCG(1, 2)))
		if err != nil {
			t.Fatal(err)
		}
		events, to, err := j.Read(1, n, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		b := delivery.Batch{From: 1, To: to}
		for i := range events {
			b.Judged = append(b.Judged, delivery.Judged{Event: &events[i], Outcome: auditrelay.DeadLettered, Cause: auditrelay.CauseFail, Reason: `it says "resolved":3`})
		}
		a, err := delivery.Assemble(b, delivery.Place{Callback: "c"})
		if err != nil {
			t.Fatal(err)
		}
		tx = new(journal.Tx)
		if err := lane.Seal(tx, time.Now(), a, delivery.Place{Callback: "c"}); err != nil {
			t.Fatal(err)
		}
		if _, err := j.Commit(tx); err != nil {
			t.Fatal(err)
		}
		s, counted := lane.State(), 0
		allocations := testing.AllocsPerRun(3, func() {
			counted = 0
			if err := delivery.EachDead(j, &s, func(uint64) bool { counted++; return true }); err != nil {
				t.Fatal(err)
			}
		})
		if counted != n || allocations > float64(3*n+60) { // decoding costs ten more for each
			t.Errorf("%d dead letters: %d are counted, with %.0f allocations", n, counted, allocations)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
