package runtime_test

import (
	"crypto/rand"
	"fmt"
	"testing"

	"auditrelay/internal/verify"
	"auditrelay/runtime"

	"golang.org/x/mod/sumdb/note"
)

// TestAProofReadsNoWholeLog: for three numbers of events, the proof of one event reads about
// the same amount of the journal.
func TestAProofReadsNoWholeLog(t *testing.T) {
	t.Parallel()
	key, public, err := note.GenerateKey(rand.Reader, "relay.example")
	if err != nil {
		t.Fatal(err)
	}
	o, _ := withSigner(runtime.Options{Journal: runtime.JournalOptions{UnsafeNoSync: true}}, key)
	o.Callbacks[0].Steps = nil // it leaves events as they are
	o.Callbacks[0].Chunk.Events = 4
	r := start(t, o)
	sent := 0
	for _, size := range []int{400, 1600, 6400} {
		var events []string
		for ; sent < size; sent++ {
			events = append(events, fmt.Sprintf(`{"id":"e%d","action":"created","object_id":"o"}`, sent))
		}
		submit(t, r, events...)
		settle(t, r)
		for _, n := range []int{1, size / 2, size - 2} {
			read := ^uint64(0)
			for range 5 { // the count includes the relay's own work, and the first proof creates a checkpoint
				before := runtime.Scanned(r)
				proofs, err := r.Prove(t.Context(), "", fmt.Sprint("e", n), "archive")
				if err != nil || len(proofs) != 1 {
					t.Fatal(len(proofs), err)
				}
				read = min(read, runtime.Scanned(r)-before)
				if p, err := verify.File(proofs[0].File, verify.FileOptions{Keys: []string{public}}); err != nil || p.Sequence != uint64(n+1) || p.Outcome != "delivered" {
					t.Fatal(p, err)
				}
			}
			if read > 90 {
				t.Errorf("of %d events the proof of e%d reads %d values", size, n, read)
			} else {
				t.Logf("of %d events the proof of e%d reads %d values", size, n, read)
			}
		}
	}
}
