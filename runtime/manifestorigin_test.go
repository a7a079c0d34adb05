package runtime_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"auditrelay"
	"auditrelay/builtin/file"
	"auditrelay/filter"
	"auditrelay/runtime"
)

// TestManifestsSayTheOrigin: the manifest states the origin of every delivered record, also in
// batches of several origins, whatever the record itself says.
func TestManifestsSayTheOrigin(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.ndjson")
	sink, err := file.New(file.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	drop := runtime.Step{Name: "f", Filter: fn(func(c *filter.Call) (auditrelay.Verdict, error) {
		if bytes.Contains(c.Event.Data, []byte("dropped")) {
			return auditrelay.Drop, nil
		}
		return auditrelay.Keep, nil
	}).filter()}
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{{Name: "file", Digest: "1", Sink: sink, Steps: []runtime.Step{drop}, Chunk: auditrelay.Chunking{Events: 4}}}})
	type origin struct{ namespace, source, principal string }
	came := map[string]origin{}
	var all []runtime.Submission
	for i, from := range []origin{{"litellm", "http", "gateway"}, {"litellm", "http", "gateway"}, {"team-x", "http", "gateway"}, {"litellm", "s3", ""}, {"litellm", "http", "gateway"}, {"litellm", "http", "mallory"}} {
		id := fmt.Sprint("e", i)
		came[id] = from
		object := "o"
		if i == 1 {
			object = "dropped"
		}
		all = append(all, runtime.Submission{Namespace: from.namespace, Provenance: auditrelay.Provenance{Source: from.source, Principal: from.principal},
			Data: fmt.Appendf(nil, `{"id":%q,"action":"created","object_id":%q,"namespace":"litellm","source":"http","principal":"gateway"}`, id, object)})
	}
	results, err := r.Submit(t.Context(), all...)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(filepath.Dir(path), "audit.manifests.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	said := map[uint64]origin{}
	for line := range bytes.Lines(text) {
		var m auditrelay.Manifest
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatal(err)
		}
		for _, o := range m.Origins {
			for _, between := range o.Sequences {
				for sequence := between[0]; sequence <= between[1]; sequence++ {
					if before, ok := said[sequence]; ok {
						t.Errorf("sequence %d: %v and %v", sequence, before, o)
					}
					said[sequence] = origin{o.Namespace, o.Source, o.Principal}
				}
			}
		}
	}
	written, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	delivered := 0
	for i, result := range results {
		id, sequence := fmt.Sprint("e", i), result.Sequence
		from := came[id]
		if !bytes.Contains(written, []byte(`"`+id+`"`)) {
			continue
		}
		delivered++
		if said[sequence] != from {
			t.Errorf("%s, sequence %d, came from %v; the manifest says %v", id, sequence, from, said[sequence])
		}
	}
	if delivered != 5 {
		t.Errorf("%d delivered, %d origins: %s", delivered, len(said), text)
	}
}
