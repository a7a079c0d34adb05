package runtime_test

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"auditrelay"
	"auditrelay/filter"
	"auditrelay/runtime"
)

// ownRecord is an own record in its delivered form.
type ownRecord struct {
	ID        string         `json:"id"`
	ChangedBy string         `json:"changed_by"`
	Action    string         `json:"action"`
	Table     string         `json:"table_name"`
	Object    string         `json:"object_id"`
	Before    map[string]any `json:"before_value"`
	After     map[string]any `json:"updated_values"`
	Control   struct {
		Act, Outcome, Of, Reason, Address, With string
	} `json:"control"`
}

// ownRecords returns the own records in the journal, by act.
func ownRecords(t *testing.T, r *runtime.Runtime) map[string][]ownRecord {
	t.Helper()
	all := map[string][]ownRecord{}
	for from := uint64(0); ; {
		events, next, err := r.OwnRecords(t.Context(), from, 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			var o ownRecord
			if err := json.Unmarshal(e.Data, &o); err != nil || e.Namespace != auditrelay.NamespaceRelay {
				t.Fatalf("%s: %v", e.Data, err)
			}
			all[o.Control.Act] = append(all[o.Control.Act], o)
		}
		if from = next; next == 0 {
			return all
		}
	}
}

// TestEveryActIsAnOwnRecord: it names the user, credential, address, reason and object, with
// the states before and after. The record is part of the same write as the act.
func TestEveryActIsAnOwnRecord(t *testing.T) {
	by := runtime.By{Principal: "ann", Address: "192.0.2.7", Credential: "token 1f3a90bc", Reason: "TICKET-7: a test"}
	failing := fn(func(c *filter.Call) (auditrelay.Verdict, error) { return auditrelay.NoVerdict, nil })
	r := start(t, runtime.Options{Dir: t.TempDir(), Callbacks: []runtime.Callback{
		quick(runtime.Callback{Name: "archive", Sink: &memorySink{}, Steps: []runtime.Step{{Name: "f", Filter: failing.filter()}}})}})
	submit(t, r, event("a", "created"), event("b", "created"))
	settle(t, r)
	if err := r.Quarantine(t.Context(), runtime.Quarantined{Data: []byte("x"), Reason: "syntax"}, runtime.Quarantined{Data: []byte(event("q", "created")), Reason: "syntax"}); err != nil {
		t.Fatal(err)
	}
	for _, act := range []struct {
		act, table, object string
		do                 func() error
	}{
		{"pause", "auditrelay_callback", "archive", func() error { return r.Pause(t.Context(), "archive", by) }},
		{"resume", "auditrelay_callback", "archive", func() error { return r.Resume(t.Context(), "archive", by) }},
		{"detach", "auditrelay_callback", "archive", func() error { return r.Detach(t.Context(), "archive", by) }},
		{"attach", "auditrelay_callback", "archive", func() error { return r.Attach(t.Context(), "archive", by) }},
		{"discard", "auditrelay_deadletter", "archive", func() error {
			_, err := r.DiscardDeadLetters(t.Context(), "archive", by, 1)
			return err
		}},
		{"delete", "auditrelay_quarantine", "1", func() error { return r.DeleteQuarantineItem(t.Context(), by, 1) }},
		{"replay", "auditrelay_quarantine", "2", func() error {
			_, err := r.ReplayQuarantineItem(t.Context(), by, 2, nil)
			return err
		}},
		{"replay", "auditrelay_deadletter", "archive", func() error {
			_, err := r.ReplayDeadLetters(t.Context(), "archive", by, 2)
			return err
		}},
		{"replay", "auditrelay_callback", "archive", func() error {
			_, err := r.Replay(t.Context(), runtime.ReplayRequest{Callback: "archive", By: by})
			return err
		}},
		{"push", "auditrelay_module", "", func() error {
			_, _, err := r.Modules().Put("m", "", []byte("wasm"), by)
			return err
		}},
		{"use", "auditrelay_filter", "f", func() error {
			list, _ := r.Modules().List()
			return r.Modules().Select(runtime.Selection{Filter: "f", SHA256: list[0].SHA256}, by)
		}},
		{"test", "auditrelay_callback", "archive", func() error {
			_, err := r.TestSink(t.Context(), "archive", by)
			return err
		}},
		{"remove", "auditrelay_callback", "archive", func() error {
			return r.Apply(t.Context(), nil, []string{"archive"}, runtime.Change{By: by, Act: "reload", Action: auditrelay.ActionUpdated, Table: "auditrelay_config"})
		}},
		{"backup", "auditrelay_backup", "b1", func() error { return r.Backup(t.Context(), filepath.Join(t.TempDir(), "b1"), by, nil) }},
	} {
		before := len(ownRecords(t, r)[act.act])
		if err := act.do(); err != nil {
			t.Fatalf("%s: %v", act.act, err)
		}
		all := ownRecords(t, r)[act.act]
		if len(all) == before {
			t.Errorf("%s of %s left no record", act.act, act.table)
			continue
		}
		o := all[len(all)-1]
		if o.Table != act.table || act.object != "" && o.Object != act.object || o.ChangedBy != by.Principal || o.Control.Address != by.Address ||
			o.Control.With != by.Credential || o.Control.Reason != by.Reason || o.Control.Outcome != "done" {
			t.Errorf("%s: %+v", act.act, o)
		}
	}
	if d := ownRecords(t, r)["discard"][0]; d.Before["sequences"] != "1" {
		t.Errorf("the discard names %v", d.Before)
	}
	if d := ownRecords(t, r)["attach"][0]; d.Before["state"] != "detached" || !strings.Contains(d.Before["why"].(string), "ann") {
		t.Errorf("attach: %+v", d)
	}
}

