package sinktest

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"auditrelay"
	"auditrelay/internal/gate"
)

func readsBack(t *testing.T, kit Kit) {
	sink := open(t, kit)
	reader, ok := sink.(auditrelay.Reader)
	if !ok {
		t.Skip("the sink is no auditrelay.Reader")
	}
	held := func(p auditrelay.Payload, receipt auditrelay.Receipt) ([]byte, error) {
		t.Helper()
		body, err := reader.ReadBack(t.Context(), clonePayload(p), receipt)
		if err != nil {
			return nil, err
		}
		content, err := gate.Content(&auditrelay.Payload{Body: body})
		if err != nil {
			t.Fatalf("what was read back is no text: %v", err)
		}
		return content, nil
	}
	here, elsewhere := chunkOf(kit, 1, 13), chunkOf(kit, 14, 13)
	var last auditrelay.Receipt
	for _, p := range render(t, sink, here) {
		receipt, err := sink.Deliver(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		content, err := held(p, receipt)
		if err != nil {
			t.Fatalf("read back: %v", err)
		}
		for i := range here.Records {
			if r := &here.Records[i]; !r.Tombstone && slices.Contains(p.Sequences, r.Sequence) && !bytes.Contains(content, r.Data) {
				t.Errorf("record %d was delivered, and is not in what was read back", r.Sequence)
			}
		}
		last = receipt
	}
	for _, p := range render(t, sink, elsewhere) {
		content, err := held(p, last)
		if err != nil && !errors.Is(err, auditrelay.ErrMissing) {
			t.Errorf("what was not delivered: %v, want ErrMissing", err)
		}
		for i := range elsewhere.Records {
			if err == nil && bytes.Contains(content, elsewhere.Records[i].Data) {
				t.Errorf("record %d was not delivered, and was read back", elsewhere.Records[i].Sequence)
			}
		}
	}
}
