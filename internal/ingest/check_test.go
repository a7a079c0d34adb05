package ingest_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/document"
	"auditrelay/internal/ingest"
	"auditrelay/internal/test/corpus"

	"github.com/google/go-cmp/cmp"
)

func TestCheckReadsTheEnvelope(t *testing.T) {
	data := []byte(` {"id": "e\u002d1", "up\u0064ated_at": "2025-06-01T08:00:00.000001+00:00", "action": "created",
		"before_value": "{\"id\": \"not this\"}", "updated_values": {"id": 7, "action": []}, "x": [1e999, {"id": null}]} `)
	got, err := ingest.Check(data, ingest.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	want := auditrelay.Event{
		Namespace: auditrelay.NamespaceLiteLLM,
		ID:        "e-1",
		Time:      time.Date(2025, 6, 1, 8, 0, 0, 1000, time.UTC),
		Action:    auditrelay.ActionCreated,
		Data:      data,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if &got.Data[0] != &data[0] {
		t.Error("Data is a copy")
	}
}

func TestCheckKnowsEveryAction(t *testing.T) {
	for _, action := range auditrelay.Actions() {
		e, err := ingest.Check([]byte(`{"id":"a","action":"`+string(action)+`"}`), ingest.Limits{})
		if err != nil || e.Action != action || !e.Action.Known() {
			t.Errorf("%s: %q, %v", action, e.Action, err)
		}
	}
	e, err := ingest.Check([]byte(`{"id":"a","action":"archiv\u0065d"}`), ingest.Limits{})
	if err != nil || e.Action != "archived" || e.Action.Known() {
		t.Errorf("an unknown action: %q, %v", e.Action, err)
	}
}

func TestCheckTellsNoValues(t *testing.T) {
	const secret = "hunter2"
	for _, data := range []string{
		`{"id":"hunter2","action":7}`,
		`{"id":["hunter2"],"action":"x"}`,
		`{"id":"hunter2","action":"x","object_id":{"a":"hunter2"}}`,
		`{"id":"` + strings.Repeat(secret, 100) + `","action":"x"}`,
		`{"id":"a","action":"x","updated_values":{"a":"hunter2\ud800"}}`,
		`{"id":"a","action":"x","updated_values":"hunter2" hunter2}`,
		`"hunter2"`,
	} {
		_, err := ingest.Check([]byte(data), ingest.Limits{})
		if err == nil {
			t.Errorf("%s: accepted", data)
			continue
		}
		for e := err; e != nil; e = errors.Unwrap(e) {
			if strings.Contains(e.Error(), secret) {
				t.Errorf("the error tells a value: %v", e)
			}
		}
	}
}

func TestCheckAllocatesTheIDAlone(t *testing.T) {
	data := corpus.Reference()
	allocs := testing.AllocsPerRun(100, func() {
		if _, err := ingest.Check(data, ingest.Limits{}); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 1 {
		t.Errorf("%v allocations", allocs)
	}
}

func BenchmarkCheck(b *testing.B) {
	data := corpus.Reference()
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ingest.Check(data, ingest.Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDocumentCheck(b *testing.B) {
	data := corpus.Reference()
	for b.Loop() {
		if err := document.Check(data, document.Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}
