package document_test

import (
	"bytes"
	"strings"
	"testing"

	"auditrelay/document"
	"auditrelay/internal/test/corpus"
)

// objectEvent is an event of the usual size with objects as its values. textEvent is the same
// in LiteLLM's form, with JSON text as its values.
const objectEvent = `{"id":"5f0c1f0e-5d3e-4a3c-9f43-2f9c54a8a3de","updated_at":"2026-03-04T10:11:12.345678+00:00","changed_by":"user-4711@example.com","changed_by_api_key":"88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b","action":"updated","table_name":"LiteLLM_TeamTable","object_id":"team-7c2e0d3b-0a5e-4b5c-8f3b-7f8a4fd3f9b1","before_value":{"team_id":"team-7c2e0d3b","team_alias":"research","max_budget":100.5,"spend":12.25,"models":["gpt-4o","claude-sonnet"],"blocked":false,"metadata":{"cost_center":"CC-1234","owner":"anna"}},"updated_values":{"team_id":"team-7c2e0d3b","team_alias":"research and development","max_budget":250.0,"spend":12.25,"models":["gpt-4o","claude-sonnet","gemini-pro"],"blocked":false,"password":"hunter2-hunter2","metadata":{"cost_center":"CC-1234","owner":"anna","note":"raised after review by the board"},"tpm_limit":100000,"rpm_limit":1000}}`

var textEvent = func() string {
	before, rest, _ := strings.Cut(objectEvent, `"before_value":`)
	value, updated, _ := strings.Cut(strings.TrimSuffix(rest, "}"), `,"updated_values":`)
	quote := func(s string) string { return `"` + strings.ReplaceAll(s, `"`, `\"`) + `"` }
	return before + `"before_value":` + quote(value) + `,"updated_values":` + quote(updated) + "}"
}()

func mustPath(tb testing.TB, s string) *document.Path {
	tb.Helper()
	p, err := document.ParsePath(s)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// reference does the work of the floors: three look-ups, one string set, one member deleted,
// serialised.
type reference struct {
	action, key, password *document.Path
	d                     document.Document
	found                 []document.Node
	out                   []byte
}

func newReference(tb testing.TB) *reference {
	return &reference{
		action:   mustPath(tb, "action"),
		key:      mustPath(tb, "changed_by_api_key"),
		password: mustPath(tb, "updated_values.password"),
	}
}

var (
	blocked = []byte(`"blocked"`)
	mask    = []byte("***")
)

func (r *reference) redact(event []byte) {
	r.d.Reset(event)
	if r.d.Is(r.d.Find(r.action), blocked[1:8]) {
		return
	}
	if err := r.d.SetString(r.d.Find(r.key), mask); err != nil {
		panic(err)
	}
	if err := r.d.Delete(r.d.Find(r.password)); err != nil {
		panic(err)
	}
	r.out = r.d.Append(r.out[:0])
}

func benchmarkRedact(b *testing.B, event string) {
	data := []byte(event)
	r := newReference(b)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		r.redact(data)
	}
}

// BenchmarkReference does the host's work for the reference guests, on different events,
// including the search for further matches.
func BenchmarkReference(b *testing.B) {
	events := make([][]byte, 1000)
	for i := range events {
		events[i] = corpus.AppendReference(nil, uint64(i))
	}
	r := newReference(b)
	all := func(p *document.Path, edit func(document.Node) error) {
		found := r.found[:0]
		for n := r.d.Find(p); n != document.None; n = r.d.Each(p, n) {
			found = append(found, n)
		}
		for _, n := range found {
			if err := edit(n); err != nil {
				b.Fatal(err)
			}
		}
		r.found = found
	}
	toMask := func(n document.Node) error { return r.d.SetString(n, mask) }
	i := 0
	b.SetBytes(int64(len(events[0])))
	b.ReportAllocs()
	for b.Loop() {
		r.d.Reset(events[i%len(events)])
		i++
		if r.d.Is(r.d.Find(r.action), blocked[1:8]) {
			b.Fatal("blocked")
		}
		all(r.key, toMask)
		all(r.password, r.d.Delete)
		r.out = r.d.Append(r.out[:0])
	}
}

func BenchmarkRedactObject(b *testing.B) { benchmarkRedact(b, objectEvent) }
func BenchmarkRedactText(b *testing.B)   { benchmarkRedact(b, textEvent) }

func benchmarkCheck(b *testing.B, event string) {
	data := []byte(event)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if err := document.Check(data, document.Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCheckObject(b *testing.B) { benchmarkCheck(b, objectEvent) }
func BenchmarkCheckText(b *testing.B)   { benchmarkCheck(b, textEvent) }

func BenchmarkCheckReference(b *testing.B) { benchmarkCheck(b, string(corpus.Reference())) }

func BenchmarkCheckManyKeys(b *testing.B) { benchmarkCheck(b, manyKeys(100_000)) }

func BenchmarkFirstField(b *testing.B) {
	data := []byte(objectEvent)
	p := mustPath(b, "id")
	var d document.Document
	b.ReportAllocs()
	for b.Loop() {
		d.Reset(data)
		if d.Find(p) == document.None {
			b.Fatal("not found")
		}
	}
}

func BenchmarkEveryLeaf(b *testing.B) {
	data := []byte(textEvent)
	p := mustPath(b, "**")
	var d document.Document
	b.ReportAllocs()
	for b.Loop() {
		d.Reset(data)
		for n := d.Find(p); n != document.None; n = d.Each(p, n) {
		}
	}
}

func BenchmarkEqual(b *testing.B) {
	x, y := []byte(objectEvent), []byte(textEvent)
	for b.Loop() {
		if !document.Equal(x, y) {
			b.Fatal("not equal")
		}
	}
}

func manyKeys(n int) string {
	var b bytes.Buffer
	b.WriteByte('{')
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`"k`)
		for j := i; j > 0; j /= 26 {
			b.WriteByte('a' + byte(j%26))
		}
		b.WriteString(`":1`)
	}
	b.WriteByte('}')
	return b.String()
}
