package journaltest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"auditrelay/runtime/internal/journal"
)

func values(t *testing.T, j *journal.Journal, from, to journal.Key) (list []string) {
	t.Helper()
	err := j.Scan(from, to, func(k journal.Key, v []byte) error {
		_, _, n, _ := k.Split()
		list = append(list, fmt.Sprintf("%d=%s", n, v))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func state(t *testing.T, p Place) {
	j := open(t, p, journal.Options{})
	tx := new(journal.Tx)
	for i := range uint64(10) {
		tx.Set(journal.QuarantineKey("q", i), fmt.Append(nil, "v", i))
		tx.Set(journal.QuarantineKey("r", i), []byte("other"))
	}
	tx.Set(journal.MetaKey("empty"), nil)
	tx.Set(journal.MetaKey("zero\x00"), []byte{0, 1, 2})
	commit(t, j, tx)
	// In one transaction, in its order: what is set after a deletion stays.
	tx = new(journal.Tx)
	tx.Set(journal.QuarantineKey("q", 3), []byte("twice"))
	tx.DeleteRange(journal.QuarantineKey("q", 2), journal.QuarantineKey("q", 6))
	tx.Set(journal.QuarantineKey("q", 4), []byte("again"))
	tx.Set(journal.QuarantineKey("q", 4), []byte("once more"))
	tx.Delete(journal.QuarantineKey("q", 8))
	tx.Delete(journal.QuarantineKey("q", 99))
	commit(t, j, tx)
	for range 2 {
		from, to := journal.AllOf(journal.KindQuarantine, "q", 0)
		same(t, "values", []string{"0=v0", "1=v1", "4=once more", "6=v6", "7=v7", "9=v9"}, values(t, j, from, to))
		k, v, ok, err := j.Last(from, to)
		if err != nil || !ok || string(v) != "v9" {
			t.Errorf("last: %v %q %v %v", k, v, ok, err)
		}
		k, ok, err = j.FirstKey(journal.QuarantineKey("q", 2), to)
		if err != nil || !ok || !slices.Equal(k, journal.QuarantineKey("q", 4)) {
			t.Errorf("first: %v %v %v", k, ok, err)
		}
		if _, _, ok, err := j.Last(journal.QuarantineKey("s", 0), journal.QuarantineKey("s", 9)); ok || err != nil {
			t.Errorf("last of nothing: %v %v", ok, err)
		}
		if v, ok, err := j.Get(journal.MetaKey("empty")); len(v) > 0 || !ok || err != nil {
			t.Errorf("an empty value: %q %v %v", v, ok, err)
		}
		if v, ok, err := j.Get(journal.MetaKey("zero\x00")); string(v) != "\x00\x01\x02" || !ok || err != nil {
			t.Errorf("zero bytes: %q %v %v", v, ok, err)
		}
		j = reopen(t, j, p, journal.Options{})
	}
}

func scansNest(t *testing.T, p Place) {
	j := open(t, p, journal.Options{})
	const n = 1500 // more than a store reads at a time
	tx := new(journal.Tx)
	for i := range uint64(n) {
		tx.Set(journal.QuarantineKey("q", i), []byte("v"))
	}
	commit(t, j, tx)
	from, to := journal.All(journal.KindQuarantine)
	seen := uint64(0)
	var wg sync.WaitGroup
	for range 8 { // each holds a place in a range, and asks again
		wg.Go(func() {
			_ = j.Scan(from, to, func(k journal.Key, _ []byte) error {
				_, _, err := j.Get(slices.Clone(k))
				if err != nil {
					t.Error(err)
				}
				return errStop
			})
		})
	}
	wg.Wait()
	err := j.Scan(from, to, func(k journal.Key, v []byte) error {
		_, _, at, _ := k.Split()
		if at != seen {
			return fmt.Errorf("key %d at %d", at, seen)
		}
		seen++
		if at%500 == 0 { // what is deleted behind and before it does no harm
			tx := new(journal.Tx)
			tx.Delete(journal.QuarantineKey("q", at))
			commit(t, j, tx)
		}
		return nil
	})
	if err != nil || seen != n {
		t.Errorf("scanned %d: %v", seen, err)
	}
}

func large(t *testing.T, p Place) {
	j := open(t, p, journal.Options{})
	for i := range uint64(4) {
		tx := new(journal.Tx)
		tx.Append(event(fmt.Sprint("large ", i), `{"x":"`+strings.Repeat("x", 3<<20)+`"}`))
		tx.SetAbout(i+1, journal.BodyKey("lane", i), []byte(strings.Repeat(fmt.Sprint(i), 5<<20)))
		commit(t, j, tx)
	}
	j = reopen(t, j, p, journal.Options{})
	if all := read(t, j, 1); len(all) != 4 || len(all[3].Data) != 3<<20+8 {
		t.Errorf("%d events", len(all))
	}
	n := 0
	from, to := journal.AllOf(journal.KindBody, "lane", 0)
	err := j.Scan(from, to, func(k journal.Key, v []byte) error {
		if len(v) != 5<<20 || string(v[:1]) != fmt.Sprint(n) {
			return fmt.Errorf("value %d: %d bytes", n, len(v))
		}
		n++
		return nil
	})
	if err != nil || n != 4 {
		t.Errorf("scanned %d: %v", n, err)
	}
}

func ranges(t *testing.T, p Place) {
	j := open(t, p, journal.Options{})
	var tx journal.Tx
	names := []string{"a", "a\x00", "a\x00b", "a\xff", "aa", "b"}
	for _, name := range names {
		for i := range uint64(2) {
			tx.Set(journal.QuarantineKey(name, i<<40), []byte(name))
		}
	}
	commit(t, j, &tx)
	for _, name := range names {
		from, to := journal.AllOf(journal.KindQuarantine, name, 0)
		same(t, fmt.Sprintf("%q", name), []string{"0=" + name, fmt.Sprintf("%d=%s", uint64(1)<<40, name)}, values(t, j, from, to))
	}
}
