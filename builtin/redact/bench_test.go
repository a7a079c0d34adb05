package redact_test

import (
	"testing"

	"auditrelay"
	"auditrelay/builtin/redact"
	"auditrelay/filter"
	"auditrelay/internal/test/corpus"
)

func BenchmarkPresets(b *testing.B) {
	events := make([][]byte, 1000)
	size := 0
	for i := range events {
		events[i] = corpus.AppendReference(nil, uint64(i))
		size += len(events[i])
	}
	for _, name := range redact.Presets() {
		b.Run(name, func(b *testing.B) {
			r := open(b, policy(b, `{preset: `+name+`}`))
			b.SetBytes(int64(size / len(events)))
			b.ReportAllocs()
			i := 0
			call, event := new(filter.Call), new(auditrelay.Event)
			for b.Loop() {
				e := events[i%len(events)]
				i++
				r.document.Reset(e)
				event.Data = e
				*call = filter.Call{Event: event, Document: &r.document}
				if _, err := r.instance.Apply(b.Context(), call); err != nil {
					b.Fatal(err)
				}
				r.out = r.document.Append(r.out[:0])
			}
		})
	}
}
