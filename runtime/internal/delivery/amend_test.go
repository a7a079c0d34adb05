package delivery_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/runtime/internal/delivery"
	"auditrelay/runtime/internal/journal"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestAmendmentOfTheSameTransaction: a refusal and a seal may share one write. The manifest of
// the seal cannot contain the refusal yet, and a later one must.
func TestAmendmentOfTheSameTransaction(t *testing.T) {
	j, err := journal.Open("journal", journal.Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
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
	commit(func(tx *journal.Tx) error {
		for _, id := range []string{"a", "b", "c", "d"} {
			tx.Append(auditrelay.Event{Namespace: "x", ID: id, Data: []byte(`{}`)})
		}
		return nil
	})
	sink := splittingSink{&simSink{w: &world{}, objects: map[string]auditrelay.Payload{}, seen: map[string]string{}, bad: func(uint64) bool { return false }}}
	place := delivery.Place{Callback: "c", Sink: sink}
	var state *delivery.State
	commit(func(tx *journal.Tx) (err error) {
		state, err = delivery.Create(j, tx, delivery.State{Callback: "c"}, 1, time.Now())
		return err
	})
	lane, err := delivery.Open(j, state, delivery.Options{Sink: sink}, rand.New(rand.NewPCG(1, 2)))
	if err != nil {
		t.Fatal(err)
	}
	chunk := func(from, to uint64) *delivery.Assembled {
		t.Helper()
		b := delivery.Batch{From: from, To: to}
		events, _, err := j.Read(from, int(to-from), 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for i := range events {
			b.Judged = append(b.Judged, delivery.Judged{Event: &events[i], Outcome: auditrelay.Delivered, Data: events[i].Data})
		}
		a, err := delivery.Assemble(b, place)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	commit(func(tx *journal.Tx) error { return lane.Seal(tx, time.Now(), chunk(1, 4), place) })
	p, err := delivery.Load(j, state.ID, 1) // sequences 1 and 3
	if err != nil {
		t.Fatal(err)
	}
	sent, err := delivery.Classify(j, state.ID, p, auditrelay.Receipt{}, &auditrelay.DeliveryError{Kind: auditrelay.Refused, Err: errors.New("no")}, place)
	if err != nil || !sent.Replaced() {
		t.Fatalf("judge: %+v, %v", sent, err)
	}
	commit(func(tx *journal.Tx) error {
		if _, err := lane.Settle(tx, time.Now(), sent); err != nil {
			return err
		}
		return lane.Seal(tx, time.Now(), chunk(4, 5), place)
	})
	if n := lane.State().Amends; n != 1 {
		t.Fatalf("%d amendments are to be told, want 1", n)
	}
	commit(func(tx *journal.Tx) error { return lane.SealAmendments(tx, time.Now(), place) })
	last, err := delivery.Load(j, state.ID, lane.State().Number)
	if err != nil || lane.State().Amends != 0 || !strings.Contains(string(last.Body), "Amends:[{Number:1 By:[") {
		t.Errorf("the last manifest: %s (%v), %d amendments left", last.Body, err, lane.State().Amends)
	}
}
