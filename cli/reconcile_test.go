package cli_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"auditrelay/cli"
)

func TestReconcileTellsByItsExitCode(t *testing.T) {
	const (
		missing = `{"difference":{"missing_from":"journal","id":"a\u001b[0m","time":"2026-03-01T00:00:00Z"}}` + "\n"
		deleted = `{"difference":{"missing_from":"table","id":"b","sequence":7}}` + "\n"
	)
	for name, c := range map[string]struct {
		answer string
		args   []string
		code   int
		want   []string
	}{
		"equal":        {`{"done":{"rows":3,"events":3}}`, nil, cli.ExitOK, []string{"3 rows in the table, 3 events"}},
		"different":    {missing + deleted + `{"done":{"rows":3,"events":3,"missing_in_journal":1,"missing_in_table":1}}`, nil, cli.ExitDiffer, []string{`a\u001b[0m"  not in the journal`, "b  not in the table (sequence 7)", "differ by 2 events"}},
		"as JSON":      {deleted + `{"done":{"rows":1,"missing_in_table":1}}`, []string{"--json"}, cli.ExitDiffer, []string{`{"missing_from":"table","id":"b","sequence":7}`, `"missing_in_table":1`}},
		"repaired":     {`{"difference":{"missing_from":"journal","id":"a","repaired":true}}` + "\n" + `{"done":{"rows":1,"missing_in_journal":1,"repaired":1}}`, []string{"--repair"}, cli.ExitOK, []string{"accepted now", "(repaired: 1)"}},
		"unsure":       {`{"done":{"rows":1,"unsure":2,"journal_since":"2026-03-01T00:00:00Z","incomparable":3}}`, nil, cli.ExitOK, []string{"2 more rows are older", "3 events of the journal cannot be compared"}},
		"broken off":   {missing, nil, cli.ExitUnavailable, []string{"broke off"}},
		"ends badly":   {missing + `{"error":{"reason":"unavailable","message":"the table could not be read"}}`, nil, cli.ExitFailure, []string{"the table could not be read"}},
		"no time":      {"", []string{"--to", "later"}, cli.ExitUsage, []string{"--to: expected a time"}},
		"wrong order":  {"", []string{"--to", "2025-01-01"}, cli.ExitUsage, []string{"not before"}},
		"window given": {`{"done":{}}`, []string{"--to", "2026-03-02T01:00:00+01:00"}, cli.ExitOK, []string{"0 rows"}},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				if !strings.HasPrefix(string(body), `{"from":"2026-03-01T00:00:00Z","to":"20`) || strings.Contains(string(body), "repair") != (name == "repaired") {
					t.Errorf("asked %s", body)
				}
				_, _ = io.WriteString(w, c.answer)
			}))
			defer server.Close()
			var out bytes.Buffer
			args := append([]string{"reconcile", "--server", server.URL, "--from", "2026-03-01"}, c.args...)
			code := cli.Main(args, cli.Options{Stdout: &out, Stderr: &out})
			if code != c.code {
				t.Errorf("exit code %d, want %d: %s", code, c.code, &out)
			}
			for _, want := range c.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("lacks %q: %s", want, &out)
				}
			}
		})
	}
}
