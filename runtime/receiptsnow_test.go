package runtime_test

import (
	"bytes"
	"fmt"
	"testing"

	"auditrelay"
	"auditrelay/runtime"
)

// TestReceiptsTellWhatBecameOfAnEvent: besides the outcome at the seal, a receipt shows the
// current outcome. Waiting, refused, repeatedly refused, discarded and given-up events do not
// appear as delivered.
func TestReceiptsTellWhatBecameOfAnEvent(t *testing.T) {
	t.Parallel()
	sink := &memorySink{deliver: func(p auditrelay.Payload) error {
		for _, id := range []string{`"refused"`, `"discarded"`, `"again"`} {
			if bytes.Contains(p.Body, []byte(id)) {
				return refuse(auditrelay.Refused)
			}
		}
		if bytes.Contains(p.Body, []byte(`"waits"`)) {
			return errDown
		}
		return nil
	}}
	c := quick(runtime.Callback{Name: "archive", Sink: sink})
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{c}})
	sequences := map[string]uint64{}
	for _, id := range []string{"refused", "discarded", "again", "sent"} {
		sequences[id] = submit(t, r, event(id, "created"))[0].Sequence
	}
	settle(t, r)
	by := runtime.By{Principal: "ops", Reason: "a test"}
	if n, err := r.DiscardDeadLetters(t.Context(), "archive", by, sequences["discarded"]); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if n, err := r.ReplayDeadLetters(t.Context(), "archive", by, sequences["again"]); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	settle(t, r)
	submit(t, r, event("waits", "created"))
	await(t, r, "archive", "degraded", inState(runtime.StateDegraded))
	check := func(want map[string]string) {
		t.Helper()
		got := map[string]string{}
		for _, one := range receiptsOf(t, r, runtime.ReceiptQuery{}) {
			if one.Namespace != auditrelay.NamespaceRelay {
				got[one.ID] = fmt.Sprint(one.Now, " ", one.Refused) // the last counts
			}
		}
		for id, w := range want {
			if got[id] != w {
				t.Errorf("the last receipt of %s says %q, want %q", id, got[id], w)
			}
		}
	}
	want := map[string]string{"refused": "dead_lettered refused", "discarded": "discarded refused", "again": "dead_lettered refused", "sent": "delivered ", "waits": "pending "}
	check(want)
	if err := r.Detach(t.Context(), "archive", by); err != nil {
		t.Fatal(err)
	}
	settle(t, r) // a payload that is being sent stays pending until its attempt ends
	want["waits"] = "skipped "
	check(want)
}
