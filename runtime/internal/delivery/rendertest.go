package delivery

import (
	"errors"

	"auditrelay"
)

// RenderTest renders an event that was never accepted, after the filters. The caller must not
// seal the result. Sink and gate process it like any other event, and the error is theirs.
func RenderTest(judged Judged, at Place) ([]auditrelay.Payload, error) {
	at.Receipts, at.Proofs = nil, nil
	// No event has sequence 0, so a destination that stores records by sequence cannot confuse
	// it with one.
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
