package runtime_test

import (
	"encoding/json"
	"strings"
	"testing"

	"auditrelay"
	"auditrelay/filter"
	"auditrelay/runtime"
)

var ocsf = auditrelay.Format{OCSF: &auditrelay.OCSF{}}

// record is the part of an OCSF record used by these tests.
type record struct {
	Class    int    `json:"class_uid"`
	Activity string `json:"activity_name"`
	Metadata struct {
		Sequence uint64 `json:"sequence"`
		Product  struct {
			Name string `json:"name"`
		} `json:"product"`
	} `json:"metadata"`
	Entity struct {
		UID string `json:"uid"`
	} `json:"entity"`
	Unmapped json.RawMessage `json:"unmapped"`
}

func asRecord(t *testing.T, line string) record {
	t.Helper()
	var r record
	if err := json.Unmarshal([]byte(line), &r); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	return r
}

// row returns an event about an object.
func row(id, action, object, more string) string {
	return `{"id":"` + id + `","updated_at":"2026-01-02T03:04:05+00:00","changed_by":"u","action":"` + action +
		`","table_name":"LiteLLM_TeamTable","object_id":"` + object + `"` + more + `}`
}

// TestAFormatWritesWhatTheFiltersLeft: a removed value occurs nowhere in the record. The record
// in place of a dead-lettered event has the same format.
func TestAFormatWritesWhatTheFiltersLeft(t *testing.T) {
	hide := fn(func(c *filter.Call) (auditrelay.Verdict, error) {
		if c.Event.ID == "bad" {
			return auditrelay.NoVerdict, &filter.Error{Cause: auditrelay.CauseTrap, Err: errDown}
		}
		for n := c.Document.Child(0, -1); n != -1; n = c.Document.Child(0, n) {
			if key := string(c.Document.AppendKey(nil, n)); key == "object_id" || key == "id" {
				if err := c.Document.SetString(n, []byte("***")); err != nil {
					return auditrelay.NoVerdict, err
				}
			}
		}
		return auditrelay.Keep, nil
	})
	sink := &memorySink{}
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{
		quick(runtime.Callback{Name: "siem", Sink: sink, Format: ocsf, Steps: []runtime.Step{{Name: "hide", Filter: hide.filter()}}})}})
	submit(t, r, row("first", "updated", "team-secret", ""), row("bad", "deleted", "team-secret", ""), row("third", "blocked", "team-secret", ""))
	settle(t, r)
	lines := sink.lines()
	for sequence, line := range lines {
		if strings.Contains(line, "team-secret") || strings.Contains(line, "first") {
			t.Errorf("sequence %d: it holds what the filter took out: %s", sequence, line)
		}
	}
	if got := asRecord(t, lines[1]); got.Class != 3004 || got.Activity != "Update" || got.Entity.UID != "***" || got.Metadata.Sequence != 1 {
		t.Errorf("an event: %s", lines[1])
	}
	grave := asRecord(t, lines[2])
	if grave.Class != 0 || grave.Activity != "Tombstone" {
		t.Errorf("a tombstone: %s", lines[2])
	}
	if ts := asTombstone(t, string(grave.Unmapped)); ts.Sequence != 2 || ts.Cause != "trap" {
		t.Errorf("what it stands for: %+v", ts)
	}
	if got := asRecord(t, lines[3]); got.Activity != "Disable" {
		t.Errorf("an event: %s", lines[3])
	}
	// A replayed dead letter is formatted on its way out.
	if got, want := account(t, r, "siem"), (runtime.Account{Assigned: 3, Delivered: 2, DeadLettered: 1, Balanced: true}); got != want {
		t.Errorf("account\n got %+v\nwant %+v", got, want)
	}
}

