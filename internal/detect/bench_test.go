package detect_test

import (
	"slices"
	"testing"

	"auditrelay/internal/detect"
	"auditrelay/internal/test/corpus"
)

// BenchmarkEvents scans all keys, strings and numbers of ordinary events. The bytes are the
// events' sizes.
func BenchmarkEvents(b *testing.B) {
	g := corpus.New(1)
	var all []leaf
	size := 0
	for range 200 {
		data := g.Next().Data
		size += len(data)
		all = leaves(all, data, false)
	}
	for _, names := range [][]string{{"secrets"}, {"pii"}, {"secrets", "pii"}} {
		b.Run(names[0]+names[len(names)-1], func(b *testing.B) {
			s := newSet(b, names...)
			found := make([]detect.Finding, 0, len(all))
			known := make([]detect.Name, len(all)) // cached, as callers do
			for i, l := range all {
				known[i] = s.Name(l.key)
			}
			b.ReportAllocs()
			for b.Loop() {
				found = found[:0]
				for i, l := range all {
					found = s.Append(found, l.text, known[i])
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(size), "ns/byte")
		})
	}
}

func BenchmarkName(b *testing.B) {
	s := newSet(b, "secrets")
	keys := [][]byte{[]byte("changed_by_api_key"), []byte("updated_at"), []byte("team_alias"), []byte("maxBudget"), []byte("AWS_BEARER_TOKEN_BEDROCK")}
	for b.Loop() {
		for _, key := range keys {
			s.Name(key)
		}
	}
}

func TestNothingIsAllocated(t *testing.T) {
	s := newSet(t, "secrets", "pii", "personal")
	g := corpus.New(1)
	g.Plant(2)
	var all []leaf
	for range 100 {
		all = leaves(all, g.Next().Data, true)
	}
	for _, c := range cases {
		for _, r := range slices.Concat(c.finds, c.misses) {
			text, _ := marked(r.text)
			all = append(all, leaf{text: []byte(text), key: []byte(r.key)})
		}
	}
	for _, info := range detect.Shipped().All() {
		if r := info.Rule; r != nil && info.Groups[0] == "personal" {
			all = append(all, leaf{text: []byte(r.Examples[0]), key: []byte(info.ExampleUnder)})
		}
	}
	found := make([]detect.Finding, 0, len(all)*4)
	if n := testing.AllocsPerRun(5, func() {
		found = found[:0]
		for _, l := range all {
			found = s.Append(found, l.text, s.Name(l.key))
			s.Detects(l.text, s.Name(l.key))
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