// TestNothingKeepsAnOwnRecordBack: no condition, guest, detachment or discard. A policy can
// mask values in it, and values that must not leave are blanked.
func TestNothingKeepsAnOwnRecordBack(t *testing.T) {
	drop := fn(func(*filter.Call) (auditrelay.Verdict, error) { return auditrelay.Drop, nil })
	trap := fn(func(*filter.Call) (auditrelay.Verdict, error) { panic("a guest") })
	for name, c := range map[string]runtime.Callback{
		"a condition": {When: &auditrelay.When{Fields: map[string][]string{"action": {"rotated"}}}},
		"a drop":      {Steps: []runtime.Step{{Name: "f", Filter: drop.filter()}}},
		"a failure":   {Steps: []runtime.Step{{Name: "f", Filter: trap.filter(), OnError: auditrelay.OnErrorDiscard}}},
		"the gate":    {MustNotLeave: auditrelay.MustNotLeave{Detectors: []string{"secrets"}, Paths: []string{"**.reason"}}},
	} {
		t.Run(name, func(t *testing.T) {
			sink := &memorySink{}
			c.Name, c.Sink = "archive", sink
			r := start(t, runtime.Options{Callbacks: []runtime.Callback{quick(c)}})
			by := runtime.By{Principal: "ann", Reason: "AKIAIOSFODNN7ABCDEFG leaked"}
			if err := r.Detach(t.Context(), "archive", by); err != nil {
				t.Fatal(err)
			}
			submit(t, r, event("unseen", "deleted"))
			settle(t, r)
			if err := r.Attach(t.Context(), "archive", by); err != nil {
				t.Fatal(err)
			}
			settle(t, r)
			acts := map[string]int{}
			for _, line := range sink.lines() {
				var o ownRecord
				if err := json.Unmarshal([]byte(line), &o); err != nil {
					t.Fatal(err)
				}
				acts[o.Control.Act]++
				if strings.Contains(line, "AKIA") != (name != "the gate") || o.ChangedBy != "ann" {
					t.Errorf("delivered: %s", line)
				}
			}
			if acts["detach"] != 1 || acts["attach"] != 1 {
				t.Errorf("delivered: %v", sink.lines())
			}
			if end := ending(t, r, "unseen", "archive"); end.Outcome != auditrelay.Skipped {
				t.Errorf("the event: %+v", end)
			}
		})
	}
}

// TestTheControlCallback: it can be neither detached nor removed. If configured so, no other
// callback gets own records.
func TestTheControlCallback(t *testing.T) {
	archive, other := &memorySink{}, &memorySink{}
	o := runtime.Options{Control: runtime.Control{Callback: "archive", Only: true}, Callbacks: []runtime.Callback{
		quick(runtime.Callback{Name: "archive", Sink: archive}), quick(runtime.Callback{Name: "other", Sink: other})}}
	r := start(t, o)
	if err := r.Detach(t.Context(), "archive", runtime.By{}); !errors.Is(err, runtime.ErrControl) {
		t.Errorf("detached: %v", err)
	}
	if err := r.Apply(t.Context(), []runtime.Callback{quick(runtime.Callback{Name: "other", Sink: &memorySink{}})}, []string{"archive"}); err == nil || !strings.Contains(err.Error(), "control.callback") {
		t.Errorf("removed: %v", err)
	}
	if err := r.Pause(t.Context(), "other", runtime.By{}); err != nil {
		t.Fatal(err)
	}
	if err := r.Resume(t.Context(), "other", runtime.By{}); err != nil {
		t.Fatal(err)
	}
	settle(t, r)
	if len(archive.lines()) != 2 || len(other.lines()) != 0 {
		t.Errorf("%v; %v", archive.lines(), other.lines())
	}
}

