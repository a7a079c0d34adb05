package journal

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

// Space is freed automatically after deletions, although no further writes push them out.
func TestSpaceComesBackWhileFull(t *testing.T) {
	j := open(t, t.TempDir(), Options{Quota: 24 * mib})
	n := 0
	for round := range 3 {
		var err error
		for err == nil {
			tx := &Tx{}
			for range 8 {
				tx.Append(event(fmt.Sprint(n), fmt.Sprintf(`{"n":%q}`, noise(n, 16<<10))))
				n++
			}
			_, err = j.Commit(tx)
		}
		if !errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
		for i := range 4 {
			tx := &Tx{}
			tx.SetAbout(1, BodyKey("s3", uint64(round*4+i)), []byte(noise(round*4+i, 7<<20)))
			if _, err := j.Commit(tx); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 4 {
			tx := &Tx{}
			tx.SetAbout(1, ReceiptKey("s3", uint64(round*4+i)), []byte("delivered"))
			tx.Delete(BodyKey("s3", uint64(round*4+i)))
			if _, err := j.Commit(tx); err != nil {
				t.Fatal(err)
			}
		}
		if err := j.Trim(j.Head().Next - 20); err != nil {
			t.Fatal(err)
		}
		deadline := time.Now().Add(15 * time.Second)
		for j.Err() != nil { // like a retrying producer
			if time.Now().After(deadline) {
				t.Fatalf("round %d: still full: %v\n%s", round, j.Err(), j.db.Metrics())
			}
			time.Sleep(10 * time.Millisecond) // poll the storage engine's background work
		}
		t.Logf("round %d: %s", round, size(j.Usage().DiskBytes))
	}
}
