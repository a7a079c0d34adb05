package delivery

import (
	"fmt"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/runtime/internal/journal"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A list of dead letters reads only the open ones, however many ended between them. Ended ones
// are still found by sequence.
func TestAListReadsNoResolvedDeadLetters(t *testing.T) {
	t.Parallel()
	for _, n := range []uint64{100, 1000, 10_000} {
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
		now := time.Unix(1_800_000_000, 0)
		var l *Lane
		commit(func(tx *journal.Tx) error {
			for i := range n {
				tx.Append(auditrelay.Event{Namespace: "n", ID: fmt.Sprint(i), Data: []byte(`{}`)})
			}
			s, err := Create(j, tx, State{Callback: "archive"}, 1, now)
			if err == nil {
				l, err = Open(j, s, Options{}, nil)
			}
			return err
		})
		commit(func(tx *journal.Tx) error {
			for s := uint64(1); s <= n; s++ {
				l.state.Counts.add(auditrelay.DeadLettered, 1)
				if err := l.putDeadLetter(tx, newDeadLetter(&Judged{Event: &auditrelay.Event{Sequence: s, Data: []byte(`{}`)}}, now)); err != nil {
					return err
				}
			}
			return l.state.put(tx)
		})
		var inside []uint64 // all but the first and the last
		for s := uint64(2); s < n; s++ {
			inside = append(inside, s)
		}
		for after, more := uint64(0), true; more; more = after > 0 {
			commit(func(tx *journal.Tx) (err error) {
				_, after, err = l.DiscardDead(tx, now, "somebody", inside, after)
				return err
			})
		}
		read := 0
		if err := l.scanDeadLetters(0, func(*deadLetter) error { read++; return nil }); err != nil {
			t.Fatal(err)
		}
		list, err := DeadLetters(j, &l.state, 0, 0)
		if err != nil || len(list) != 2 || read != 2 {
			t.Errorf("of %d, 2 of them open, %d are listed and %d are read, %v", n, len(list), read, err)
		}
		if d, err := loadDeadLetter(j, l.state.ID, n/2); err != nil || d == nil || d.Resolved != auditrelay.Discarded || len(d.data) > 0 {
			t.Errorf("what ended is %+v, %v", d, err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A dead letter resolved by an older version is stored beside the open ones: it is not listed,
// but found.
func TestDeadLettersThatAnEarlierProgramResolved(t *testing.T) {
	j, err := journal.Open("journal", journal.Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
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
	now := time.Unix(1_800_000_000, 0)
	var l *Lane
	commit(func(tx *journal.Tx) error {
		for i := range 9 {
			tx.Append(auditrelay.Event{Namespace: "n", ID: fmt.Sprint(i), Data: []byte(`{}`)})
		}
		s, err := Create(j, tx, State{Callback: "archive"}, 1, now)
		if err == nil {
			l, err = Open(j, s, Options{}, nil)
		}
		return err
	})
	commit(func(tx *journal.Tx) error {
		for s := uint64(1); s <= 3; s++ {
			d := newDeadLetter(&Judged{Event: &auditrelay.Event{Sequence: s, Data: []byte(`{}`)}}, now)
			if s == 2 {
				l.resolve(d, auditrelay.Discarded, now)
			}
			if err := l.putDeadLetter(tx, d); err != nil {
				return err
			}
		}
		return nil
	})
	commit(func(tx *journal.Tx) error {
		value, ok, err := j.Get(journal.ResolvedKey(l.state.ID, 2))
		if err != nil || !ok {
			return fmt.Errorf("it is not there: %w", err)
		}
		tx.SetAbout(2, journal.DeadLetterKey(l.state.ID, 2), value)
		tx.Delete(journal.ResolvedKey(l.state.ID, 2))
		return nil
	})
	list, err := DeadLetters(j, &l.state, 0, 0)
	if err != nil || len(list) != 2 || list[0].Event.Sequence != 1 || list[1].Event.Sequence != 3 {
		t.Errorf("listed: %v, %v", list, err)
	}
	if d, err := loadDeadLetter(j, l.state.ID, 2); err != nil || d == nil || d.Resolved != auditrelay.Discarded {
		t.Errorf("what ended is %+v, %v", d, err)
	}
	commit(func(tx *journal.Tx) error {
		changed, _, err := l.DiscardDead(tx, now, "somebody", nil, 0)
		if len(changed) != 2 {
			t.Errorf("discarded: %v", changed)
		}
		return err
	})
	if list, err := DeadLetters(j, &l.state, 0, 0); err != nil || len(list) != 0 {
		t.Errorf("listed at the end: %v, %v", list, err)
	}
}
