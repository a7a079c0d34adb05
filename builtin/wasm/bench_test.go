package wasm_test

import (
	"os"
	"strings"
	"testing"

	"auditrelay"
	"auditrelay/document"
	"auditrelay/filter"
)

// The cost of a guest per event, including indexing, editing and serialising the document.
func BenchmarkReference(b *testing.B) {
	for _, name := range []string{"reference-c", "reference-go", "simd-c"} {
		b.Run(name, func(b *testing.B) { benchmark(b, name+"/"+name) })
	}
}

func BenchmarkRedactGo(b *testing.B) { benchmark(b, "redact-go/redact-go") }

// Only the call: a guest that keeps the event without reading it.
func BenchmarkKeep(b *testing.B) { benchmark(b, "hostile/keep") }

// The same work by the host without a guest, for comparison.
func BenchmarkNative(b *testing.B) {
	action, _ := document.ParsePath("action")
	key, _ := document.ParsePath("changed_by_api_key")
	password, _ := document.ParsePath("updated_values.password")
	data := []byte(benchEvent())
	var d document.Document
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		d.Reset(data)
		d.Find(action)
		_ = d.SetString(d.Find(key), []byte("***"))
		_ = d.Delete(d.Find(password))
		out = d.Append(out[:0])
	}
}

// benchEvent returns an event of the usual size: 0.9 KB.
func benchEvent() string {
	return strings.Replace(event, `"alias":"blue"`, `"alias":"blue","models":["`+strings.Repeat("gpt-4o,", 80)+`"]`, 1)
}

func benchmark(b *testing.B, name string) {
	if _, err := os.Stat(testdata); err != nil {
		b.Skip(err)
	}
	i := open(b, load(b, options(b, name)))
	call := newCall(b, benchEvent())
	data := call.Event.Data
	var out []byte
	b.ReportAllocs()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		call.Document.Reset(data)
		*call = filter.Call{Event: call.Event, Document: call.Document}
		if v, err := i.Apply(b.Context(), call); err != nil || v != auditrelay.Keep {
			b.Fatal(v, err)
		}
		out = call.Document.Append(out[:0])
	}
}
