package app

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A change of a policy is delivered like any other event, once, with its user and both states.
func TestChangesOfPoliciesAreAuditEvents(t *testing.T) {
	dir := t.TempDir()
	configure := func(filters, gate string) string {
		return fmt.Sprintf("data_dir: %s\nfilters: {%s}\ncallbacks: [{name: archive, filters: [a], %ssink: {file: {path: %s}}}]\n",
			filepath.Join(dir, "data"), filters, gate, filepath.Join(dir, "out.ndjson"))
	}
	round := func(text string) {
		t.Helper()
		r := run(t, text, nil)
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
	}
	told := func() (all []string) {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(dir, "out.ndjson"))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			var e struct {
				Actor  string                   `json:"changed_by"`
				Action string                   `json:"action"`
				Table  string                   `json:"table_name"`
				Object string                   `json:"object_id"`
				Before *struct{ Digest string } `json:"before_value"`
				After  *struct{ Digest string } `json:"updated_values"`
			}
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatal(err)
			}
			if e.Table != tablePolicy {
				continue
			}
			digests := ""
			for _, d := range []*struct{ Digest string }{e.Before, e.After} {
				switch {
				case d == nil:
					digests += " none"
				case len(d.Digest) == 64:
					digests += " digest"
				default:
					digests += " ?"
				}
			}
			all = append(all, e.Actor+": "+e.Object+" "+e.Action+digests)
		}
		slices.Sort(all)
		return all
	}
	const mask = "a: {redact: {rules: [{names: [password], do: mask}]}}"
	round(configure(mask, ""))
	round(configure(mask, "")) // nothing to report
	round(configure("a: {redact: {rules: [{names: [password], do: remove}]}}", "must_not_leave: {detectors: [secrets]}, "))
	round(configure("a: {redact: {rules: [{names: [password], do: remove}]}}", ""))
	want := []string{
		"config file: a created none digest",
		"config file: a updated digest digest",
		"config file: callbacks/archive/must_not_leave created none digest",
		"config file: callbacks/archive/must_not_leave deleted digest none",
	}
	if got := told(); !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
}

// A change of the detectors, by the program or by the configuration, is an audit event. The
// first detectors of a data directory are no change.
func TestChangesOfDetectorsAreAuditEvents(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "out.ndjson")
	round := func(detectors string) (told int) {
		t.Helper()
		r := run(t, fmt.Sprintf("data_dir: %s\n%scallbacks: [{name: archive, sink: {file: {path: %s}}}]\n", filepath.Join(dir, "data"), detectors, out), nil)
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(out)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return strings.Count(string(data), `"table_name":"auditrelay_detectors","object_id":"detectors"`)
	}
	const own = "detectors: {ours: {prefix: [OURS-], alphabet: A-Z, length: 8}}\n"
	for i, step := range []struct {
		detectors string
		want      int
	}{{"", 0}, {"", 0}, {own, 1}, {own, 1}, {"", 2}} {
		if got := round(step.detectors); got != step.want {
			t.Errorf("step %d: %d events, want %d", i, got, step.want)
		}
	}
}
