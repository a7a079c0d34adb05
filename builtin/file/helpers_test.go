package file_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"auditrelay"
	"auditrelay/builtin/file"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
)

// documents returns the lines of the rotated files and of the current file, in order. Every line
// must be complete.
func documents(t *testing.T, path string) [][]byte {
	t.Helper()
	files, err := filepath.Glob(strings.TrimSuffix(path, ".ndjson") + "-*")
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	var docs [][]byte
	for _, name := range append(files, path) {
		content, err := os.ReadFile(name)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Ext(name) == ".gz" {
			z, err := gzip.NewReader(bytes.NewReader(content))
			if err != nil {
				t.Fatal(err)
			}
			if content, err = io.ReadAll(z); err != nil {
				t.Fatal(err)
			}
		}
		for line := range bytes.Lines(content) {
			whole, ok := bytes.CutSuffix(line, []byte("\n"))
			if !ok {
				t.Errorf("%s ends in a torn line", name)
			}
			docs = append(docs, whole)
		}
	}
	return docs
}

// payload renders one chunk of n records, starting at a sequence.
func payload(t testing.TB, sink *file.Sink, from uint64, n int) auditrelay.Payload {
	t.Helper()
	chunk := auditrelay.Chunk{Callback: "archive", Journal: "j.1", From: from, To: from + uint64(n)}
	for i := range n {
		sequence := from + uint64(i)
		chunk.Records = append(chunk.Records, auditrelay.Record{
			Sequence: sequence, ID: fmt.Sprint(sequence), Data: fmt.Appendf(nil, `{"n":%d}`, sequence),
		})
	}
	payloads, err := sink.Render(chunk)
	if err != nil || len(payloads) != 1 {
		t.Fatalf("Render: %d payloads, %v", len(payloads), err)
	}
	return payloads[0]
}

func deliver(t testing.TB, sink *file.Sink, p auditrelay.Payload) auditrelay.Receipt {
	t.Helper()
	receipt, err := sink.Deliver(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return receipt
}

func wantNumbers(t *testing.T, path string, last int) {
	t.Helper()
	var want, got []string
	for n := range last {
		want = append(want, fmt.Sprintf(`{"n":%d}`, n+1))
	}
	for _, d := range documents(t, path) {
		got = append(got, string(d))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("the files hold (-want +got):\n%s", diff)
	}
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func move(t testing.TB, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func names(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func gzipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write(data)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
