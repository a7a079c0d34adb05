package wasm_test

import (
	"testing"

	"auditrelay/builtin/wasm"
)

// From the cache, as a relay starts: decoded, validated, rewritten, the compiled
// code read and checked, a first instance started.
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