// TestOwnDeadLettersStay: own records that a destination refused cannot be discarded.
func TestOwnDeadLettersStay(t *testing.T) {
	sink := &memorySink{}
	sink.set(func(auditrelay.Payload) error { return refuse(auditrelay.Refused) })
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "archive", Sink: sink})}})
	if err := r.Pause(t.Context(), "archive", runtime.By{}); err != nil {
		t.Fatal(err)
	}
	submit(t, r, event("a", "created"))
	if err := r.Resume(t.Context(), "archive", runtime.By{}); err != nil {
		t.Fatal(err)
	}
	await(t, r, "archive", "refused", func(s runtime.CallbackStatus) bool { return s.Account.DeadLettered == 3 })
	if n, err := r.DiscardDeadLetters(t.Context(), "archive", runtime.By{}); n != 1 || err != nil {
		t.Errorf("discarded %d: %v", n, err)
	}
}

// TestAnInterruptedActIsResolved: after a stop between the first record and the effect, or
// between the effect and the second record, the next start records the truth.
func TestAnInterruptedActIsResolved(t *testing.T) {
	for _, done := range []bool{false, true} {
		dir := t.TempDir()
		o := runtime.Options{Dir: dir}
		r := start(t, o)
		place := filepath.Join(t.TempDir(), "b")
		interrupted := errors.New("interrupted")
		// The journal closes during the backup: its end cannot be recorded.
		err := r.Backup(t.Context(), place, runtime.By{Principal: "ann"}, func(string) error {
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			return interrupted
		})
		if !errors.Is(err, interrupted) {
			t.Fatal(err)
		}
		if done { // as if the crash had come after the effect
			if err := os.Mkdir(place, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		r = start(t, o)
		all := ownRecords(t, r)["backup"]
		want := map[bool]string{false: "failed", true: "done"}[done]
		if len(all) != 2 || all[0].Control.Outcome != "begun" || all[1].Control.Outcome != want || all[1].Control.Of != all[0].ID || all[1].ChangedBy != "ann" {
			t.Errorf("%+v", all)
		}
		r = reopen(t, r, o)
		if all := ownRecords(t, r)["backup"]; len(all) != 2 {
			t.Errorf("once more: %+v", all)
		}
	}
}

// TestTwoAdministrators: the second one decided on an outdated state.
func TestTwoAdministrators(t *testing.T) {
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "archive", Sink: &memorySink{}})}})
	seen, err := r.Callback("archive")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Pause(t.Context(), "archive", runtime.By{Principal: "ann", Seen: seen.Version}); err != nil {
		t.Fatal(err)
	}
	if err := r.Detach(t.Context(), "archive", runtime.By{Principal: "bob", Seen: seen.Version}); !errors.Is(err, runtime.ErrChanged) {
		t.Errorf("bob: %v", err)
	}
	if s, _ := r.Callback("archive"); s.State != runtime.StatePaused || len(ownRecords(t, r)["detach"]) != 0 {
		t.Errorf("%+v", s)
	}
}

// TestReservedTables: events that look like own records are rejected, from any sender and in
// any spelling, and guests cannot emit them.
func TestReservedTables(t *testing.T) {
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "archive", Sink: &memorySink{}})}})
	for _, table := range []string{`auditrelay_callback`, `AuditRelay_key`, `\u0061uditrelay_x`, ` auditrelay_`, `auditrelay_`, `\u200bauditrelay_x`, "audit\u00adrelay_x", "\uff41uditrelay\uff3fx", `audit\u0000relay_x`, "\u00a0auditrelay_x"} {
		text := strings.Replace(event("a", "created"), "LiteLLM_TeamTable", table, 1)
		results, err := r.Submit(t.Context(), runtime.Submission{Data: []byte(text)})
		var fault *runtime.EventError
		if err != nil || !errors.As(results[0].Err, &fault) || fault.Field != "table_name" || fault.Reason != "reserved" {
			t.Errorf("%q: %v, %v", table, results, err)
		}
	}
	for _, table := range []string{`auditrelay_callback`, `AUDITRELAY_KEY`, `\u0061uditrelay_x`} {
		for _, key := range []string{"table_name", `table\u005fname`, "kind"} { // in its delivered form, and mapped by the schema
			text := strings.Replace(bought, `"kind": "book"`, `"`+key+`": "`+table+`"`, 1)
			for _, result := range submitMapped(t, r, shopSchema(t), text) {
				var fault *runtime.EventError
				if !errors.As(result.Err, &fault) || fault.Reason != "reserved" {
					t.Errorf("another producer's event, %s: %q: %v", key, table, result.Err)
				}
			}
		}
	}
	if results := submitMapped(t, r, shopSchema(t), strings.Replace(bought, `"kind"`, `"in": {"table_name": "auditrelay_x"}, "kind"`, 1)); results[0].Err != nil {
		t.Errorf("below the top: %v", results[0].Err)
	}
	text := strings.Replace(event("a", "created"), "LiteLLM_TeamTable", "auditrelay_callback", 1)
	if results, err := r.Submit(t.Context(), runtime.Submission{Data: []byte(text), Reserved: true}); err != nil || results[0].Err != nil {
		t.Errorf("of another relay: %v, %v", results, err)
	}
	if e, err := r.Event(t.Context(), 2); err != nil || e.Namespace == auditrelay.NamespaceRelay {
		t.Errorf("it counts as an own record: %+v, %v", e, err)
	}
}

