package runtime_test

import (
	"fmt"
	"testing"

	"auditrelay/runtime"
)

// TestCompletenessReadsNoLogForItsSize: a running relay knows the length of its logs. Reading
// it each time would cost the newest leaf hashes of each callback, up to 320 KiB.
func TestCompletenessReadsNoLogForItsSize(t *testing.T) {
	t.Parallel()
	const callbacks = 30
	o := runtime.Options{Journal: runtime.JournalOptions{UnsafeNoSync: true}}
	for i := range callbacks {
		o.Callbacks = append(o.Callbacks, quick(runtime.Callback{Name: fmt.Sprint("c", i), Sink: &memorySink{}}))
	}
	r := start(t, o)
	submit(t, r, event("a", "created"))
	settle(t, r)
	read := ^uint64(0)
	for range 5 { // the count includes the relay's own work
		before := runtime.Scanned(r)
		got, err := r.Completeness(t.Context(), 1)
		if err != nil || len(got.Logs) != callbacks+1 {
			t.Fatal(len(got.Logs), err)
		}
		for _, l := range got.Logs {
			if l.Size < 2 {
				t.Errorf("the log of %q has %d entries", l.Callback, l.Size)
			}
		}
		read = min(read, runtime.Scanned(r)-before)
	}
	if read > callbacks+5 { // the state of each
		t.Errorf("%d callbacks: %d values were read", callbacks, read)
	}
}
