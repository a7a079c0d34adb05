package delivery

import (
	"errors"

	"auditrelay"
)

// RenderTest makes the payloads of an event that was never accepted, after the filters. Nothing of it may be
// sealed. The sink and the gate treat it as any other; its error is theirs.
func RenderTest(judged Judged, at Place) ([]auditrelay.Payload, error) {
	at.Receipts, at.Proofs = nil, nil
	// Sequence 0 is no event's, so that a destination that keeps records by sequence cannot
	// take it for one.
	batch := Batch{From: 0, To: 1, Judged: []Judged{judged}}
	a, err := Assemble(batch, at)
	if err != nil {
		return nil, err
	}
	if j := &a.Judged[0]; j.Outcome != auditrelay.Delivered {
		return nil, j.Err
	}
	if len(a.payloads) == 0 {
		return nil, errors.New("the sink made no payload of it")
	}
	return a.payloads, nil
}
