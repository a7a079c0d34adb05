package shares

import (
	"fmt"
	"testing"
)

// TestOneLeavesSomeToTheNext: a sender that fills a room alone leaves some to each later one.
func TestOneLeavesSomeToTheNext(t *testing.T) {
	var l Last
	used, most := int64(0), int64(10_000)
	l.Take("another", 0, used, most)
	last := most
	for who := range 5 {
		before := used
		for l.Take(fmt.Sprint(who), 1, used, most) {
			if used++; used > most {
				t.Fatal("more than there is")
			}
		}
		if got := used - before; got == 0 || got > last {
			t.Errorf("%d took %d, after one that took %d", who, got, last)
		} else {
			last = got
		}
	}
	// Once it has emptied, all begin anew.
	if used = 1000; !l.Take("0", 1, used, most) {
		t.Error("an empty room refuses")
	}
	if used = 7600; !l.Take("0", 1, used, most) {
		t.Error("what was taken before counts on")
	}
}

// TestNamesAreBounded: who makes names up takes as one.
func TestNamesAreBounded(t *testing.T) {
	var l Last
	used, most := int64(75_000), int64(100_000)
	for i := range 200_000 {
		if l.Take(fmt.Sprint(i), 1, used, most) {
			used++
		}
	}
	if len(l.taken) > mostNames+1 || used > 99_000 {
		t.Errorf("%d names, %d in use", len(l.taken), used)
	}
}

// TestWhoIsAloneTakesAll: a relay with one sender uses the whole room.
func TestWhoIsAloneTakesAll(t *testing.T) {
	var l Last
	for used := range int64(100) {
		if !l.Take("a", 1, used, 100) {
			t.Fatalf("refused at %d", used)
		}
	}
}
