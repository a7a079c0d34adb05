package runtime_test

import (
	"errors"
	"strings"
	"testing"

	"auditrelay"
	"auditrelay/filter"
	"auditrelay/runtime"
)

// TestSinkIsTested: a marked event reaches the destination without condition and filters, also
// on a paused callback, and is in no account.
func TestSinkIsTested(t *testing.T) {
	sink := &memorySink{}
	drop := fn(func(*filter.Call) (auditrelay.Verdict, error) { return auditrelay.Drop, nil })
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{quick(runtime.Callback{
		Name: "archive", Sink: sink, Steps: []runtime.Step{{Name: "drop", Filter: drop.filter()}},
		When: &auditrelay.When{Fields: map[string][]string{"action": {"rotated"}}},
	})}})
	if err := r.Pause(t.Context(), "archive", runtime.By{Principal: "ops"}); err != nil {
		t.Fatal(err)
	}
	result, err := r.TestSink(t.Context(), "archive", runtime.By{Principal: "ann"})
	if err != nil || !result.Delivered || result.Bytes == 0 || result.Location == "" || result.Error != "" {
		t.Fatalf("%+v, %v", result, err)
	}
	sent := sink.lines()[0]
	if len(sink.lines()) != 1 || !strings.Contains(sent, `"table_name":"auditrelay_test"`) || !strings.Contains(sent, `"test":true`) || !strings.Contains(sent, result.ID) {
		t.Errorf("sent: %v", sink.lines())
	}
	if got := account(t, r, "archive"); got != (runtime.Account{Assigned: 3, Pending: 3, Balanced: true}) { // own records of the pause and of the test
		t.Errorf("the account: %+v", got)
	}
	if list, _, err := r.Deliveries(t.Context(), runtime.DeliveryQuery{}); err != nil || len(list) != 0 {
		t.Errorf("deliveries: %+v, %v", list, err)
	}
	if _, err := r.Explain(t.Context(), "", result.ID); !errors.Is(err, runtime.ErrNotSeen) {
		t.Errorf("explained: %v", err)
	}
	if _, err := r.TestSink(t.Context(), "none", runtime.By{Principal: "ann"}); !errors.Is(err, runtime.ErrNoCallback) {
		t.Errorf("an unknown callback: %v", err)
	}
}

// TestSinkTestHasTheCallbacksFormat: the destination gets the same form as for every event.
func TestSinkTestHasTheCallbacksFormat(t *testing.T) {
	sink := &memorySink{}
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{quick(runtime.Callback{
		Name: "archive", Sink: sink, Format: auditrelay.Format{CloudEvents: &auditrelay.CloudEvents{}},
	})}})
	if result, err := r.TestSink(t.Context(), "archive", runtime.By{Principal: "ann"}); err != nil || !result.Delivered {
		t.Fatalf("%+v, %v", result, err)
	}
	if sent := sink.lines()[0]; !strings.Contains(sent, `"specversion":"1.0"`) || !strings.Contains(sent, "auditrelay_test") {
		t.Errorf("sent: %s", sent)
	}
}

// TestSinkTestFails: the answer is reported as for an event, without an effect on the callback.
func TestSinkTestFails(t *testing.T) {
	refused := &memorySink{deliver: func(auditrelay.Payload) error {
		return &auditrelay.DeliveryError{Kind: auditrelay.Unauthorized, Status: 401, Answer: "who?", Reason: auditrelay.ReasonAnswer, Err: errors.New("status 401")}
	}}
	gated := &memorySink{}
	// The test's own records go elsewhere, since they would be deliveries too.
	r := start(t, runtime.Options{Control: runtime.Control{Callback: "control", Only: true}, Callbacks: []runtime.Callback{
		quick(runtime.Callback{Name: "control", Sink: &memorySink{}}),
		quick(runtime.Callback{Name: "refused", Sink: refused}),
		quick(runtime.Callback{Name: "gated", Sink: gated, MustNotLeave: auditrelay.MustNotLeave{Paths: []string{"object_id"}}}),
	}})
	result, err := r.TestSink(t.Context(), "refused", runtime.By{Principal: "ann"})
	if err != nil || result.Delivered || result.Status != 401 || result.Kind != "unauthorized" || result.Reason != auditrelay.ReasonAnswer ||
		result.Answer != "who?" || !strings.Contains(result.Effect, "stall") {
		t.Errorf("%+v, %v", result, err)
	}
	if s, err := r.Callback("refused"); err != nil || s.State != runtime.StateActive || s.LastError != "" {
		t.Errorf("the callback: %+v, %v", s, err)
	}
	result, err = r.TestSink(t.Context(), "gated", runtime.By{Principal: "ann"})
	if err != nil || result.Delivered || result.Reason != auditrelay.ReasonRecords || result.Error == "" {
		t.Errorf("%+v, %v", result, err)
	}
	if n, _ := gated.count(); n != 0 {
		t.Errorf("%d payloads left past the gate", n)
	}
}

// TestSinkStaysOpenDuringItsTest: a reload that replaces the callback closes the old sink only
// after the test.
func TestSinkStaysOpenDuringItsTest(t *testing.T) {
	sending, goOn := make(chan struct{}), make(chan struct{})
	old := &memorySink{deliver: func(auditrelay.Payload) error {
		close(sending)
		<-goOn
		return nil
	}}
	control := quick(runtime.Callback{Name: "control", Sink: &memorySink{}}) // for the test's own records
	r := start(t, runtime.Options{Control: runtime.Control{Callback: "control", Only: true},
		Callbacks: []runtime.Callback{control, quick(runtime.Callback{Name: "archive", Digest: "a", Sink: old})}})
	done := make(chan error, 1)
	go func() {
		result, err := r.TestSink(t.Context(), "archive", runtime.By{Principal: "ann"})
		if err == nil && !result.Delivered {
			err = errors.New(result.Error)
		}
		done <- err
	}()
	<-sending
	if err := r.Apply(t.Context(), []runtime.Callback{control, quick(runtime.Callback{Name: "archive", Digest: "b", Sink: &memorySink{}})}, nil); err != nil {
		t.Fatal(err)
	}
	if _, closed := old.count(); closed != 0 {
		t.Error("the sink was closed under its test")
	}
	close(goOn)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, closed := old.count(); closed != 1 {
		t.Errorf("the old sink was closed %d times, want once", closed)
	}
}
