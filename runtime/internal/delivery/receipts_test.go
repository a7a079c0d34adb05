package delivery

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/internal/receipts"
	"auditrelay/runtime/internal/journal"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestReceiptsGoWithTheirChunks: pruned and damaged receipts are not returned as existing ones.
func TestReceiptsGoWithTheirChunks(t *testing.T) {
	j, err := journal.Open("journal", journal.Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	codec, err := receipts.NewCodec()
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
	commit(func(tx *journal.Tx) error {
		for i := range 9 {
			tx.Append(auditrelay.Event{Namespace: "n", ID: fmt.Sprint(i), Data: []byte(`{}`)})
		}
		return nil
	})
	now := time.Unix(1_800_000_000, 0)
	var lane *Lane
	commit(func(tx *journal.Tx) error {
		s, err := Create(j, tx, State{Callback: "archive"}, 1, now)
		if err == nil {
			lane, err = Open(j, s, Options{}, nil)
		}
		return err
	})
	place := Place{Callback: "archive", Receipts: codec}
	seal := func(b Batch, sequences ...uint64) {
		t.Helper()
		for _, s := range sequences {
			b.Judged = append(b.Judged, Judged{Event: &auditrelay.Event{Sequence: s}, Outcome: auditrelay.DeadLettered})
		}
		commit(func(tx *journal.Tx) error {
			a, err := Assemble(b, place)
			if err != nil {
				return err
			}
			return lane.Seal(tx, now, a, place)
		})
	}
	seal(Batch{From: 1, To: 4}, 1, 2, 3)
	seal(Batch{From: 4, To: 7}, 5, 6)
	seal(Batch{From: 7, To: 10}, 7, 8)
	seal(Batch{Dead: []uint64{2}}, 2)
	seal(Batch{Dead: []uint64{3, 5}}, 3, 5)
	read := func(first, end uint64) (got []uint64, err error) {
		s := lane.State()
		err = Receipts(j, codec, &s, first, end, func(r Receipt) error {
			if !r.At.Equal(now) {
				t.Errorf("sealed at %v", r.At)
			}
			got = append(got, r.Sequence)
			return nil
		})
		return got, err
	}
	check := func(first, end uint64, want ...uint64) {
		t.Helper()
		if got, err := read(first, end); err != nil || !slices.Equal(got, want) {
			t.Errorf("from %d to %d: %v, %v; want %v", first, end, got, err, want)
		}
	}
	check(0, 10, 1, 2, 3, 5, 6, 7, 8, 2, 3, 5)
	check(2, 3, 2, 2)
	check(4, 5)
	check(6, 8, 6, 7)
	check(3, 6, 3, 5, 3, 5)

	commit(func(tx *journal.Tx) error { s := lane.State(); return Prune(j, tx, &s, 6) })
	check(0, 10, 5, 6, 7, 8, 3, 5) // the dead letters' second frame extends into the retained part
	commit(func(tx *journal.Tx) error { s := lane.State(); return Prune(j, tx, &s, 9) })
	check(0, 10, 7, 8)

	commit(func(tx *journal.Tx) error {
		_, frame, _, err := j.Last(journal.FrameKey("archive", 0), journal.FrameKey("archive", 10))
		frame[len(frame)-1] ^= 1
		tx.SetAbout(7, journal.FrameKey("archive", 7), frame)
		return err
	})
	if got, err := read(0, 10); !errors.Is(err, journal.ErrCorrupt) || !errors.Is(err, receipts.ErrDamaged) || got != nil {
		t.Errorf("a damaged frame: %v, %v", got, err)
	}
}