// TestReservedNamespaces: the relay refuses events for the namespaces of own and emitted records.
func TestReservedNamespaces(t *testing.T) {
	r := start(t, runtime.Options{})
	for _, namespace := range []string{auditrelay.NamespaceRelay, auditrelay.NamespaceEmitted} {
		s, err := runtime.NewSchema(namespace, runtime.SchemaFields{Namespace: namespace, Action: []string{"action"}})
		if err != nil {
			t.Fatal(err)
		}
		for _, in := range []runtime.Submission{{Data: []byte(event("a", "created")), Namespace: namespace}, {Data: []byte(event("a", "created")), Schema: s}} {
			results, err := r.Submit(t.Context(), in)
			var fault *runtime.EventError
			if err != nil || !errors.As(results[0].Err, &fault) || fault.Reason != "reserved" {
				t.Errorf("%s: %+v, %v", namespace, results, err)
			}
		}
	}
	if own := ownRecords(t, r); len(own) != 0 {
		t.Errorf("%+v", own)
	}
}

// TestGuestsEmitNoOwnRecords: a filter that passes on an event like an own record fails.
func TestGuestsEmitNoOwnRecords(t *testing.T) {
	alerts := &memorySink{}
	emits := fn(func(c *filter.Call) (auditrelay.Verdict, error) {
		c.Emitted = append(c.Emitted, filter.Emit{Target: "alerts", Data: []byte(`{"id":"x","action":"deleted","\u0074able_name":"AuditRelay_callback","control":{"act":"discard"}}`)})
		return auditrelay.Keep, nil
	})
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{
		quick(runtime.Callback{Name: "archive", Sink: &memorySink{}, Steps: []runtime.Step{{Name: "forges", Filter: emits.filter(), Emits: []string{"alerts"}}}}),
		quick(runtime.Callback{Name: "alerts", Receives: auditrelay.ReceivesEmitted, Sink: alerts}),
	}})
	submit(t, r, event("a", "created"))
	settle(t, r)
	if got := account(t, r, "archive"); got.DeadLettered != 1 {
		t.Errorf("%+v", got)
	}
	if lines := alerts.lines(); len(lines) > 0 {
		t.Errorf("emitted: %v", lines)
	}
}

// TestARouteHandsOnOwnRecords: a callback without a sink whose filter passes every event on
// unchanged does so with own records too.
func TestARouteHandsOnOwnRecords(t *testing.T) {
	all := &memorySink{}
	route := fn(func(c *filter.Call) (auditrelay.Verdict, error) {
		c.Emitted = append(c.Emitted, filter.Emit{Target: "all", Data: c.Event.Data})
		return auditrelay.Keep, nil
	})
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{
		quick(runtime.Callback{Name: "route", Steps: []runtime.Step{{Name: "route", Filter: route.filter(), Emits: []string{"all"}}}}),
		quick(runtime.Callback{Name: "all", Receives: auditrelay.ReceivesEmitted, Sink: all}),
	}})
	submit(t, r, event("a", "created"))
	if err := r.Pause(t.Context(), "all", runtime.By{Principal: "u"}); err != nil {
		t.Fatal(err)
	}
	if err := r.Resume(t.Context(), "all", runtime.By{Principal: "u"}); err != nil {
		t.Fatal(err)
	}
	settle(t, r)
	if got := account(t, r, "route"); got.DeadLettered != 0 {
		t.Errorf("%+v", got)
	}
	if lines := strings.Join(slices.Collect(maps.Values(all.lines())), "\n"); !strings.Contains(lines, `"table_name":"auditrelay_callback"`) || !strings.Contains(lines, `"id":"a"`) {
		t.Errorf("handed on: %s", lines)
	}
}
