package ingest_test

import (
	"io"
	"strings"
	"testing"

	"auditrelay/internal/ingest"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
)

func zstandard(t *testing.T, options []zstd.EOption, frames ...string) string {
	t.Helper()
	var b strings.Builder
	for _, text := range frames {
		w, err := zstd.NewWriter(&b, options...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

// TestZstandard: zstd bodies have the same limits as gzip bodies, and a limit of the memory
// that a frame can request.
func TestZstandard(t *testing.T) {
	a, b := minimal("a"), minimal("b")
	whole := zstandard(t, nil, a+"\n", b+"\n")
	flipped := []byte(whole)
	flipped[len(flipped)-2] ^= 1
	for _, c := range []struct {
		name, body string
		limits     ingest.Limits
		want       []string
	}{
		{"two frames", whole, ingest.Limits{}, []string{"a", "b"}},
		{"nothing", "", ingest.Limits{}, []string{"rest:no_events"}},
		{"cut short", whole[:len(whole)-3], ingest.Limits{}, []string{"a", "rest:truncated"}},
		{"damaged", string(flipped), ingest.Limits{}, []string{"a", "rest:compression"}},
		{"no zstd", a, ingest.Limits{}, []string{"rest:compression"}},
		{"over the body's limit", zstandard(t, nil, a+strings.Repeat("\n", 2<<20)), ingest.Limits{BodyBytes: 1 << 20}, []string{"a", "rest:body_too_large"}},
		{"over the ratio", zstandard(t, nil, a+"\n"+strings.Repeat("\n", 15<<20)), ingest.Limits{}, []string{"a", "rest:ratio"}},
		{"a window of 32 MiB", zstandard(t, []zstd.EOption{zstd.WithWindowSize(32 << 20)}, a+"\n"+strings.Repeat(b+"\n", 900_000)), ingest.Limits{BodyBytes: -1, Events: -1}, []string{"rest:compression"}},
	} {
		got, _ := read(ingest.NewReader(strings.NewReader(c.body), "", "zstd", c.limits))
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}
