package runtime

import (
	"context"
	"testing"
	"time"

	"auditrelay"
)

// heldSink holds the payloads it is told to.
type heldSink struct {
	noSink
	held string
}

func (s *heldSink) ReadBack(context.Context, auditrelay.Payload, auditrelay.Receipt) ([]byte, error) {
	return []byte(s.held), nil
}

// TestACanaryKeepsTheWorst: if one of several payloads with the canary contains a secret at the
// destination, that one counts, in any order.
func TestACanaryKeepsTheWorst(t *testing.T) {
	for _, order := range [][]CanaryResult{{CanaryExposed, CanaryMasked}, {CanaryMasked, CanaryExposed}, {CanaryMissing, CanaryMasked}, {CanaryExposed, CanaryMissing}} {
		c := newCanary(time.Now())
		c.ReadBack = []string{"one"}
		held := map[CanaryResult]string{CanaryExposed: c.ID + c.Secrets[0], CanaryMasked: c.ID, CanaryMissing: ""}
		sink := new(heldSink)
		r := new(Runtime)
		r.canary.Store(c)
		for _, result := range order {
			sink.held = held[result]
			r.sight(t.Context(), &Callback{Name: "one", Sink: sink, Timeout: time.Minute}, "", &auditrelay.Payload{Body: []byte(c.ID)}, auditrelay.Receipt{})
		}
		want := order[0]
		if want == CanaryMasked {
			want = order[1]
		}
		if got := c.Sights()["one"].Back; got != want {
			t.Errorf("%v: %s", order, got)
		}
	}
}
