package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"auditrelay"
	"auditrelay/internal/test/pgtest"
	"auditrelay/runtime/internal/journal"
	"auditrelay/runtime/internal/pgstore"

	"github.com/google/go-cmp/cmp"
)

// content is all that a reader sees of a journal.
func content(t *testing.T, j *journal.Journal) map[string]any {
	t.Helper()
	all := map[string]any{"identity": j.Identity(), "head": j.Head(), "oldest": j.Oldest(), "accepted": j.Accepted(), "periods": j.Periods()}
	events, _, err := j.Read(j.Oldest(), 1<<20, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	all["events"] = events
	for i := range events {
		if all[fmt.Sprint("ways ", i)], err = j.AlsoFrom(events[i].Sequence); err != nil {
			t.Fatal(err)
		}
		if all[fmt.Sprint("proof ", i)], err = j.Prove(events[i].Sequence); err != nil {
			t.Fatal(err)
		}
	}
	for kind := journal.KindLane; kind <= journal.KindResolved; kind++ {
		from, to := journal.All(kind)
		err := j.Scan(from, to, func(k journal.Key, v []byte) error {
			all[fmt.Sprintf("%x", []byte(k))] = string(v)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	totals, err := j.Count(0, 1<<40)
	if err != nil {
		t.Fatal(err)
	}
	all["totals"] = totals
	return all
}

// filled is an embedded journal with some of everything, trimmed within a group.
func filled(t *testing.T, o journal.Options) *journal.Journal {
	t.Helper()
	j, err := journal.Open(filepath.Join(t.TempDir(), "journal"), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	for i := range 40 {
		tx := new(journal.Tx)
		for k := range 5 {
			id := fmt.Sprint(i, "-", k)
			tx.Append(auditrelay.Event{Namespace: "litellm", ID: id, Data: []byte(`{"id":"` + id + strings.Repeat("x", 100*k) + `"}`)})
		}
		tx.Append(auditrelay.Event{Namespace: "litellm", ID: "39-0", Provenance: auditrelay.Provenance{Source: fmt.Sprint(i)}, Data: []byte(`{"id":"39-0"}`)})
		tx.SetAbout(uint64(i+1), journal.ReceiptKey("lane", uint64(i)), []byte("about"))
		tx.SetAbout(uint64(i+1), journal.BodyKey("lane", uint64(i)), []byte(strings.Repeat("large", 1000*i))) // kept apart, where it is embedded
		tx.Set(journal.MetaKey(fmt.Sprint(i)), []byte(strings.Repeat("v", i*i)))
		if _, err := j.Commit(tx); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Trim(14); err != nil {
		t.Fatal(err)
	}
	return j
}

func TestMove(t *testing.T) {
	server := pgtest.Start(t, safe...)
	for name, o := range map[string]journal.Options{
		"plain": {}, "encrypted": {Encryption: journal.Encryption{Key: []byte(strings.Repeat("k", 32))}},
	} {
		t.Run(name, func(t *testing.T) {
			po := options(server)
			from := filled(t, o)
			want := content(t, from)
			s, err := pgstore.Open(t.Context(), po)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(from.CopyTo(s), s.Close()); err != nil {
				t.Fatal(err)
			}
			on, err := place(po)(o)
			if err != nil {
				t.Fatal(err)
			}
			defer on.Close()
			if diff := cmp.Diff(want, content(t, on)); diff != "" {
				t.Errorf("on Postgres: %s", diff)
			}
			dir := filepath.Join(t.TempDir(), "back")
			if err := on.CopyToDir(dir, o); err != nil {
				t.Fatal(err)
			}
			back, err := journal.Open(dir, o)
			if err != nil {
				t.Fatal(err)
			}
			defer back.Close()
			if diff := cmp.Diff(want, content(t, back)); diff != "" {
				t.Errorf("and back: %s", diff)
			}
			// A schema that holds a journal is left alone.
			if err := on.Close(); err != nil {
				t.Fatal(err)
			}
			if s, err = pgstore.Open(t.Context(), po); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(back.CopyTo(s), s.Close()); err == nil || !strings.Contains(err.Error(), "there is a journal already") {
				t.Errorf("a second copy: %v", err)
			}
		})
	}
}

// TestAnInterruptedMove: what was copied so far is no journal.
func TestAnInterruptedMove(t *testing.T) {
	server := pgtest.Start(t, safe...)
	from := filled(t, journal.Options{})
	for _, commits := range []int{1, 2, 10, 39} {
		po := options(server)
		s, err := pgstore.Open(context.Background(), po)
		if err != nil {
			t.Fatal(err)
		}
		err = errors.Join(from.CopyTo(&failing{s, commits}), s.Close())
		if !errors.Is(err, errCut) {
			t.Fatalf("after %d commits: %v", commits, err)
		}
		if j, err := place(po)(journal.Options{}); !errors.Is(err, journal.ErrMoved) {
			t.Errorf("open after %d commits: %v", commits, err)
			if err == nil {
				j.Close()
			}
		}
	}
}

var errCut = errors.New("cut")

// failing fails after so many commits.
type failing struct {
	*pgstore.Store
	left int
}

func (f *failing) Commit(b journal.Batch) error {
	if f.left--; f.left < 0 {
		return errCut
	}
	return f.Store.Commit(b)
}
