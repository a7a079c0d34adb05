package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Two callbacks that write to one place are refused at the second one, for any sinks. Two that
// only share a bucket, or standard output, are accepted.
func TestTwoCallbacksInOnePlaceAreRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink(dir, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	const s3 = "{s3: {bucket: audit, region: eu-central-1, "
	for _, tt := range []struct {
		name, first, second string
		refused             bool
	}{
		{"layout litellm", s3 + "layout: litellm, prefix: x}}", s3 + "layout: litellm, prefix: x/}}", true},
		{"layout litellm, another prefix", s3 + "layout: litellm, prefix: x}}", s3 + "layout: litellm, prefix: y}}", false},
		{"layout litellm, another store", s3 + "layout: litellm}}", "{s3: {bucket: audit, layout: litellm, endpoint: 'http://127.0.0.1:9000'}}", false},
		{"layout batch", s3 + "prefix: x}}", s3 + "prefix: x}}", false},
		{"one file", "{file: {path: DIR/a.ndjson}}", "{file: {path: DIR/./a.ndjson}}", true},
		{"one file by a link", "{file: {path: DIR/a.ndjson}}", "{file: {path: DIR/link/a.ndjson}}", true},
		{"two files", "{file: {path: DIR/a.ndjson}}", "{file: {path: DIR/b.ndjson}}", false},
		{"a file and a store", "{file: {path: DIR/a.db}}", "{sqlite: {path: DIR/a.db}}", true},
		{"one schema", "{postgres: {url: 'postgres://u:secretsecret@127.0.0.1:5432/audit', schema: s}}", "{postgres: {url: 'postgres://v:secretsecret@127.0.0.1:5432/audit', schema: s}}", true},
		{"one schema, the host in capitals", "{postgres: {url: 'postgres://u:secretsecret@DB.example:5432/audit', schema: s}}", "{postgres: {url: 'postgres://v:secretsecret@db.example/audit?sslmode=require', schema: s}}", true},
		{"one schema, this machine's names", "{postgres: {url: 'postgres://u:secretsecret@localhost/audit', schema: s}}", "{postgres: {url: 'postgres://v:secretsecret@127.0.0.1/audit', schema: s}}", true},
		{"another database", "{postgres: {url: 'postgres://u:secretsecret@localhost/audit', schema: s}}", "{postgres: {url: 'postgres://v:secretsecret@localhost/other', schema: s}}", false},
		{"AWS by name", s3 + "layout: litellm}}", s3 + "layout: litellm, endpoint: 'https://s3.eu-central-1.amazonaws.com/'}}", true},
		{"one endpoint", s3 + "layout: litellm, endpoint: 'https://minio.example'}}", s3 + "layout: litellm, endpoint: 'https://MinIO.example:443/'}}", true},
		{"this machine's names", s3 + "layout: litellm, endpoint: 'http://localhost:9000'}}", s3 + "layout: litellm, endpoint: 'http://127.0.0.1:9000'}}", true},
		{"two ports", s3 + "layout: litellm, endpoint: 'http://localhost:9000'}}", s3 + "layout: litellm, endpoint: 'http://localhost:9001'}}", false},
		{"standard output", "{stdout: {}}", "{stdout: {}}", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := "store: none\ncallbacks:\n  - {name: a, sink: " + tt.first + "}\n  - {name: b, sink: " + tt.second + "}\n"
			if strings.Contains(text, "sqlite") || strings.Contains(text, "postgres") {
				text = strings.Replace(text, "store: none", "store: b", 1)
			} else {
				text = strings.Replace(text, "store: none\n", "\n", 1)
			}
			file := writeConfig(t, strings.ReplaceAll(text, "DIR", dir))
			_, err := Check(t.Context(), []string{file}, CheckOptions{})
			refused := err != nil && strings.Contains(err.Error(), file+":4:") && strings.Contains(err.Error(), "same place as callback a (on line 3)")
			if refused != tt.refused || err != nil && (!refused || strings.Contains(err.Error(), "secretsecret")) {
				t.Errorf("got %v", err)
			}
		})
	}
}
