package runtime_test

import (
	"bytes"
	"strings"
	"testing"

	"auditrelay"
	"auditrelay/builtin/redact"
	"auditrelay/filter"
	"auditrelay/internal/redaction"
	"auditrelay/runtime"
)

// TestEmittedRecordsInheritTheKnowledge: a value known to be a secret in an event occurs in no
// record that a guest emits from it, under any name, whether the filter that knows it comes
// before or after the guest, and with or without a gate.
func TestEmittedRecordsInheritTheKnowledge(t *testing.T) {
	const secret = "hunter2-in-the-Fall" // identified only by its name
	masking, err := redact.New(redact.Options{Rules: []redact.Rule{{Names: []string{"favourite"}, Do: redaction.Masked}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, field string
		gate        auditrelay.MustNotLeave
		policy      string // position of the filter that masks: before, after, or none
		refused     bool
	}{
		{"the gate's detectors know it by its name", "password", auditrelay.MustNotLeave{Detectors: []string{"secrets"}}, "", true},
		{"a policy masks it before the guest", "favourite", auditrelay.MustNotLeave{Detectors: []string{"secrets"}}, "before", true},
		{"a policy masks it after the guest", "favourite", auditrelay.MustNotLeave{Detectors: []string{"secrets"}}, "after", true},
		{"a policy masks it, without a gate", "favourite", auditrelay.MustNotLeave{}, "after", true},
		{"nobody knows it", "favourite", auditrelay.MustNotLeave{Detectors: []string{"secrets"}}, "", false},
		{"nobody knows it, without a gate", "password", auditrelay.MustNotLeave{}, "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			telling := fn(func(c *filter.Call) (auditrelay.Verdict, error) {
				if bytes.Contains(c.Event.Data, []byte(secret)) {
					c.Emitted = append(c.Emitted, filter.Emit{Target: "alerts", Data: []byte(`{"note":"it was ` + secret + ` before"}`)})
				}
				return auditrelay.Keep, nil
			})
			steps := []runtime.Step{{Name: "tell", Filter: telling.filter(), Emits: []string{"alerts"}}}
			mask := runtime.Step{Name: "mask", Filter: masking}
			switch tt.policy {
			case "before":
				steps = append([]runtime.Step{mask}, steps...)
			case "after":
				steps = append(steps, mask)
			}
			alerts := &memorySink{}
			r := start(t, runtime.Options{Callbacks: []runtime.Callback{
				quick(runtime.Callback{Name: "archive", MustNotLeave: tt.gate, Steps: steps}),
				quick(runtime.Callback{Name: "alerts", Receives: auditrelay.ReceivesEmitted, Sink: alerts}),
			}})
			submit(t, r, strings.TrimSuffix(event("a", "updated"), "}")+`,"updated_values":{"`+tt.field+`":"`+secret+`"}}`)
			settle(t, r)
			left := false
			for _, line := range alerts.lines() {
				left = left || strings.Contains(line, secret)
			}
			if left == tt.refused {
				t.Errorf("it left: %v", left)
			}
			if end := ending(t, r, "a", "archive"); (end.Cause == auditrelay.CauseLeak) != tt.refused {
				t.Errorf("it ended as %+v", end)
			}
		})
	}
}
