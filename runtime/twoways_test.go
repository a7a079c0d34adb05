package runtime_test

import (
	"errors"
	"testing"

	"auditrelay"
	"auditrelay/runtime"
)

// TestOneEventByTwoWays: as sent by LiteLLM's callback, and as in its table.
func TestOneEventByTwoWays(t *testing.T) {
	byS3 := auditrelay.Provenance{Source: "s3", Principal: "litellm", Address: "192.0.2.1"}
	byTable := auditrelay.Provenance{Source: "postgres", Principal: "LiteLLM_AuditLog"}
	const head = `{"id":"e1","changed_by":"u","changed_by_api_key":"88dc","action":"updated","table_name":"LiteLLM_TeamTable","object_id":"t",`
	const sent = head + `"updated_at":"2026-01-01T00:00:00.123456+00:00","before_value":null,"updated_values":"{\"b\": 1.50, \"a\": [\"x\"]}"}`
	rows := []struct {
		name, first, second string
		equal               bool
	}{
		{"values as text and as objects", sent,
			head + `"updated_at":"2026-01-01T00:00:00.123Z","updated_values":{"a":["x"],"b":1.5}}`, true},
		{"the time as the table prints it", sent,
			head + `"updated_at":"2026-01-01 00:00:00.123","before_value":null,"updated_values":{"a":["x"],"b":1.50}}`, true},
		{"another value", sent,
			head + `"updated_at":"2026-01-01T00:00:00.123Z","updated_values":{"a":["x"],"b":1.51}}`, false},
		{"another millisecond", sent,
			head + `"updated_at":"2026-01-01T00:00:00.125Z","updated_values":{"a":["x"],"b":1.5}}`, false},
		{"what no parser reads, alike", head + `"before_value":"{\"n\": NaN}"}`, head + `"before_value":"{\"n\": NaN}","updated_at":null}`, true},
		{"what no parser reads, not alike", head + `"before_value":"{\"n\": NaN}"}`, head + `"before_value":"{\"n\":NaN}"}`, false},
		{"what is no time, alike", head + `"updated_at":"yesterday"}`, head + `"before_value":null,"updated_at":"yesterday"}`, true},
		{"what is no time, not alike", head + `"updated_at":"yesterday"}`, head + `"updated_at":"today"}`, false},
	}
	for _, row := range rows {
		for name, o := range map[string]runtime.Options{"": {}, ", behind filters": {Ingest: []runtime.Step{before(t)}}} {
			t.Run(row.name+name, func(t *testing.T) {
				r := start(t, o)
				one := func(data string, from auditrelay.Provenance) runtime.Result {
					results, err := r.Submit(t.Context(), runtime.Submission{Data: []byte(data), Provenance: from})
					if err != nil {
						t.Fatal(err)
					}
					return results[0]
				}
				if res := one(row.first, byS3); res.Err != nil || res.Sequence != 1 {
					t.Fatalf("the first: %+v", res)
				}
				second := one(row.second, byTable)
				x, err := r.Explain(t.Context(), "", "e1")
				if err != nil || x.Provenance != byS3 {
					t.Errorf("%+v, %v", x, err)
				}
				if !row.equal {
					if !errors.Is(second.Err, runtime.ErrConflict) || len(x.AlsoFrom) != 0 {
						t.Errorf("the second: %+v, also from %+v", second, x.AlsoFrom)
					}
					return
				}
				if !second.Duplicate || second.Sequence != 1 || len(x.AlsoFrom) != 1 || x.AlsoFrom[0] != byTable {
					t.Errorf("the second: %+v, also from %+v", second, x.AlsoFrom)
				}
				if e, err := r.Event(t.Context(), 1); err != nil || r.Stats().Head != 2 || o.Ingest == nil && string(e.Data) != row.first {
					t.Errorf("stored: %s, %v", e.Data, err)
				}
			})
		}
	}
}
