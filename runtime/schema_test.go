package runtime_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"auditrelay"
	"auditrelay/filter"
	"auditrelay/internal/schema"
	"auditrelay/runtime"
)

func shopSchema(t *testing.T) *runtime.Schema {
	t.Helper()
	s, err := runtime.NewSchema("shop", runtime.SchemaFields{Namespace: "shop", ID: []string{"order"}, Action: []string{"verb"}, Time: []string{"at"},
		Actor: []string{"by.mail"}, Object: []string{"object"}, ObjectType: []string{"kind"}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const (
	bought = `{"order": "o1",  "verb": "buy", "kind": "book", "object": "b1", "by": {"mail": "jane@example.com"}, "at": 1772359200}`
	sold   = `{"order": "o2", "verb": "sell", "kind": "book", "object": "b2", "by": {"mail": "kim@example.com"}, "at": 1772359200}`
)

// TestConditionsSeeMappedFields: conditions on LiteLLM's names see the fields that the schema
// maps to them. Sinks get the event unchanged, with the positions of its fields, also after a
// restart.
func TestConditionsSeeMappedFields(t *testing.T) {
	dir := t.TempDir()
	sinks := map[string]*memorySink{}
	var callbacks []runtime.Callback
	for name, when := range map[string]auditrelay.When{
		"action": {Fields: map[string][]string{"action": {"buy"}}},
		"actor":  {Fields: map[string][]string{"changed_by": {"jane@example.com"}}},
		"object": {Fields: map[string][]string{"object_id": {"b1", "b9"}, "table_name": {"book"}}},
		"id":     {Fields: map[string][]string{"id": {"o1"}}},
		"data":   {Fields: map[string][]string{"order": {"o1"}}},
		"query":  {Query: `by.mail`, Fields: map[string][]string{"verb": {"buy"}}},
	} {
		sinks[name] = &memorySink{}
		callbacks = append(callbacks, quick(runtime.Callback{Name: name, When: &when, Sink: sinks[name]}))
	}
	r := start(t, runtime.Options{Dir: dir, Callbacks: callbacks})
	submitMapped(t, r, shopSchema(t), bought, sold)
	settle(t, r)
	for name, sink := range sinks {
		var got []string
		for _, line := range sink.lines() {
			got = append(got, line)
		}
		if !slices.Equal(got, []string{bought}) {
			t.Errorf("%s: %q", name, got)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r = start(t, runtime.Options{Dir: dir, Removed: slices.Collect(maps.Keys(sinks))})
	e, err := r.Event(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if e.Namespace != "shop" || e.ID != "o1" || string(e.Data) != bought || e.Time.Unix() != 1772359200 || e.Mapping == nil || e.Mapping.Actor != "by.mail" {
		t.Errorf("%+v %+v", e, e.Mapping)
	}
	if res := submitMapped(t, r, shopSchema(t), bought, strings.Replace(bought, "b1", "b3", 1)); !res[0].Duplicate || res[1].Err == nil {
		t.Errorf("after a restart: %+v", res)
	}
}

func submitMapped(t *testing.T, r *runtime.Runtime, s *runtime.Schema, events ...string) []runtime.Result {
	t.Helper()
	var in []runtime.Submission
	for _, e := range events {
		in = append(in, runtime.Submission{Data: []byte(e), Schema: s, Provenance: auditrelay.Provenance{Source: "http"}})
	}
	results, err := r.Submit(t.Context(), in...)
	if err != nil {
		t.Fatal(err)
	}
	return results
}

// TestFiltersBeforeTheJournalMaskMappedFields: no field contains a removed value any more.
func TestFiltersBeforeTheJournalMaskMappedFields(t *testing.T) {
	step := runtime.Step{Name: "before", Filter: fn(func(c *filter.Call) (auditrelay.Verdict, error) {
		if c.Event.ID == "o2" {
			return auditrelay.Keep, c.Document.Replace([]byte(`{"verb": "sell", "by": {"mail": "***"}}`))
		}
		return auditrelay.Keep, c.Document.Replace([]byte(strings.Replace(bought, "jane@example.com", "***", 1)))
	}).filter()}
	r := start(t, runtime.Options{Ingest: []runtime.Step{step}})
	submitMapped(t, r, shopSchema(t), bought, sold)
	for sequence, want := range map[uint64]schema.Columns{
		1: {Action: "buy", TableName: "book", ObjectID: "b1", ChangedBy: "***"},
		2: {Action: "sell", ChangedBy: "***"},
	} {
		e, err := r.Event(t.Context(), sequence)
		if err != nil {
			t.Fatal(err)
		}
		if got := schema.ColumnsOf(e.Mapping, e.Data); got != want || string(e.Action) != want.Action {
			t.Errorf("%+v, action %s", got, e.Action)
		}
		if sequence == 2 && (e.ID == "o2" || e.TimeFrom != auditrelay.TimeMissing) {
			t.Errorf("id and time that are gone: %+v", e)
		}
	}
}
