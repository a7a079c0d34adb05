package journaltest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"auditrelay/internal/proof"
	"auditrelay/runtime/internal/journal"
)

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
		var entries [][]byte
		for k := range 20 {
			tx.Append(event(fmt.Sprint(i, " ", k), `{}`))
			entries = append(entries, fmt.Appendf(nil, "%d %d", i, k))
		}
		if i%2 == 0 {
			tree.Append(tx, 0, 0, entries...)
		} else { // stated before
			at := journal.StatementKey("lane", uint64(i))
			tx.SetPlain(at, proof.AppendEntries(nil, entries...))
			tree.AppendStated(tx, 0, at, entries...)
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
	n := 0
	if err := j.Entries("log", 0, 800, func(index uint64, _ []byte) error { n++; return nil }); err != nil || n != 700 {
		t.Errorf("after 100 are pruned there are %d entries: %v", n, err)
	}
	var left []uint64
	from, to := journal.AllOf(journal.KindStatement, "lane", 0)
	if err := j.Scan(from, to, func(k journal.Key, _ []byte) error {
		_, _, number, _ := k.Split()
		left = append(left, number)
		return nil
	}); err != nil || len(left) != 18 || left[0] != 5 {
		t.Errorf("statements after the pruning: %v %v", left, err)
	}
}
