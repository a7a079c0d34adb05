package app

import (
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"auditrelay/cli/internal/http"
	"auditrelay/cli/internal/sources"
	"auditrelay/config"
	"auditrelay/runtime"
)

var (
	metricName  = regexp.MustCompile(`fqName: "(auditrelay_[a-z0-9_]+)"`)
	metricInDoc = regexp.MustCompile("`(auditrelay_[a-z0-9_]+)(?:\\{[a-z_,]*\\})?[` ]")
	// notMetrics are other names of the same form.
	notMetrics = regexp.MustCompile(`^auditrelay_(reading|callback|backup|relay|request|deadletter|source|namespace|principal|journal|sequence|event|init|v1?|config|policy|key|keyring|approval|lookup|export|store|filter|module|quarantine|record|tombstone|value|logger|detector.*|s|delete_all|recovery|gap|audit.*|meta|events|proofs|seqs?|test|alert|canary|tap|shadow|rollout|verification)$|^auditrelay_verify_`)
)

// Every metric is documented by its full name, and every documented name exists.
func TestMetricsAndDocumentationAgree(t *testing.T) {
	var names []string
	for _, d := range describedMetrics(t) {
		if m := metricName.FindStringSubmatch(d); m != nil {
			names = append(names, m[1])
		}
	}
	if len(names) < 40 {
		t.Fatalf("only %d metrics", len(names))
	}
	documented := map[string]string{}
	err := filepath.WalkDir("../../../docs", func(path string, e fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".md" {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range metricInDoc.FindAllStringSubmatch(string(text), -1) {
			documented[m[1]] = path
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if documented[name] == "" {
			t.Errorf("%s is not documented", name)
		}
	}
	for name, path := range documented {
		plain := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(name, "_bucket"), "_sum"), "_count")
		if !notMetrics.MatchString(name) && !slices.Contains(names, name) && !slices.Contains(names, plain) {
			t.Errorf("%s names the metric %s, which there is not", path, name)
		}
	}
}

// describedMetrics returns the metrics of a relay with all sources, as printed by the library.
func describedMetrics(t *testing.T) []string {
	t.Helper()
	rt, err := runtime.Open(t.Context(), runtime.Options{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rt.Close() })
	others := newSources(&sources.Host{Runtime: rt, Logger: slog.New(slog.DiscardHandler)})
	server, err := http.New(http.Options{
		Runtime: rt, Config: &config.Config{Listen: "127.0.0.1:0"}, Logger: quiet(), Control: &daemon{}, Fleet: &daemon{}, Secret: func() string { return "" }, Sources: others,
		DroppedLines: func() uint64 { return 0 },
	})
	if err != nil {
		t.Fatal(err)
	}
	return append(server.Describe(), http.DescribeFollower()...)
}
