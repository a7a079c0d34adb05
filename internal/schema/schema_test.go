package schema

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"auditrelay"
	"auditrelay/internal/ingest"
)

const event = `{"auditID": "4f1c", "stage": "ResponseComplete", "verb": "delete", "empty": "", "none": null, "n": 7, "yes": true,
	"user": {"username": "jane@example.com"}, "objectRef": {"resource": "secrets", "name": "db", "a.b": "c"},
	"target": [{"type": "User", "id": "u1"}, {"type": "App", "id": "a1"}], "at": 1767225600123}`

func TestExpressions(t *testing.T) {
	for _, tt := range []struct {
		text, want string
		found      bool
	}{
		{"verb", "delete", true},
		{"user.username", "jane@example.com", true},
		{`objectRef.a\.b`, "c", true},
		{"n", "7", true},
		{"yes", "true", true},
		{`target.#(type=="App").id`, "a1", true},
		{"{auditID}/{stage}", "4f1c/ResponseComplete", true},
		{"x-{n}-y", "x-7-y", true},
		{"=kubernetes", "kubernetes", true},
		{"={no braces}", "{no braces}", true},
		{"empty", "", false},
		{"none", "", false},
		{"user", "", false},
		{"absent", "", false},
		{"{auditID}/{absent}", "", false},
		{"", "", false},
		{"{auditID", "", false},
		{"@reverse", "", false},
	} {
		if got, found := Value(tt.text, []byte(event)); got != tt.want || found != tt.found {
			t.Errorf("%q: %q, %v", tt.text, got, found)
		}
	}
}

