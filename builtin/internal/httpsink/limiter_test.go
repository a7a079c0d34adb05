package httpsink

import (
	"context"
	"testing"
)

func TestLimiterHalvesOnceForABurstAndGrowsAgain(t *testing.T) {
	l := NewLimiter(8)
	take := func(n int) (eras []uint64) {
		t.Helper()
		for range n {
			era, err := l.Acquire(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			eras = append(eras, era)
		}
		return eras
	}
	give := func(eras []uint64, throttled bool) {
		for _, era := range eras {
			l.Release(era, throttled, !throttled)
		}
	}
	want := func(bound int) {
		t.Helper()
		if l.bound != bound || l.running != 0 {
			t.Fatalf("%d at a time, %d running; want %d and none", l.bound, l.running, bound)
		}
	}
	give(take(8), true) // all of them hit the same limit
	want(4)
	give(take(4), true)
	want(2)
	give(take(2), true)
	give(take(1), true)
	want(1) // never zero
	give(take(1), false)
	want(2)
	give(take(2), false)
	want(3)
	for range 20 {
		give(take(1), false)
	}
	for range 20 {
		give(take(1), false)
	}
	want(8) // never above the configured maximum
}

func TestLimiterHoldsBack(t *testing.T) {
	l := NewLimiter(1)
	era, err := l.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Acquire(ctx); err == nil {
		t.Fatal("two had the only place")
	}
	next := make(chan error)
	go func() {
		_, err := l.Acquire(t.Context())
		next <- err
	}()
	l.Release(era, false, true)
	if err := <-next; err != nil {
		t.Fatal(err)
	}
}
