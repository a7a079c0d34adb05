package format_test

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"auditrelay"
	"auditrelay/document"
	"auditrelay/internal/format"
	"auditrelay/internal/gate"
)

// fieldsOf reads a line like a receiver that only knows the format's rules. It returns the header
// fields, and the extension's values without escapes.
func fieldsOf(t *testing.T, o auditrelay.Format, line []byte) (header []string, fields map[string]string) {
	t.Helper()
	if bytes.ContainsFunc(line, func(r rune) bool {
		return r < ' ' && r != '\t' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' || r == '\t' && o.CEF != nil
	}) || !utf8.Valid(line) {
		t.Fatalf("a sign that ends lines: %q", line)
	}
	parts := strings.SplitN(string(line), "|", 8)
	fields = map[string]string{}
	if o.LEEF != nil {
		parts = strings.SplitN(string(line), "|", 7)
		if len(parts) != 7 || parts[0] != "LEEF:2.0" || parts[5] != "x09" {
			t.Fatalf("the header: %q", parts)
		}
		for _, field := range strings.Split(parts[6], "\t") {
			name, value, ok := strings.Cut(field, "=")
			if _, twice := fields[name]; !ok || twice {
				t.Fatalf("a field without a name, or twice: %q", field)
			}
			fields[name] = value
		}
		return parts[:6], fields
	}
	if len(parts) != 8 || parts[0] != "CEF:0" {
		t.Fatalf("the header: %q", parts)
	}
	// A field begins at the start or after a space, without a backslash before its =.
	begin := regexp.MustCompile(`(?:^| )([A-Za-z0-9]+)=`)
	at := begin.FindAllStringSubmatchIndex(parts[7], -1)
	for i, m := range at {
		end := len(parts[7])
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		name, value := parts[7][m[2]:m[3]], parts[7][m[1]:end]
		if _, twice := fields[name]; twice {
			t.Fatalf("%s twice: %s", name, line)
		}
		fields[name] = strings.NewReplacer(`\\`, `\`, `\=`, `=`, `\n`, "\n", `\r`, "\r").Replace(value)
	}
	return parts[:7], fields
}

// checkLine checks that a line is valid in its format and contains the event, and that the gate
// gets the same fields as a receiver.
func checkLine(t *testing.T, o auditrelay.Format, e *auditrelay.Event) {
	t.Helper()
	w := format.New(o, journal).Writer()
	line := w.Append(nil, e, e.Data)
	header, got := fieldsOf(t, o, line)
	if header[4] == "" || header[1] != "auditrelay" {
		t.Errorf("the header: %q", header)
	}
	whole := got["auditrelayEvent"]
	if clean(whole) != clean(string(e.Data)) {
		t.Errorf("the event is not in it:\n%s\n%s", whole, e.Data)
	}
	var seen map[string]string
	if added := w.Readable(line); document.Check(added, document.Limits{}) != nil || json.Unmarshal(added, &seen) != nil || !bytes.Equal(added, w.Added()) {
		t.Fatalf("what the gate gets: %s", added)
	}
	delete(got, "auditrelayEvent")
	delete(seen, "auditrelayEvent")
	if len(got) != len(seen) {
		t.Errorf("the gate sees %d fields of %d", len(seen), len(got))
	}
	for name, value := range seen {
		if clean(value) != clean(got[name]) {
			t.Errorf("%s: the gate sees %q, the receiver %q", name, value, got[name])
		}
	}
}

// clean replaces the characters that a line cannot contain by spaces.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, s)
}

// An event cannot choose a field or a header of a line.
func TestLinesKeepTheirFields(t *testing.T) {
	e := event(auditrelay.NamespaceLiteLLM, `{"id":"x|y","updated_at":"2026-03-01T10:00:00Z","action":"up|dated\nact=deleted","changed_by":"ada\tusrName=root suid=root \\","table_name":"T=1","object_id":"a\r\nCEF:0|evil|\u2028b\u0085c","changed_by_user_email":"a@b.example"}`)
	_, got := fieldsOf(t, cef, write(cef, e))
	for name, want := range map[string]string{"suid": `ada usrName=root suid=root \`, "cs1": "T=1", "externalId": "x|y", "duid": "a\r\nCEF:0|evil| b c", "act": "up|dated\nact=deleted", "suser": "a@b.example"} {
		if got[name] != want {
			t.Errorf("CEF: %s is %q, want %q", name, got[name], want)
		}
	}
	header, got := fieldsOf(t, leef, write(leef, e))
	for name, want := range map[string]string{"usrName": `ada usrName=root suid=root \`, "tableName": "T=1", "resource": "a  CEF:0|evil| b c", "action": "up|dated act=deleted"} {
		if got[name] != want {
			t.Errorf("LEEF: %s is %q, want %q", name, got[name], want)
		}
	}
	if header[4] != "other" {
		t.Errorf("LEEF: the event id is %q", header[4])
	}
}

// A value over the limit is omitted, and its field is named. The complete value is in the event,
// unless the format is brief.
func TestLinesAreBounded(t *testing.T) {
	long := strings.Repeat("x", 5000)
	e := event(auditrelay.NamespaceLiteLLM, `{"id":"1","action":"created","object_id":"`+long+`","changed_by":"`+long+`"}`)
	_, got := fieldsOf(t, cef, write(cef, e))
	if got["auditrelayOmitted"] != "suid duid" || got["duid"] != "" || !strings.Contains(got["auditrelayEvent"], long) {
		t.Errorf("omitted %q", got["auditrelayOmitted"])
	}
	// The dictionary of CEF has lower limits for two keys.
	e2 := event(auditrelay.NamespaceLiteLLM, `{"id":"`+long[:41]+`","action":"`+long[:64]+`","object_id":"`+long[:1023]+`"}`)
	if _, got := fieldsOf(t, cef, write(cef, e2)); got["auditrelayOmitted"] != "act externalId" || got["duid"] != long[:1023] {
		t.Errorf("omitted %q", got["auditrelayOmitted"])
	}
	if _, got := fieldsOf(t, leef, write(leef, e2)); got["auditrelayOmitted"] != "" {
		t.Errorf("LEEF: omitted %q", got["auditrelayOmitted"])
	}
	for _, o := range []auditrelay.Format{{CEF: &auditrelay.CEF{Brief: true}}, {LEEF: &auditrelay.LEEF{Brief: true}}} {
		line := write(o, e)
		if _, got := fieldsOf(t, o, line); len(line) > 1000 || got["auditrelayEvent"] != "" || got["auditrelayOmitted"] == "" {
			t.Errorf("%s: %d bytes: %s", o.Name(), len(line), line)
		}
	}
}

// TestTheGateSeesLines: the gate finds a secret in a field, and a path of the record applies. It
// finds nothing in the data that the relay adds to a clean event, brief or not.
func TestTheGateSeesLines(t *testing.T) {
	secrets, err := gate.New(gate.Options{Detectors: []string{"secrets", "pii"}})
	if err != nil {
		t.Fatal(err)
	}
	paths, err := gate.New(gate.Options{Paths: []string{"duid", "resource"}})
	if err != nil {
		t.Fatal(err)
	}
	clean := event(auditrelay.NamespaceLiteLLM, `{"id":"3f1f6c1e-0001","updated_at":"2026-03-01T10:00:00+00:00","changed_by":"user-1","changed_by_api_key":"88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b","action":"rotated","table_name":"LiteLLM_VerificationToken","object_id":"5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5"}`)
	leaky := event(auditrelay.NamespaceLiteLLM, `{"id":"1","action":"created","table_name":"T","object_id":"AKIAIOSFODNN7EXAMPLF","changed_by":"x"}`)
	for _, o := range []auditrelay.Format{cef, leef, {CEF: &auditrelay.CEF{Brief: true}}, {LEEF: &auditrelay.LEEF{Brief: true}}} {
		f := format.New(o, journal)
		w := f.Writer()
		for n := range uint64(1000) {
			clean.Sequence = 1 + n*n*n
			clean.Time = received.Add(time.Duration(n*n) * 7919 * time.Millisecond)
			clean.Received = clean.Time.Add(time.Duration(n) * time.Millisecond)
			line := w.Append(nil, clean, clean.Data)
			i := secrets.Inspector()
			if err := i.Record(w.Readable(line), w.Added()); err != nil {
				t.Fatalf("%s: %v\n%s", o.Name(), err, line)
			}
			quoted, _ := json.Marshal(string(line))
			for _, body := range [][]byte{line, append([]byte("<110>1 2026-03-01T10:00:00Z host auditrelay - - - "), line...), append(append([]byte(`{"event":`), quoted...), '}')} {
				p := &auditrelay.Payload{Key: "k", Body: body, Sequences: []uint64{1}}
				if err := i.Payload(p, []auditrelay.Record{{Sequence: 1, Data: line}}); err != nil {
					t.Fatalf("%s: %v\n%s", o.Name(), err, body)
				}
			}
			if err := paths.Inspector().Record(w.Readable(line), w.Added()); err == nil {
				t.Fatalf("%s: a path of the record does not hold", o.Name())
			}
		}
		line := w.Append(nil, leaky, leaky.Data)
		if err := secrets.Inspector().Record(w.Readable(line), w.Added()); err == nil {
			t.Errorf("%s: a secret got through: %s", o.Name(), line)
		}
	}
}

// TestTheGateTakesBulkBodies: if a body has a line before each record, the gate does not check the
// records again. It finds a secret in the other lines.
func TestTheGateTakesBulkBodies(t *testing.T) {
	g, err := gate.New(gate.Options{Detectors: []string{"secrets", "pii"}})
	if err != nil {
		t.Fatal(err)
	}
	e := event(auditrelay.NamespaceLiteLLM, `{"id":"3f1f6c1e-0001","updated_at":"2026-03-01T10:00:00+00:00","changed_by":"user-1","changed_by_api_key":"88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b","action":"rotated","table_name":"LiteLLM_VerificationToken","object_id":"5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5"}`)
	w := format.New(ecs, journal).Writer()
	record := w.Append(nil, e, e.Data)
	i := g.Inspector()
	if err := i.Record(w.Readable(record), w.Added()); err != nil {
		t.Fatal(err)
	}
	records := []auditrelay.Record{{Sequence: 1, Data: record}, {Sequence: 2, Data: record}}
	for action, leak := range map[string]bool{`{"create":{"_id":"j-1"}}`: false, `{"create":{"_id":"AKIAIOSFODNN7EXAMPLF"}}`: true} {
		body := []byte(action + "\n" + string(record) + "\n" + action + "\n" + string(record) + "\n")
		if err := i.Payload(&auditrelay.Payload{Key: "k", Body: body, Sequences: []uint64{1, 2}}, records); (err != nil) != leak {
			t.Errorf("%s: %v", action, err)
		}
	}
}