func TestWhatIsWrongWithASchema(t *testing.T) {
	for name, tt := range map[string]struct {
		fields Fields
		want   string
	}{
		"no action":      {Fields{ID: []string{"id"}}, "action: it is required"},
		"one id for all": {Fields{Action: []string{"=a"}, ID: []string{"id", "=same"}}, "id: a constant gives all events one id; leave it out: an event without an id gets a digest of its bytes"},
		"a modifier":     {Fields{Action: []string{"@this"}}, "action: modifiers"},
		"an open brace":  {Fields{Action: []string{"=a"}, Object: []string{"{a"}}, "object: a { without its }"},
		"a closing one":  {Fields{Action: []string{"=a"}, Object: []string{"a}b"}}, "object: a } without its {"},
		"unwrap":         {Fields{Action: []string{"=a"}, Unwrap: []string{""}}, "unwrap: the query is empty"},
		"too many":       {Fields{Action: make([]string, 9)}, "action: more than 8 expressions"},
		"too long":       {Fields{Action: []string{strings.Repeat("a", 257)}}, "action: the expression is longer than 256 bytes"},
		"too many paths": {Fields{Action: []string{strings.Repeat("{a}", 9)}}, "action: more than 8 paths"},
	} {
		_, err := New("x", tt.fields)
		var field *FieldError
		if err == nil || !errors.As(err, &field) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTimes(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"1767225600":                          at,
		"1767225600.25":                       at.Add(250 * time.Millisecond),
		"1767225600123":                       at.Add(123 * time.Millisecond),
		"1767225600123456":                    at.Add(123456 * time.Microsecond),
		"1767225600123456789":                 at.Add(123456789),
		"1.7672256e9":                         at,
		"2026-01-01T00:00:00Z":                at,
		"2026-01-01T01:00:00.000000001+01:00": at.Add(1),
		"0":                                   time.Unix(0, 0).UTC(),
		"2026-01-01 00:00:00 UTC":             at,
		"2026-01-01 00:00:00.25 UTC":          at.Add(250 * time.Millisecond),
		"2026-01-01T00:00:00 GMT":             at,
		"2026-01-01 02:00:00 +0200":           at,
		"2025-12-31 22:30:00 -01:30":          at,
	} {
		if got, from := Time(text); !got.Equal(want) || from != auditrelay.TimeOfEvent {
			t.Errorf("%s: %v (%v)", text, got, from)
		}
	}
	for _, text := range []string{"", "soon", "-1", "1e999999999", "1/3", "0x10", "99999999999999999999999", "NaN", strings.Repeat("1", 65),
		"2026-01-01 UTC", "2026-01-01 +0200", "2026-01-01 00:00:00 CET", "2026-01-01 00:00:00 utc", "2026-01-01T00:00:00Z UTC", "2026-01-01 00:00:00 +0000 UTC",
		"2026-01-01 00:00:00  UTC", "2026-01-01 00:00:00 Z", "2026-01-01 00:00:00 ", " UTC", "1767225600 UTC", "1767225600 +0000"} {
		if got, from := Time(text); from != auditrelay.TimeUnreadable {
			t.Errorf("%s: %v (%v)", text, got, from)
		}
	}
	if _, from := Time("2026-01-01T00:00:00"); from != auditrelay.TimeNaive {
		t.Errorf("without an offset: %v", from)
	}
}

func digest([]byte) string { return "digest" }

func TestRead(t *testing.T) {
	s, err := New("k8s", Fields{Namespace: "k8s", ID: []string{"id", "{auditID}/{stage}"}, Action: []string{"verb"}, Time: []string{"stageTimestamp", "at"},
		Actor: []string{"user.username"}, Object: []string{"{objectRef.namespace}/{objectRef.name}", "objectRef.name"}, ObjectType: []string{"objectRef.resource"}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Read([]byte(event), ingest.Limits{}, digest)
	if err != nil {
		t.Fatal(err)
	}
	want := auditrelay.Event{Namespace: "k8s", ID: "4f1c/ResponseComplete", Action: "delete", Time: time.UnixMilli(1767225600123).UTC(), Data: []byte(event),
		Mapping: &auditrelay.Mapping{Schema: "k8s", ID: "{auditID}/{stage}", Action: "verb", Time: "at", Actor: "user.username", Object: "objectRef.name", ObjectType: "objectRef.resource"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	// A value masked by a filter is masked in the fields.
	masked := strings.ReplaceAll(strings.Replace(event, "jane@example.com", "***", 1), `"name": "db", `, "")
	if got, want := ColumnsOf(got.Mapping, []byte(masked)), (Columns{Action: "delete", TableName: "secrets", ChangedBy: "***"}); got != want {
		t.Errorf("%+v", got)
	}

	for data, reason := range map[string]ingest.Reason{
		`{"id": "a"}`:                    ingest.Missing,
		`{"verb": "get", "verb": "put"}`: ingest.DuplicateKey,
		`[]`:                             ingest.NotObject,
		`{"verb": "` + strings.Repeat("x", 129) + `"}`:                     ingest.TooLong,
		`{"verb": "get", "id": "` + strings.Repeat("x", 257) + `"}`:        ingest.TooLong,
		`{"verb": "get", "objectRef": {"resource": " AuditRelay_config"}}`: ingest.Reserved,
	} {
		_, err := s.Read([]byte(data), ingest.Limits{}, digest)
		if fault, ok := errors.AsType[*ingest.EventError](err); !ok || fault.Reason != reason {
			t.Errorf("%.40s: %v", data, err)
		}
	}
	if got, err := s.Read([]byte(`{"verb": "get", "at": "soon"}`), ingest.Limits{}, digest); err != nil || got.ID != "digest" || got.Mapping.ID != "" || got.TimeFrom != auditrelay.TimeUnreadable {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestUnwrap(t *testing.T) {
	s, err := New("x", Fields{Action: []string{"=a"}, Unwrap: []string{"Records", "data.events"}})
	if err != nil {
		t.Fatal(err)
	}
	for data, want := range map[string][]string{
		`{"Records": [{"a":  1}, 7, {"b": "]"}]}`:       {`{"a":  1}`, `7`, `{"b": "]"}`},
		`{"data": {"events": [{}]}}`:                    {`{}`},
		`{"Records": []}`:                               nil,
		`{"Records": {}}`:                               {`{"Records": {}}`},
		`{"Records": [`:                                 {`{"Records": [`},
		`{"Records": [1], "Records": [2]}`:              {`{"Records": [1], "Records": [2]}`},
		`{"data": {"events": [1], "ev\u0065nts": [2]}}`: {`{"data": {"events": [1], "ev\u0065nts": [2]}}`},
	} {
		events, err := s.Unwrap([]byte(data), 3)
		if err != nil {
			t.Errorf("%s: %v", data, err)
		}
		var got []string
		for _, e := range events {
			got = append(got, string(e))
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", data, d)
		}
	}
}

// TestUnwrapIsBounded: lists of many events are divided only up to the limit. Endless brackets,
// for which a recursive parser has no stack, are no wrapper.
func TestUnwrapIsBounded(t *testing.T) {
	s, err := New("x", Fields{Action: []string{"=a"}, Unwrap: []string{"list"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		data string
		most int
	}{{`{"list": [1, 2, 3]}`, 2}, {`{"list": [1]}`, 0}, {`{}`, 0}} {
		events, err := s.Unwrap([]byte(tt.data), tt.most)
		if fault, ok := errors.AsType[*ingest.EventError](err); !ok || fault.Reason != ingest.TooManyEvents || !fault.Rest || len(events) > tt.most {
			t.Errorf("%s, at most %d: %d events, %v", tt.data, tt.most, len(events), err)
		}
	}
	deep := []byte(`{"list": ` + strings.Repeat("[", 16<<20))
	if events, err := s.Unwrap(deep, 10); err != nil || len(events) != 1 || len(events[0]) != len(deep) {
		t.Errorf("%d events, %v", len(events), err)
	}
	within := `{"list": [{"a": "` + strings.Repeat(`[\"`, 1000) + `", "b": ` + strings.Repeat("[", 500) + strings.Repeat("]", 500) + `}, 1]}`
	if events, err := s.Unwrap([]byte(within), 10); err != nil || len(events) != 2 {
		t.Errorf("%d events, %v", len(events), err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add("{auditID}/{stage}", "at", event)
	f.Add("=x", "target.#(type==\"App\").id", `{"target": [1e400]}`)
	f.Fuzz(func(t *testing.T, expression, at, data string) {
		s, err := New("x", Fields{ID: []string{expression}, Action: []string{"=a"}, Time: []string{at}, Actor: []string{expression}, Unwrap: []string{at}})
		if err != nil {
			return
		}
		if events, err := s.Unwrap([]byte(data), 2); err == nil && len(events) > 2 {
			t.Errorf("%d events of at most two", len(events))
		}
		e, err := s.Read([]byte(data), ingest.Limits{}, digest)
		if err != nil {
			return
		}
		if e.ID == "" || e.Mapping.ID != "" && e.Mapping.Actor == "" {
			t.Errorf("%+v", e)
		}
		if again, _ := Value(e.Mapping.ID, []byte(data)); e.Mapping.ID != "" && again != e.ID {
			t.Errorf("%q, then %q", e.ID, again)
		}
	})
}
