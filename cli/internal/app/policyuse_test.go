package app

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAPolicyThatACrashPutInForceIsItsUsers: the relay is killed between the selection of a
// policy and its record. The next start records it with the user and the reason.
func TestAPolicyThatACrashPutInForceIsItsUsers(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	text := fmt.Sprintf(`
data_dir: %s
tokens: [{name: boss, token: token-of-the-boss, roles: [admin]}]
filters: {mask: {redact: {rules: [{names: [password], do: mask}]}}}
callbacks: [{name: archive, filters: [mask], sink: {file: {path: %s}}, chunk: {age: 1ms}}]
`, data, filepath.Join(dir, "out.ndjson"))
	r := run(t, text, nil)
	told, err := os.ReadFile(filepath.Join(data, "policies.json"))
	if err != nil {
		t.Fatal(err)
	}
	if status, answer := r.call("POST", "/v1/filters/mask/policy", `{"policy":"rules: [{names: [id], do: mask}]","reason":"TICKET-5"}`, "token-of-the-boss"); status != 200 {
		t.Fatal(answer)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	// Simulate a crash right after the selection.
	if err := os.WriteFile(filepath.Join(data, "policies.json"), told, 0o600); err != nil {
		t.Fatal(err)
	}
	r = run(t, text, nil)
	_, answer := r.call("GET", "/v1/control?limit=1000", "", "token-of-the-boss")
	record := answer[strings.LastIndex(answer, `"changed_by"`):]
	for _, want := range []string{`"changed_by":"boss"`, `"table_name":"auditrelay_policy"`, `"object_id":"mask"`, `"act":"use"`, `"reason":"TICKET-5"`} {
		if !strings.Contains(record, want) {
			t.Errorf("%s is not in %s", want, record)
		}
	}
}