// TestTheGateChecksTheRecord: paths of the record and paths of the event both apply. A value
// that a filter took as a secret may occur in the fields about who did what.
func TestTheGateChecksTheRecord(t *testing.T) {
	for name, tt := range map[string]struct {
		gate auditrelay.MustNotLeave
		leak bool
	}{
		"a path of the event":                 {auditrelay.MustNotLeave{Paths: []string{"updated_values.plan"}}, true},
		"a path that the format makes":        {auditrelay.MustNotLeave{Paths: []string{"entity.uid"}}, true},
		"a path into the original":            {auditrelay.MustNotLeave{Paths: []string{"unmapped.updated_values.plan"}}, true},
		"a path of neither":                   {auditrelay.MustNotLeave{Paths: []string{"updated_values.other"}}, false},
		"detectors, which take its own parts": {auditrelay.MustNotLeave{Detectors: []string{"secrets", "pii"}}, false},
		"a field of a line":                   {auditrelay.MustNotLeave{Paths: []string{"duid"}}, true},
		"a path of the event in a line":       {auditrelay.MustNotLeave{Paths: []string{"updated_values.plan"}}, true},
		"detectors, in a line":                {auditrelay.MustNotLeave{Detectors: []string{"secrets", "pii"}}, false},
	} {
		format := ocsf
		if strings.Contains(name, "line") {
			format = auditrelay.Format{CEF: &auditrelay.CEF{}}
		}
		t.Run(name, func(t *testing.T) {
			sink := &memorySink{}
			learn := fn(func(c *filter.Call) (auditrelay.Verdict, error) {
				if c.Learn != nil {
					c.Learn([]byte("team-9bf31c7ff062936a"))
				}
				return auditrelay.Keep, nil
			})
			r := start(t, runtime.Options{Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "siem", Sink: sink, Format: format,
				MustNotLeave: tt.gate, Steps: []runtime.Step{{Name: "learn", Filter: learn.filter()}}})}})
			submit(t, r, row("a", "updated", "team-9bf31c7ff062936a", `,"updated_values":"{\"plan\":\"gold\"}"`))
			settle(t, r)
			want := runtime.Account{Assigned: 1, Delivered: 1, Balanced: true}
			if tt.leak {
				want = runtime.Account{Assigned: 1, DeadLettered: 1, Balanced: true}
			}
			if got := account(t, r, "siem"); got != want {
				t.Errorf("account\n got %+v\nwant %+v: %+v", got, want, ending(t, r, "a", "siem"))
			}
			if tt.leak && strings.Contains(sink.lines()[1], "team-9bf3") {
				t.Errorf("it left: %s", sink.lines()[1])
			}
		})
	}
}

// TestRecordsOfGuestsAndOfTheRelayAreFormatted: the digests in receipts are those of the
// delivered bytes.
func TestRecordsOfGuestsAndOfTheRelayAreFormatted(t *testing.T) {
	all, plain := &memorySink{}, &memorySink{}
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{
		quick(runtime.Callback{Name: "emitter", Sink: plain, Steps: []runtime.Step{{Name: "watch", Filter: emitting("siem").filter(), Emits: []string{"siem"}}}}),
		quick(runtime.Callback{Name: "siem", Sink: all, Format: ocsf, Receives: auditrelay.ReceivesBoth}),
	}})
	submit(t, r, row("a", "blocked", "team-1", ""))
	if err := r.Record(t.Context(), runtime.Change{By: runtime.By{Principal: "ops"}, Action: auditrelay.ActionUpdated, Table: "auditrelay_config", Object: "config"}); err != nil {
		t.Fatal(err)
	}
	settle(t, r)
	seen := map[string]record{}
	for _, line := range all.lines() {
		got := asRecord(t, line)
		seen[got.Metadata.Product.Name+" "+got.Activity] = got
	}
	if got := seen["LiteLLM Disable"]; got.Class != 3004 {
		t.Errorf("the event: %+v", seen)
	}
	if got := seen["auditrelay Update"]; got.Class != 3004 || got.Entity.UID != "config" {
		t.Errorf("the relay's own: %+v", seen)
	}
	if got := seen["auditrelay Unknown"]; got.Class != 0 || string(got.Unmapped) != `{"alert":"a"}` {
		t.Errorf("the guest's: %+v", seen)
	}
	digests := map[string]runtime.Receipt{}
	for _, one := range receiptsOf(t, r, runtime.ReceiptQuery{}) {
		digests[one.Callback+" "+one.ID] = one
	}
	if one := digests["emitter a"]; one.Output == "" || one.Output != one.Input {
		t.Errorf("without a format the digests of what came and left are equal: %+v", one)
	}
	if one := digests["siem a"]; one.Output == "" || one.Output == one.Input || one.Input != digests["emitter a"].Input {
		t.Errorf("with one the digest is of the record: %+v", one)
	}
}

// TestAFormatIsChecked: Go programs get the check too.
func TestAFormatIsChecked(t *testing.T) {
	bad := auditrelay.Format{OCSF: &auditrelay.OCSF{Original: 9}, CloudEvents: &auditrelay.CloudEvents{Source: "a b"}}
	_, err := runtime.Open(t.Context(), runtime.Options{Callbacks: []runtime.Callback{{Name: "siem", Sink: &memorySink{}, Format: bad}}})
	for _, want := range []string{"two formats", "format.ocsf.original", "format.cloudevents.source"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not tell %q", err, want)
		}
	}
}
