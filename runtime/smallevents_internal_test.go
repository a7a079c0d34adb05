package runtime

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"auditrelay"
	"auditrelay/runtime/internal/delivery"
)

// TestSmallEventsTakeTheirMemory: memory besides an event's data counts too, so a chunk of very
// many small events is cut like one of few large ones.
func TestSmallEventsTakeTheirMemory(t *testing.T) {
	const beside = int64(unsafe.Sizeof(delivery.Judged{}) + unsafe.Sizeof(auditrelay.Record{}) + unsafe.Sizeof(auditrelay.Event{}))
	for _, test := range []struct {
		callbacks, events int
		size, bytes       int64
		least, most       int // events of a chunk
	}{
		{callbacks: 1, events: 10_000, size: 40, bytes: 8 << 20, least: 10_000, most: 10_000},
		{callbacks: 64, events: 10_000, size: 40, bytes: 8 << 20, least: 60, most: 8192},
		{callbacks: 64, events: 10_000, size: 1000, bytes: 8 << 20, least: 30, most: 8192},
		{callbacks: 1, events: 10_000, size: 8 << 10, bytes: 1 << 20, least: 128, most: 2048},
	} {
		m := newMemory(defaultMemory)
		r := &Runtime{memory: m}
		var total int64
		for i := range test.callbacks {
			p := &pump{r: r, callback: &callback{memory: m.open()}}
			for k := 1; i == 0 && k < test.callbacks; k++ {
				m.open() // the others exist and ask later
			}
			backlog := uint64(100_000)
			a := delivery.Action{Kind: delivery.Take, From: 1, To: 1 + backlog, Events: test.events, Bytes: test.bytes, Waiting: int64(backlog) * test.size}
			held, _, err := p.takeMemory(t.Context(), &a)
			if err != nil {
				t.Fatal(err)
			}
			n := min(int64(a.Events), a.Bytes/test.size)
			if total += n * (beside + test.size); n < int64(test.least) || n > int64(test.most) {
				t.Errorf("%+v: number %d takes %d events", test, i, n)
			}
			if need := n * (beside + test.size); need > held.bytes {
				t.Errorf("%+v: %d events take %d bytes, %d are set aside", test, n, need, held.bytes)
			}
			if i > 0 {
				continue
			}
			for _, kind := range []int{1, test.events} { // dead letters: no more than fit
				d := delivery.Action{Kind: delivery.TakeDead, Sequences: make([]uint64, kind), Bytes: test.bytes}
				want := chunkMemory(&d)
				if want < copiesOfChunk*leastEvent*int64(kind) {
					t.Errorf("%d dead letters ask for %d bytes", kind, want)
				}
			}
		}
		if total > defaultMemory {
			t.Errorf("%+v: all together take %d bytes of %d", test, total, defaultMemory)
		}
	}
}

// TestSharedResultsAreBoundedTogether: all groups that share results keep no more than the
// limit together. A group with one remaining member keeps nothing.
func TestSharedResultsAreBoundedTogether(t *testing.T) {
	const groups = 32
	s := &sharing{}
	events := 0
	for i := range groups {
		c := &Callback{Name: "a", When: &auditrelay.When{Fields: map[string][]string{"action": {fmt.Sprint(i)}}}}
		s.join(c)
		defer s.join(c).leave()
	}
	for _, g := range s.groups {
		ok, most := g.several()
		if !ok {
			t.Fatal("nobody shares")
		}
		for from := uint64(1); from < 3*maxSharedEvents/groups; from += 100 {
			judged := make([]delivery.Judged, 100)
			for k := range judged {
				judged[k] = delivery.Judged{Event: &auditrelay.Event{Sequence: from + uint64(k)}, Outcome: auditrelay.Filtered}
			}
			g.keep(judged, most)
		}
		if events += g.events; g.events == 0 {
			t.Error("a group keeps nothing")
		}
	}
	if events > maxSharedEvents {
		t.Errorf("%d results are kept, at most %d", events, maxSharedEvents)
	}
	for _, g := range s.groups {
		if g.leave(); g.events != 0 || g.runs != nil || g.bytes != 0 {
			t.Errorf("a group of one keeps %d results for nobody", g.events)
		}
		break
	}
}

// TestAppendsAreLookedAtTogether: a callback that has just checked leaves further appends for 5
// ms, unless it has earlier work.
func TestAppendsAreLookedAtTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p := &pump{r: &Runtime{log: slog.New(slog.DiscardHandler)}, results: make(chan result, 1), asks: make(chan ask), wake: make(chan struct{}, 1)}
		timer := time.NewTimer(time.Hour)
		appended := make(chan struct{})
		close(appended)
		waits := func(until time.Duration, before func()) time.Duration {
			begun := time.Now()
			if before != nil {
				go before()
			}
			p.await(ctx, timer, appended, begun.Add(until))
			return time.Since(begun)
		}
		if took := waits(time.Hour, nil); took != together {
			t.Errorf("appends are looked at after %v", took)
		}
		if took := waits(time.Millisecond, nil); took > time.Millisecond {
			t.Errorf("what is due after 1 ms is looked at after %v", took)
		}
		if took := waits(time.Hour, func() { time.Sleep(2 * time.Millisecond); p.poke() }); took != 2*time.Millisecond {
			t.Errorf("a poke after 2 ms is noticed after %v", took)
		}
		appended = make(chan struct{})
		if took := waits(time.Hour, func() { time.Sleep(time.Second); close(appended) }); took != time.Second {
			t.Errorf("the first append after a pause is looked at after %v", took)
		}
		cancel()
		if took := waits(time.Hour, nil); took != 0 {
			t.Errorf("the end is noticed after %v", took)
		}
	})
}

// TestATakeIsShortOfMemoryAlone: a chunk that is full by its bytes is not short of memory, so
// the rest waits for more events as it should. A chunk that got less memory than requested is
// short.
func TestATakeIsShortOfMemoryAlone(t *testing.T) {
	for total, want := range map[int64]bool{defaultMemory: false, 1 << 20: true} {
		m := newMemory(total)
		p := &pump{r: &Runtime{memory: m}, callback: &callback{memory: m.open()}}
		a := delivery.Action{Kind: delivery.Take, From: 1, To: 10_001, Events: 10_000, Bytes: 64 << 10, Waiting: 10_000 * 100}
		asked := chunkMemory(&a)
		held, short, err := p.takeMemory(t.Context(), &a)
		if err != nil {
			t.Fatal(err)
		}
		if short != want || short != (held.bytes < asked) {
			t.Errorf("of %d bytes of memory: asked for %d, got %d, short: %v", total, asked, held.bytes, short)
		}
	}
}
