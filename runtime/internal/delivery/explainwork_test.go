package delivery_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/internal/receipts"
	"auditrelay/runtime/internal/delivery"
	"auditrelay/runtime/internal/journal"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestAnEventIsExplainedFromItsChunk: for three numbers of events and of replayed dead letters,
// the state and the receipts of one event read only its chunk's receipts, whatever else the
// lane has.
func TestAnEventIsExplainedFromItsChunk(t *testing.T) {
	t.Parallel()
	codec, err := receipts.NewCodec()
	if err != nil {
		t.Fatal(err)
	}
	for _, chunks := range []int{10, 100, 1000} {
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
		place := delivery.Place{Callback: "c", Receipts: codec}
		var state *delivery.State
		commit(func(tx *journal.Tx) (err error) {
			state, err = delivery.Create(j, tx, delivery.State{Callback: "c"}, 1, time.Now())
			return err
		})
		lane, err := delivery.Open(j, state, delivery.Options{}, rand.New(rand.NewPCG(1, 2)))
		if err != nil {
			t.Fatal(err)
		}
		seal := func(b delivery.Batch) {
			t.Helper()
			commit(func(tx *journal.Tx) error {
				a, err := delivery.Assemble(b, place)
				if err == nil {
					err = lane.Seal(tx, time.Now(), a, place)
				}
				return err
			})
		}
		for c := range chunks { // the first event of each chunk is dead-lettered and replayed
			commit(func(tx *journal.Tx) error {
				for i := range 5 {
					tx.Append(auditrelay.Event{Namespace: "x", ID: fmt.Sprint(c, "-", i), Data: []byte(`{}`)})
				}
				return nil
			})
			from := uint64(1 + 5*c)
			events, to, err := j.Read(from, 5, 1<<30)
			if err != nil {
				t.Fatal(err)
			}
			b := delivery.Batch{From: from, To: to}
			for i := range events {
				b.Judged = append(b.Judged, delivery.Judged{Event: &events[i], Outcome: auditrelay.Filtered, Cause: auditrelay.CauseDrop})
			}
			b.Judged[0].Outcome, b.Judged[0].Cause = auditrelay.DeadLettered, auditrelay.CauseFail
			seal(b)
			again := b.Judged[0]
			seal(delivery.Batch{Dead: []uint64{from}, Judged: []delivery.Judged{again}})
		}
		s := lane.State()
		explain := func(sequence uint64) (read uint64, found int) {
			t.Helper()
			e, err := j.Event(sequence)
			if err != nil {
				t.Fatal(err)
			}
			before := j.Scanned()
			if end, err := delivery.Explain(j, &s, &e); err != nil || !end.Assigned {
				t.Fatal(end, err)
			}
			if err := delivery.Receipts(j, codec, &s, sequence, sequence+1, func(r delivery.Receipt) error {
				if found++; r.Sequence != sequence {
					t.Errorf("%d has a receipt of %d", sequence, r.Sequence)
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			return j.Scanned() - before, found
		}
		for _, sequence := range []uint64{3, uint64(5*chunks/2) + 2, uint64(5 * chunks)} {
			if read, found := explain(sequence); read > 1 || found != 1 {
				t.Errorf("%d chunks: event %d has %d receipts, and reads %d records", chunks, sequence, found, read)
			}
		}
		if _, found := explain(1); found != 2 {
			t.Errorf("%d chunks: an event that was judged again has %d receipts, not 2", chunks, found)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
