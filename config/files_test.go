package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"auditrelay/config"
)

// writeFiles creates a directory with the files in text, each after a line "-- NAME --".
func writeFiles(t *testing.T, text string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "conf.d")
	for part := range strings.SplitSeq("\n"+text, "\n-- ") {
		name, content, ok := strings.Cut(part, " --\n")
		if !ok {
			continue
		}
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const severalFiles = `-- 10-base.yaml --
listen: 127.0.0.1:9000
journal: {quota: 1GiB}
ingest:
  limits: {depth: 20}
  tokens: [{name: litellm, token: 7d2f9a4c1be8063f5a91c7de20b4863f}]
keys: {people: 0123456789abcdef01234567}
filters:
  hide: {redact: {preset: litellm}}
-- 20-archive.yml --
journal:
  reserve: 1GiB
  retention: {age: 3d}
ingest:
  limits: {events: 5}
filters:
  hide-more: {redact: {preset: secrets}}
callbacks:
  - {name: archive, filters: [hide], sink: {stdout: {}}}
-- 30-siem.yaml --
callbacks:
  - {name: siem, filters: [hide-more], sink: {stdout: {}}}
removed: [old]
-- empty.yaml --
# nothing yet
-- .hidden.yaml --
listen: [
-- notes.txt --
: not read
-- more/deep.yaml --
listen: [
`

func TestADirectoryOfFiles(t *testing.T) {
	dir := writeFiles(t, severalFiles)
	c, err := config.Load(dir, config.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(c.Listen, " ", c.Journal.Quota, " ", c.Journal.Reserve, " ", c.Journal.Retention.Age, " ", c.Ingest.Limits.Depth, " ", c.Ingest.Limits.Events, " ",
		len(c.Ingest.Tokens), len(c.Tokens), len(c.Filters), len(c.Callbacks), " ", c.Callbacks[1].Name, " ", c.Removed, " ", filepath.Base(c.DataDir), " ", filepath.Dir(c.DataDir) == dir)
	if want := "127.0.0.1:9000 1GiB 1GiB 72h0m0s 20 5 1 1 2 2 siem [old] data true"; got != want {
		t.Errorf("read as %s\nwant %s", got, want)
	}
	if p := c.Callbacks[1].Place(); filepath.Base(p.File) != "30-siem.yaml" || p.Line != 2 {
		t.Errorf("the second callback stands at %v", p)
	}
	for _, n := range c.Notes {
		if filepath.Base(n.File) != "10-base.yaml" {
			t.Errorf("note %+v", n)
		}
	}
	// It equals the single file.
	one, err := config.Parse("one.yaml", []byte(`
listen: 127.0.0.1:9000
journal: {quota: 1GiB, reserve: 1GiB, retention: {age: 3d}}
ingest:
  limits: {depth: 20, events: 5}
  tokens: [{name: litellm, token: 7d2f9a4c1be8063f5a91c7de20b4863f}]
keys: {people: 0123456789abcdef01234567}
filters:
  hide: {redact: {preset: litellm}}
  hide-more: {redact: {preset: secrets}}
callbacks:
  - {name: archive, filters: [hide], sink: {stdout: {}}}
  - {name: siem, filters: [hide-more], sink: {stdout: {}}}
removed: [old]
`), config.LoadOptions{Dir: dir})
	if err != nil || one.Digest(nil) != c.Digest(nil) {
		t.Errorf("another configuration than the one file: %v", err)
	}
}

// Errors name the right file, all at once; a duplicate is an error at both places.
func TestErrorsOfSeveralFiles(t *testing.T) {
	for _, c := range []struct{ name, files, want string }{
		{"twice", `-- a.yaml --
listen: 127.0.0.1:9000
filters:
  hide: {redact: {preset: litellm}}
journal: {quota: 1GiB}
callbacks: []
-- b.yaml --
listen: 127.0.0.1:9001
filters:
  other: {redact: {preset: litellm}}
  hide: {redact: {preset: secrets}}
journal: {quota: 2GiB}
callbacks: {name: x}
`, `b.yaml:1:1: listen: it stands at a.yaml:1 already: keep one of the two
b.yaml:4:3: filters.hide: it stands at a.yaml:3 already: keep one of the two
b.yaml:5:11: journal.quota: it stands at a.yaml:4 already: keep one of the two
b.yaml:6:1: callbacks: it stands at a.yaml:5 already: keep one of the two`},
		{"a source twice", `-- a.yaml --
ingest: {s3: {listen: 127.0.0.1:9000}}
callbacks: []
-- b.yaml --
ingest: {s3: {listen: 127.0.0.1:9000}}
`, `b.yaml:1:10: ingest.s3: it stands at a.yaml:1 already: keep one of the two`},
		{"the same names in lists", `-- a.yaml --
tokens: [{name: t, token: 7d2f9a4c1be8063f5a91c7de20b4863f, roles: [view]}]
callbacks: [{name: archive, sink: {stdout: {}}}]
-- b.yaml --

tokens: [{name: t, token: 1c9e4b7a20d5f8361e7ab4905cd2f683, roles: [admin]}]
callbacks: [{name: archive, sink: {stdout: {}}}]
`, `b.yaml:2:17: tokens[1].name: token "t" stands at a.yaml:1 already: two of one name are one client's old and new token, with the same roles and namespace
b.yaml:3:20: callbacks[1].name: callback "archive" stands at a.yaml:2 already: its position in the journal is stored under its name, so names must be unique`},
		{"each in its own file", `-- a.yaml --
lisden: x
callbacks: []
-- b.yaml --
filters: {hide: {redact: {preset: litellm}, cases: x}}
-- c.yaml --
a: [
-- d.yaml --
keys: {k: "${NOT_SET}"}
-- e.yaml --
[]
-- f.yaml --
litellm_settings: {}
`, `a.yaml:1:1: lisden: an unknown key: did you mean listen?
b.yaml:1:52: filters.hide.cases: it goes with a guest only, and redact stands beside it: take one of the two out
c.yaml:1: not YAML: did not find expected node content
d.yaml:1:11: keys.k: the environment variable NOT_SET is not set
e.yaml:1:1: found a list, expected a mapping of options
f.yaml:1:1: LiteLLM's own configuration: it is the whole configuration, or none of it; name this file alone, or add what auditrelay config translate makes of it`},
		{"no callbacks anywhere", `-- a.yaml --
listen: 127.0.0.1:9000
`, `conf.d: callbacks: no callback is configured: the file may be cut off; write callbacks: [] to keep events in the journal and deliver none`},
		{"nothing", `-- more/a.yaml --
callbacks: []
`, `conf.d: a directory without files: expected *.yaml or *.yml in it`},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := writeFiles(t, c.files)
			_, err := config.Load(dir, config.LoadOptions{LookupEnv: func(string) (string, bool) { return "", false }})
			got := strings.ReplaceAll(strings.ReplaceAll(fmt.Sprint(err), dir+"/", ""), dir, "conf.d")
			if got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

// The expanded size of all files together is limited.
func TestFilesAreBoundedTogether(t *testing.T) {
	dir := t.TempDir()
	list := "removed: [" + strings.Repeat("x,", 40_000) + "x]\n"
	for n := range 3 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(n, ".yaml")), []byte(list), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := config.Load(dir, config.LoadOptions{}); err == nil || !strings.Contains(err.Error(), "2.yaml:1:") || !strings.Contains(err.Error(), "more than 100000 values") {
		t.Error(err)
	}
}
