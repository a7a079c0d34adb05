package runtime_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"auditrelay"
	"auditrelay/document"
	"auditrelay/filter"
	"auditrelay/runtime"
)

// A tap shows an event when it is accepted, after the filters of a callback, drops included,
// and when delivery of its payload was attempted.
func TestTap(t *testing.T) {
	secret, err := document.ParsePath("secret")
	if err != nil {
		t.Fatal(err)
	}
	redact := fn(func(c *filter.Call) (auditrelay.Verdict, error) {
		if c.Event.Action == auditrelay.ActionBlocked {
			return auditrelay.Drop, nil
		}
		return auditrelay.Keep, c.Document.SetString(c.Document.Find(secret), []byte("***"))
	})
	r := start(t, runtime.Options{Dir: t.TempDir(), Callbacks: []runtime.Callback{quick(runtime.Callback{
		Name: "archive", Sink: &memorySink{}, Steps: []runtime.Step{{Name: "redact", Filter: redact.filter()}},
	})}})
	tap, err := r.Tap(func(l *runtime.TapLine) bool { return l.Table == "LiteLLM_TeamTable" || l.Payload != 0 })
	if err != nil {
		t.Fatal(err)
	}
	defer tap.Close()
	submit(t, r, event("kept", "created"))
	next := func(stage runtime.Stage) runtime.TapLine {
		t.Helper()
		l := <-tap.Lines()
		if l.Stage != stage || l.Sequence == 0 {
			t.Errorf("expected %s, got %+v", stage, l)
		}
		return l
	}
	if l := next(runtime.StageAccepted); l.ID != "kept" || !strings.Contains(string(l.Data), "s3cr3t") {
		t.Errorf("%+v", l)
	}
	if l := next(runtime.StageFiltered); l.Callback != "archive" || l.Outcome != auditrelay.Delivered || strings.Contains(string(l.Data), "s3cr3t") || !strings.Contains(string(l.Data), "***") {
		t.Errorf("%+v %s", l, l.Data)
	}
	if l := next(runtime.StageDelivered); l.Records != 1 || l.Err != nil || l.Data != nil {
		t.Errorf("%+v", l)
	}
	submit(t, r, event("dropped", "blocked"))
	next(runtime.StageAccepted)
	if l := next(runtime.StageFiltered); l.Outcome != auditrelay.Filtered || l.Filter != "redact" || l.Data != nil {
		t.Errorf("%+v", l)
	}
}

// An unread tap delays nothing: lines are lost and counted.
func TestASlowTapLosesLines(t *testing.T) {
	r := start(t, runtime.Options{Dir: t.TempDir(), Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "archive", Sink: &memorySink{}})}})
	tap, err := r.Tap(nil)
	if err != nil {
		t.Fatal(err)
	}
	var events []string
	for i := range 400 {
		events = append(events, event(fmt.Sprint("e", i), "created"))
	}
	submit(t, r, events...)
	settle(t, r)
	if tap.Lost() == 0 {
		t.Error("no line was lost, or it was not counted")
	}
	if got := account(t, r, "archive"); got.Delivered != 400 {
		t.Errorf("account %+v", got)
	}
	tap.Close()
	for range runtime.MaxTaps {
		one, err := r.Tap(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer one.Close()
	}
	if _, err := r.Tap(nil); !errors.Is(err, runtime.ErrTaps) {
		t.Error("one tap more than the maximum:", err)
	}
}
