package runtime_test

import (
	"errors"
	"testing"

	"auditrelay"
	"auditrelay/filter"
	"auditrelay/runtime"
)

// Each day shows how many events were accepted, and which callbacks have pending ones of that
// day. Each log is compared with its checkpoint.
func TestCompleteness(t *testing.T) {
	r, _, _ := proving(t, runtime.Options{})
	submit(t, r, event("e1", "created"), event("e2", "created"))
	settle(t, r)
	if _, err := r.Prove(t.Context(), "", "e2", ""); err != nil { // creates a signature
		t.Fatal(err)
	}
	got, err := r.Completeness(t.Context(), 30)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Days) == 0 || len(got.Days) > 2 {
		t.Fatalf("%+v", got.Days)
	}
	total := uint64(0)
	for _, d := range got.Days {
		total += d.Next - d.First
		if len(d.Open) > 0 || d.Erased > 0 || d.Forgotten {
			t.Errorf("%+v", d)
		}
	}
	if total != 2 {
		t.Errorf("%d events", total)
	}
	if len(got.Logs) != 2 || got.Logs[0].Callback != "" || got.Logs[1].Callback != "archive" {
		t.Fatalf("%+v", got.Logs)
	}
	for _, l := range got.Logs {
		if l.Fault != "" || l.Signed > l.Size || l.Callback != "" && l.Signed == 0 {
			t.Errorf("%+v", l)
		}
	}
}

func TestCompletenessOfWhatIsLeft(t *testing.T) {
	failing := fn(func(c *filter.Call) (auditrelay.Verdict, error) {
		if c.Event.ID == "bad" {
			return auditrelay.NoVerdict, errors.New("it breaks")
		}
		return auditrelay.Keep, nil
	})
	down := &memorySink{deliver: func(auditrelay.Payload) error { return errDown }}
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{
		quick(runtime.Callback{Name: "down", Sink: down}),
		quick(runtime.Callback{Name: "failing", Sink: &memorySink{}, Steps: []runtime.Step{{Name: "f", Filter: failing.filter()}}}),
	}})
	submit(t, r, event("good", "created"), event("bad", "created"))
	await(t, r, "failing", "settled", func(s runtime.CallbackStatus) bool { return s.Account.Pending == 0 && s.Account.Assigned == 2 })
	got, err := r.Completeness(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	d := got.Days[0]
	if len(got.Days) != 1 || d.Signed || len(d.Open) != 2 || d.Open[0] != (runtime.CompleteCallback{Callback: "down", Pending: true}) ||
		d.Open[1] != (runtime.CompleteCallback{Callback: "failing", DeadLetters: 1}) {
		t.Errorf("%+v", got)
	}
}

// A checkpoint that does not fit the log, such as one of another key, is reported.
func TestCompletenessTellsOfCheckpointsThatDoNotFit(t *testing.T) {
	dir := t.TempDir()
	r, _, _ := proving(t, runtime.Options{Dir: dir})
	submit(t, r, event("e1", "created"))
	settle(t, r)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r, _, _ = proving(t, runtime.Options{Dir: dir})
	got, err := r.Completeness(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Logs) != 2 || got.Logs[1].Fault == "" {
		t.Errorf("%+v", got.Logs)
	}
}
