package guest

import (
	"testing"
	"unsafe"
)

func TestTheRegisteredFunctionsAreCalled(t *testing.T) {
	defer func() { onEvent, onInit = nil, nil }()
	inits := 0
	OnInit(func() error { inits++; return nil })
	OnEvent(func() Verdict { return Drop })
	if handleInit() != 0 || inits != 1 {
		t.Error("the start did not run what OnInit registered")
	}
	for range 2 * yieldEvery {
		if got := handleEvent(); got != int32(Drop) {
			t.Fatalf("got %d, want the verdict of what OnEvent registered", got)
		}
	}
}

func TestFillAsksAgainWithARoomierBuffer(t *testing.T) {
	calls := 0
	host := func(buf unsafe.Pointer, capacity uint32) int32 {
		calls++
		if capacity >= 5 {
			copy(unsafe.Slice((*byte)(buf), capacity), "value")
		}
		return 5
	}
	if got := string(fill([]byte("a "), host)); got != "a value" || calls != 2 {
		t.Errorf("got %q in %d calls, want %q in 2", got, calls, "a value")
	}
	if got := string(fill(make([]byte, 0, 8), host)); got != "value" || calls != 3 {
		t.Errorf("got %q in %d calls, want %q in 3", got, calls, "value")
	}
	absent := func(unsafe.Pointer, uint32) int32 { return ErrAbsent }
	if got := string(fill([]byte("a"), absent)); got != "a" {
		t.Errorf("got %q, want what was there", got)
	}
}
