package wasm_test

import (
	"context"
	"fmt"
	"testing"

	"auditrelay"
	"auditrelay/builtin/wasm"
	"auditrelay/runtime"
)

// nowhere is a sink that accepts everything.
type nowhere struct{}

func (nowhere) Render(c auditrelay.Chunk) ([]auditrelay.Payload, error) {
	p := auditrelay.Payload{Key: fmt.Sprint(c.From), Body: []byte("x")}
	for i := range c.Records {
		p.Sequences = append(p.Sequences, c.Records[i].Sequence)
	}
	return []auditrelay.Payload{p}, nil
}

func (nowhere) Deliver(context.Context, auditrelay.Payload) (auditrelay.Receipt, error) {
	return auditrelay.Receipt{}, nil
}

// Callbacks whose guests use their whole budget do not delay others: guests yield often enough
// for all to get processor time.
func TestCallbacksGoOnBesideGuestsThatUseAllTheyMay(t *testing.T) {
	step := func(name string) []runtime.Step {
		m, err := wasm.Load(t.Context(), options(t, "hostile/"+name))
		if err != nil {
			t.Fatal(err)
		}
		return []runtime.Step{{Name: name, Filter: m}}
	}
	events := 3_000
	if testing.Short() {
		events = 500
	}
	var callbacks []runtime.Callback
	for n := range 3 {
		callbacks = append(callbacks, runtime.Callback{Name: fmt.Sprintf("heavy-%d", n), Steps: step("burn"), Sink: nowhere{}, Chunk: auditrelay.Chunking{Events: 50}})
	}
	callbacks = append(callbacks, runtime.Callback{Name: "light", Steps: step("keep"), Sink: nowhere{}, Chunk: auditrelay.Chunking{Events: 50}})
	r, err := runtime.Open(t.Context(), runtime.Options{Callbacks: callbacks})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for at := 0; at < events; at += 100 {
		var batch []runtime.Submission
		for id := at; id < at+100; id++ {
			batch = append(batch, runtime.Submission{Data: fmt.Appendf(nil, `{"id":"e-%d","action":"created"}`, id)})
		}
		if _, err := r.Submit(t.Context(), batch...); err != nil {
			t.Fatal(err)
		}
	}
	pending := func(name string) uint64 {
		s, err := r.Callback(name)
		if err != nil {
			t.Fatal(err)
		}
		return s.Account.Pending
	}
	for pending("light") > 0 {
		if err := t.Context().Err(); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 3 {
		if left := pending(fmt.Sprintf("heavy-%d", n)); left < uint64(events/2) {
			t.Errorf("when the light callback was done, heavy-%d had %d of %d left: the light one waited for it", n, left, events)
		}
	}
}
