package journal

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// indexed waits until all complete runs outside the window are indexed.
func indexed(t testing.TB, j *Journal) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); j.idsDue(); time.Sleep(time.Millisecond) { // poll background work
		if time.Now().After(deadline) {
			t.Fatalf("%d runs are indexed of %d events", j.ids.runs.Load(), j.Head().Next)
		}
		j.pokeIDs()
	}
}

// idKeys counts the entries of the id index.
func idKeys(t *testing.T, j *Journal) (n int) {
	t.Helper()
	it, err := j.store.Iterate([]byte{spaceIDs}, []byte{spaceIDs + 1})
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		n++
	}
	return n
}

// The id index finds the same as the index frames: while events arrive, after a trim, after a
// restart, and if only a part is indexed.
func TestTheIDIndexFindsWhatTheFramesDo(t *testing.T) {
	fs, plain := vfs.NewMem(), vfs.NewMem()
	o := Options{FS: fs, Now: clock, Window: 40, idRun: 16}
	j := open(t, "j", o)
	reference := open(t, "j", Options{FS: plain, Now: clock, Window: 40, idRun: 1 << 30})
	add := func(from, to int) {
		for i := from; i < to; i += 10 {
			tx, same := &Tx{}, &Tx{}
			for k := range 10 {
				// Every 97th event repeats an id that the window has forgotten.
				e := event(fmt.Sprint("id-", (i+k)%97*7), fmt.Sprintf(`{"n":%d}`, i+k))
				tx.Append(e)
				same.Append(e)
			}
			for _, c := range []struct {
				j  *Journal
				tx *Tx
			}{{j, tx}, {reference, same}} {
				if _, err := c.j.Commit(c.tx); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	compare := func(when string) {
		t.Helper()
		ids := []string{"never"}
		for i := range 97 {
			ids = append(ids, fmt.Sprint("id-", i*7))
		}
		for i := range ids {
			some := ids[i:min(i+3, len(ids))]
			got, err := j.All("litellm", some, 5)
			want, err2 := reference.All("litellm", some, 5)
			if err != nil || err2 != nil || !slices.Equal(got, want) {
				t.Errorf("%s: %v: %v, %v; want %v, %v", when, some, got, err, want, err2)
			}
		}
		for _, window := range []bool{true, false} {
			for _, some := range [][]string{ids, ids[10:20], ids[:1]} {
				got, err := j.Lookups("litellm", some, window)
				want, err2 := reference.Lookups("litellm", some, window)
				if err != nil || err2 != nil || !slices.Equal(got, want) {
					t.Errorf("%s: %v, %v; want %v, %v", when, got, err, want, err2)
				}
			}
		}
	}
	compare("empty")
	add(0, 30)
	compare("within the window")
	add(30, 500)
	indexed(t, j)
	if n := idKeys(t, j); n != 28*idBuckets { // (501-40)/16
		t.Errorf("%d keys of %d runs", n, j.ids.runs.Load())
	}
	compare("indexed")
	for _, before := range []uint64{1, 17, 100, 101} {
		if err := j.Trim(before); err != nil {
			t.Fatal(err)
		}
		if err := reference.Trim(before); err != nil {
			t.Fatal(err)
		}
		compare(fmt.Sprint("trimmed to ", before))
	}
	if n := idKeys(t, j); n != 22*idBuckets {
		t.Errorf("%d keys after a trim", n)
	}
	closeJournal(t, j)
	j = open(t, "j", o)
	if n := j.ids.runs.Load(); n != 28 {
		t.Errorf("%d runs after a restart", n)
	}
	compare("opened again")
	add(500, 700)
	compare("more events")
	indexed(t, j)
	compare("all indexed")
	// Everything is trimmed, much of it before it was indexed.
	closeJournal(t, j)
	j = open(t, "j", Options{FS: fs, Now: clock, Window: 40, idRun: 1 << 30})
	add(700, 1000)
	for _, c := range []*Journal{j, reference} {
		if err := c.Trim(900); err != nil {
			t.Fatal(err)
		}
	}
	closeJournal(t, j)
	j = open(t, "j", o)
	add(1000, 1100)
	indexed(t, j)
	compare("trimmed before it was indexed")
}

// A damaged run is reported, and no id counts as unknown.
func TestADamagedIDIndexIsNoticed(t *testing.T) {
	j := open(t, "j", Options{FS: vfs.NewMem(), Now: clock, Window: 10, idRun: 16})
	for i := range 100 {
		appendEvents(t, j, event(fmt.Sprint("id-", i), body(i)))
	}
	indexed(t, j)
	h := j.id.hash("litellm", "id-20")
	for what, harm := range map[string]func(b Batch, key []byte){
		"changed": func(b Batch, key []byte) { set(b, key, []byte("something else")) },
		"missing": func(b Batch, key []byte) { b.Delete(key) },
	} {
		b := j.store.Batch(100)
		harm(b, idKey(byte(h>>idBucketShift), 1))
		if err := j.store.Commit(b); err != nil {
			t.Fatal(err)
		}
		b.Close()
		if found, err := j.All("litellm", []string{"id-20"}, 1); err == nil {
			t.Errorf("%s: %v", what, found)
		}
	}
}

// BenchmarkUnknownID: an unknown id, outside the window, with and without the id index.
func BenchmarkUnknownID(b *testing.B) {
	for _, run := range []int{0, 1 << 30} {
		j, err := Open("j", Options{FS: vfs.NewMem(), Now: clock, Window: 1000, idRun: run})
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		for _, size := range []int{100_000, 400_000, 1_600_000} {
			for n < size {
				tx := &Tx{}
				for range 100 {
					tx.Append(event(fmt.Sprint(n), `{}`))
					n++
				}
				if _, err := j.Commit(tx); err != nil {
					b.Fatal(err)
				}
			}
			indexed(b, j)
			b.Run(fmt.Sprintf("run=%d/events=%d", run, size), func(b *testing.B) {
				for b.Loop() {
					if found, err := j.All("litellm", []string{"never"}, 1); len(found) != 0 || err != nil {
						b.Fatal(found, err)
					}
				}
			})
		}
		j.Close()
	}
}
