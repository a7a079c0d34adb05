package journal

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
	"unsafe"

	"auditrelay"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestNewestEventsReadAsTheOldDo reads at random from a journal with its newest events in
// memory, and compares with the disk.
func TestNewestEventsReadAsTheOldDo(t *testing.T) {
	for _, encrypted := range []bool{false, true} {
		now := base
		o := mem()
		if encrypted {
			o = ticking(&now)
		}
		j := open(t, "j", o)
		random := rand.New(rand.NewPCG(1, 2))
		for n := 0; n < 3000; {
			var events []auditrelay.Event
			for range 1 + random.IntN(40) {
				e := event(fmt.Sprint(n), fmt.Sprintf(`{"n":%d,"text":%q}`, n, strings.Repeat("x", random.IntN(20_000))))
				if n%7 == 0 {
					e.TimeFrom, e.Emission = auditrelay.TimeMissing, &auditrelay.Emission{Target: "t", Callback: "c", Filter: "f", Sequence: 1, Hops: 1}
				}
				events = append(events, e)
				n++
			}
			appendEvents(t, j, events...)
			now = now.Add(time.Minute)
		}
		if j.recent.bytes > recentBytes || j.recent.bytes < recentBytes/2 {
			t.Errorf("%d bytes are in memory, at most %d", j.recent.bytes, recentBytes)
		}
		head, inMemory := j.Head().Next, 0
		for range 100 {
			from := 1 + random.Uint64N(head)
			if random.IntN(2) == 0 {
				from = head - random.Uint64N(300)
			}
			most, bytes := 1+random.IntN(200), random.Int64N(1<<20)
			got, next, err := j.Read(from, most, bytes)
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := j.recent.read(from, head, 1, 0); ok {
				inMemory++
			}
			kept := j.recent.segments
			j.recent.segments = nil
			want, wantNext, err := j.Read(from, most, bytes)
			j.recent.segments = kept
			if err != nil {
				t.Fatal(err)
			}
			if next != wantNext || !reflect.DeepEqual(got, want) {
				t.Fatalf("encrypted %v: from %d, at most %d events and %d bytes: up to %d from memory, %d from disk",
					encrypted, from, most, bytes, next, wantNext)
			}
		}
		if inMemory < 30 {
			t.Errorf("%d of 100 reads were from memory", inMemory)
		}
		closeJournal(t, j)
	}
}

// TestSmallEventsInMemoryAreBounded: the memory of a decoded event besides its data counts, in
// the window of the newest events and in the cache of events read from disk.
func TestSmallEventsInMemoryAreBounded(t *testing.T) {
	fs := vfs.NewMem()
	j := open(t, "j", Options{FS: fs, Now: clock})
	const all = 120_000
	for n := 0; n < all; {
		events := make([]auditrelay.Event, 5000)
		for i := range events {
			events[i] = event(fmt.Sprint(n), "{}")
			n++
		}
		appendEvents(t, j, events...)
	}
	inMemory := func(n int) int { return n * int(unsafe.Sizeof(auditrelay.Event{})) }
	kept := 0
	for _, s := range j.recent.segments {
		kept += len(s.leaves)
	}
	if inMemory(kept) > recentBytes || kept < 10_000 {
		t.Errorf("the newest %d events are kept, which take over %d bytes, at most %d", kept, inMemory(kept), recentBytes)
	}
	closeJournal(t, j)
	j = open(t, "j", Options{FS: fs, Now: clock})
	for at, most := uint64(1), 0; at < j.Head().Next; {
		events, next, err := j.Read(at, 10_000, 1<<20)
		if err != nil || len(events) == 0 {
			t.Fatal(len(events), err)
		}
		at, kept = next, 0
		for _, s := range j.behind.segments {
			kept += len(s.events)
		}
		if most = max(most, kept); inMemory(most) > behindBytes+inMemory(behindEvents) {
			t.Fatalf("%d events read from disk are kept, which take over %d bytes, at most %d", kept, inMemory(kept), behindBytes)
		}
	}
}
