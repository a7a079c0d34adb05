package runtime_test

import (
	"strings"
	"testing"

	"auditrelay"
	"auditrelay/document"
	"auditrelay/filter"
	"auditrelay/runtime"
)

// TestASinkLearnsThatAnIDIsRedacted: a sink that names objects after events, as layout litellm of
// s3 does, must know that filters changed the id, also if a format rewrites the record.
func TestASinkLearnsThatAnIDIsRedacted(t *testing.T) {
	for name, tc := range map[string]struct {
		path   string
		remove bool
		format auditrelay.Format
		want   bool
	}{
		"the id is masked":              {path: "id", want: true},
		"the id is removed":             {path: "id", remove: true, want: true},
		"the id is masked, in a format": {path: "id", format: ocsf, want: true},
		"another field is masked":       {path: "object_id"},
		"an id further in is masked":    {path: "updated_values.id"},
	} {
		t.Run(name, func(t *testing.T) {
			path, err := document.ParsePath(tc.path)
			if err != nil {
				t.Fatal(err)
			}
			hide := fn(func(c *filter.Call) (auditrelay.Verdict, error) {
				if n := c.Document.Find(path); tc.remove {
					return auditrelay.Keep, c.Document.Delete(n)
				} else {
					return auditrelay.Keep, c.Document.SetString(n, []byte("***"))
				}
			})
			var changed []bool
			sink := &memorySink{render: func(c auditrelay.Chunk) error {
				for _, r := range c.Records {
					changed = append(changed, r.IDChanged)
				}
				return nil
			}}
			r := start(t, runtime.Options{Callbacks: []runtime.Callback{
				quick(runtime.Callback{Name: "archive", Sink: sink, Format: tc.format, Steps: []runtime.Step{{Name: "hide", Filter: hide.filter()}}})}})
			submit(t, r, row("first", "updated", "o", `,"updated_values":{"id":"x"}`))
			settle(t, r)
			for _, line := range sink.lines() {
				if tc.want && strings.Contains(line, "first") {
					t.Errorf("the id left: %s", line)
				}
			}
			if len(changed) != 1 || changed[0] != tc.want {
				t.Errorf("got %v, want %v", changed, tc.want)
			}
		})
	}
}
