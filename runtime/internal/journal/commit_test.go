package journal

import (
	"testing"
	"time"
)

// TestTheDoorComesFirst: new events always wait beside seals. Events go first, and seals get a
// quarter of the time.
func TestTheDoorComesFirst(t *testing.T) {
	const write = time.Millisecond // time for events; a seal takes twenty times as long
	now := time.Unix(1, 0)
	q := &queue{}
	small := func() *waiter { return &waiter{tx: &Tx{bytes: 1 << 10}} }
	bulk := func() *waiter { return &waiter{tx: &Tx{bytes: 1 << 20, bulk: 1 << 20}} }
	join := func(w *waiter) {
		q.leading = true
		if q.join(w) {
			t.Fatal("two lead")
		}
	}
	var spent [2]time.Duration
	for now.Before(time.Unix(11, 0)) {
		if len(q.bulk) == 0 {
			join(bulk())
		}
		join(small())
		group, isBulk, _ := q.take(now)
		if len(group) == 0 {
			t.Fatal("nothing is written, although events and a seal wait")
		}
		took, of := write, 0
		if isBulk {
			took, of = 20*write, 1
		}
		spent[of] += took
		q.wrote(isBulk, now, now.Add(took))
		now = now.Add(took)
	}
	if share := float64(spent[1]) / float64(spent[0]+spent[1]); share < 0.24 || share > 0.27 {
		t.Errorf("seals had %.2f of the time", share)
	}

	// Now no events arrive. The waiting ones are written, then seals get all of the time.
	for len(q.small) > 0 {
		_, isBulk, _ := q.take(now)
		q.wrote(isBulk, now, now)
	}
	now = now.Add(quiet)
	for range 10 {
		join(bulk())
		if group, isBulk, wait := q.take(now); group == nil || !isBulk {
			t.Fatalf("a seal waits for %v although nothing comes in", wait)
		}
		q.wrote(true, now, now.Add(20*write))
		now = now.Add(20 * write)
	}

	// Seals wait briefly for events that have just arrived.
	join(small())
	q.take(now)
	q.wrote(false, now, now.Add(write))
	now = now.Add(write)
	join(bulk())
	if group, _, wait := q.take(now); group != nil || wait <= 0 || wait > quiet {
		t.Errorf("a seal goes before events that may come: it waits for %v", wait)
	}
}
