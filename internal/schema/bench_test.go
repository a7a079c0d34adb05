package schema_test

import (
	"bytes"
	"testing"

	"auditrelay/config"
	"auditrelay/internal/ingest"
	"auditrelay/internal/test/producers"
)

// BenchmarkRead reads the first event of each producer's sample. check is the part that every
// JSON object costs.
func BenchmarkRead(b *testing.B) {
	for _, sample := range producers.Samples() {
		s := (&config.Config{}).SchemaNamed(sample.Schema).Compiled()
		reader := ingest.NewReader(bytes.NewReader(sample.Body), "", "", ingest.Limits{})
		raw, err := reader.Next()
		if err != nil {
			b.Fatal(err)
		}
		events, _ := s.Unwrap(raw.Data, 10_000)
		event := events[0]
		b.Run(sample.Schema+"/read", func(b *testing.B) {
			b.SetBytes(int64(len(event)))
			for b.Loop() {
				if _, err := s.Read(event, ingest.Limits{}, func([]byte) string { return "" }); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(sample.Schema+"/check", func(b *testing.B) {
			b.SetBytes(int64(len(event)))
			for b.Loop() {
				if err := ingest.CheckDocument(event, ingest.Limits{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
