package wasm_test

import (
	"testing"

	"auditrelay/builtin/wasm"
)

// A load from the cache, as at a relay's start: decode, validate, rewrite, read and check the
// compiled code, start a first instance.
func BenchmarkLoad(b *testing.B) {
	for _, name := range []string{"reference-c", "redact-go"} {
		b.Run(name, func(b *testing.B) {
			o := options(b, name+"/"+name)
			load(b, o)
			b.ReportAllocs()
			for b.Loop() {
				m, err := wasm.Load(b.Context(), o)
				if err != nil {
					b.Fatal(err)
				}
				if err := m.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
