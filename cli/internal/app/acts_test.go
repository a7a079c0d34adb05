package app

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"auditrelay/runtime"
)

// unrecorded are the routes that change nothing and show no contents, and those whose record
// another test checks.
var unrecorded = map[string]string{
	"GET /healthz": "state", "GET /readyz": "state", "GET /metrics": "counts", "GET /v1/version": "state", "GET /v1/principal": "the caller",
	"GET /v1/events/{id}": "metadata; with ?data=true below", "GET /v1/events": "as GET /v1/events/{id}", "GET /v1/proofs": "digests",
	"GET /v1/receipts": "metadata", "GET /v1/stats": "counts", "GET /v1/sources": "counts",
	"GET /v1/callbacks": "state", "GET /v1/callbacks/{name}": "state", "GET /v1/deliveries": "metadata",
	"GET /v1/callbacks/{name}/dead-letters": "metadata", "GET /v1/dead-letter-replays": "progress", "GET /v1/quarantine": "metadata",
	"GET /v1/policies": "policies", "GET /v1/policies/{digest}": "policies", "GET /v1/policy-history": "policies", "GET /v1/configurations/{digest}": "the configuration",
	"GET /v1/rollouts": "counts", "GET /v1/shadows": "counts", "GET /v1/shadows/{callback}": "counts", "GET /v1/completeness": "counts", "GET /v1/control": "own records",
	"GET /v1/modules": "modules", "GET /v1/modules/{digest}": "modules", "GET /v1/modules/{digest}/content": "modules", "POST /v1/modules/{digest}/check": "it changes nothing, and shows no contents", "GET /v1/filters": "modules", "GET /v1/keyring": "periods", "GET /v1/searches": "names of searches",
	"POST /v1/events": "the event itself", "POST /v1/hooks/{name}": "the event itself", "GET /v1/hooks/{name}": "repeats what the caller sent",
	"POST /v1/reconcile": "ids; a repair: TestReconcileOverHTTP", "DELETE /v1/keyring/{period}": "TestScripts/keyring",
	"GET /v1/fleet": "state", "DELETE /v1/callbacks/{name}/replays/{id}": "TestCancelledReplay of the runtime", "POST /v1/fleet/{name}/drain": "TestFleet", "POST /v1/fleet/{name}/undrain": "as drain",
	"GET /v1/approvals": "requests", "POST /v1/approvals/{id}/approve": "TestApprovalsByHTTP", "POST /v1/approvals/{id}/reject": "TestApprovalsByHTTP",
}

// TestEveryRouteThatActsIsRecorded: every act on the relay through a route, and every reading
// of contents, is in the journal when the answer arrives: who, what, on what and, if the route
// takes one, why. The test fails for a new route until the route is classified.
func TestEveryRouteThatActsIsRecorded(t *testing.T) {
	keep, err := os.ReadFile("../../../testdata/wasm/hostile/keep.wasm")
	if err != nil {
		t.Fatal(err)
	}
	drop, err := os.ReadFile("../../../testdata/wasm/hostile/drop.wasm")
	if err != nil {
		t.Fatal(err)
	}
	loop, err := os.ReadFile("../../../testdata/wasm/hostile/infinite-loop.wasm")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := writeConfig(t, fmt.Sprintf(`
listen: 127.0.0.1:0
data_dir: %s
guests: {sandbox: off}
tap: {enabled: true}
tokens: [{name: boss, token: token-of-the-boss, roles: [admin]}]
keys: {k: {current: 1, versions: {1: 0123456789abcdef0123456789abcdef}}}
filters:
  rules: {wasm: %s}
  mask: {redact: {rules: [{names: [password], do: mask}]}}
  names: {redact: {pseudonyms: shared, rules: [{names: [user], do: hmac, key: k}]}}
callbacks:
  - {name: store, sink: {sqlite: {}}, chunk: {age: 1ms}}
  - {name: archive, filters: [rules], sink: {memory: {}}, chunk: {age: 1ms}}
  - {name: masked, filters: [mask, names], sink: {memory: {}}, chunk: {age: 1ms}, must_not_leave: {paths: [secret]}}
`, filepath.Join(dir, "data"), "rules.wasm"))
	if err := os.WriteFile(filepath.Join(filepath.Dir(file), "rules.wasm"), keep, 0o600); err != nil {
		t.Fatal(err)
	}
	seed, err := runtime.Open(t.Context(), runtime.Options{Dir: filepath.Join(dir, "data"), Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		if err := seed.Quarantine(t.Context(), runtime.Quarantined{Reason: "syntax", Data: fmt.Appendf(nil, `{"id":"q%d","action":"created"}`, n)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := seed.Close(); err != nil {
		t.Fatal(err)
	}
	r := runFile(t, file, memorySinks)
	r.send(`{"id":"a","action":"created"}`, `{"id":"d1","action":"created","secret":1}`, `{"id":"d2","action":"created","secret":2}`, `{"id":"d3","action":"created","secret":3}`)
	r.await("")
	records := func() (all []controlLine) {
		t.Helper()
		status, answer := r.call("GET", "/v1/control?limit=1000", "", "token-of-the-boss")
		var page struct{ Records []struct{ Data controlLine } }
		if err := json.Unmarshal([]byte(answer), &page); err != nil || status != 200 {
			t.Fatal(status, answer, err)
		}
		for _, e := range page.Records {
			all = append(all, e.Data)
		}
		return all
	}
	var letters []struct{ Sequence uint64 }
	if _, answer := r.call("GET", "/v1/callbacks/masked/dead-letters", "", "token-of-the-boss"); json.Unmarshal([]byte(answer), &letters) != nil || len(letters) != 3 {
		t.Fatal(answer)
	}
	known := map[string]string{"LETTER": fmt.Sprint(letters[0].Sequence)}
	covered := map[string]bool{}
	const why = "TICKET-9"
	because := `{"reason":"` + why + `"}`
	for _, a := range []struct {
		route, path, body string
		act, object       string // "": a reading
		reasoned          bool
	}{
		{"GET /v1/events/{id}?data", "/v1/events/a?data=true", "", "read", "event", false},
		{"GET /v1/stored", "/v1/stored", "", "read", "stored", false},
		{"GET /v1/callbacks/{name}/dead-letters/{sequence}", "/v1/callbacks/masked/dead-letters/LETTER", "", "read", "dead_letter", false},
		{"GET /audit", "/audit", "", "read", "store", false},
		{"GET /audit/{id}", "/audit/a", "", "read", "store", false},
		{"GET /audit/export", "/audit/export?format=csv", "", "export", "store", false},
		{"GET /v1/tap", "/v1/tap", "", "tap", "tap", false},
		{"POST /v1/try", "/v1/try", `{"callback":"masked","events":[{"id":"x","action":"created"}]}`, "read", "trial", false},
		{"POST /v1/policies/diff", "/v1/policies/diff", `{"filter":"mask","policy":"rules: [{names: [id], do: mask}]"}`, "read", "policy_diff", false},
		{"POST /v1/pseudonyms", "/v1/pseudonyms", `{"value":"alice"}`, "look up", "", false},
		{"POST /v1/callbacks/{name}/pause", "/v1/callbacks/archive/pause", because, "pause", "archive", true},
		{"POST /v1/callbacks/{name}/resume", "/v1/callbacks/archive/resume", because, "resume", "archive", true},
		{"POST /v1/callbacks/{name}/detach", "/v1/callbacks/archive/detach", because, "detach", "archive", true},
		{"POST /v1/callbacks/{name}/attach", "/v1/callbacks/archive/attach", because, "attach", "archive", true},
		{"POST /v1/callbacks/{name}/test", "/v1/callbacks/archive/test", because, "test", "archive", true},
		{"POST /v1/callbacks/{name}/replay", "/v1/callbacks/archive/replay", because, "replay", "archive", true},
		{"POST /v1/verifications", "/v1/verifications", `{"place":"s3://bucket","records":1,"reason":"` + why + `"}`, "verify", "s3://bucket", true},
		{"POST /v1/store/rebuild", "/v1/store/rebuild", because, "replay", "store", true},
		{"POST /v1/callbacks/{name}/dead-letters/discard", "/v1/callbacks/masked/dead-letters/discard", `{"sequences":[LETTER],"reason":"` + why + `"}`, "discard", "masked", true},
		{"POST /v1/callbacks/{name}/dead-letters/replay", "/v1/callbacks/masked/dead-letters/replay", `{"all":true,"rate":0.1,"reason":"` + why + `"}`, "replay", "masked", true},
		{"DELETE /v1/dead-letter-replays/{id}", "/v1/dead-letter-replays/JOB?reason=" + why, "", "cancel", "masked", true},
		{"GET /v1/quarantine/{number}", "/v1/quarantine/1", "", "read", "quarantine", false},
		{"POST /v1/quarantine/{number}/replay", "/v1/quarantine/1/replay?reason=" + why, `{"id":"q1","action":"created"}`, "replay", "1", true},
		{"POST /v1/quarantine/replay", "/v1/quarantine/replay", `{"numbers":[2],"reason":"` + why + `"}`, "replay", "2", true},
		{"POST /v1/quarantine/delete", "/v1/quarantine/delete", `{"numbers":[3],"reason":"` + why + `"}`, "delete", "3", true},
		{"POST /v1/modules", "/v1/modules?name=rules&reason=" + why, string(drop), "push", "", true},
		{"POST /v1/filters/{name}/module", "/v1/filters/rules/module", `{"sha256":"MODULE","reason":"` + why + `"}`, "use", "rules", true},
		{"", "/v1/filters/rules/module", `{"configured":true}`, "use", "rules", false},
		{"POST /v1/filters/{name}/reset", "/v1/filters/rules/reset", because, "reset", "rules", true},
		{"POST /v1/shadows", "/v1/shadows", `{"filter":"mask","policy":"rules: [{names: [id], do: mask}]","reason":"` + why + `"}`, "start", "masked", true},
		{"POST /v1/shadows/{callback}/use", "/v1/shadows/masked/use", because, "use", "config", true},
		{"", "/v1/shadows", `{"filter":"mask","policy":"rules: [{names: [x], do: mask}]"}`, "start", "masked", false},
		{"DELETE /v1/shadows/{callback}", "/v1/shadows/masked?reason=" + why, "", "drop", "masked", true},
		{"POST /v1/rollouts", "/v1/rollouts", `{"filter":"names","policy":"rules: [{names: [id], do: mask}]","reason":"` + why + `"}`, "start", "names", true},
		{"POST /v1/rollouts/{name}/promote", "/v1/rollouts/names/promote", because, "promote", "names", true},
		{"", "/v1/rollouts", `{"filter":"names","policy":"rules: [{names: [x], do: mask}]"}`, "start", "names", false},
		{"POST /v1/rollouts/{name}/rollback", "/v1/rollouts/names/rollback", because, "roll back", "names", true},
		{"POST /v1/filters/{name}/policy", "/v1/filters/mask/policy", `{"configured":true,"reason":"` + why + `"}`, "use", "config", true},
		{"POST /v1/searches", "/v1/searches", `{"name":"of alice","query":"changed_by=alice","reason":"` + why + `"}`, "save", "of alice", true},
		{"DELETE /v1/searches", "/v1/searches?name=of+alice&reason=" + why, "", "delete", "of alice", true},
		{"POST /v1/backup", "/v1/backup", because, "backup", "", true},
		{"POST /v1/reload", "/v1/reload", because, "reload", "config", true},
		{"", "/v1/modules?name=other", string(loop), "push", "", false},
		{"DELETE /v1/modules/{digest}", "/v1/modules/MODULE?reason=" + why, "", "delete", "", true},
	} {
		for name, value := range known {
			a.path, a.body = strings.ReplaceAll(a.path, name, value), strings.ReplaceAll(a.body, name, value)
		}
		covered[strings.TrimSuffix(a.route, "?data")] = true
		method, _, _ := strings.Cut(a.route, " ")
		before := len(records())
		var status int
		var answer string
		if a.act == "tap" {
			status, answer = r.open(a.path)
		} else {
			status, answer = r.call(cmp.Or(method, "POST"), a.path, a.body, "token-of-the-boss")
		}
		if status != 200 {
			t.Errorf("%s: %d %s", a.path, status, answer)
			continue
		}
		found := false
		for _, c := range records()[before:] {
			found = found || c.Control.Act == a.act && (a.object == "" || c.Object == a.object) && c.By == "boss" && c.Control.With != "" && c.Control.Address == "127.0.0.1" &&
				(!a.reasoned || c.Control.Reason == why)
		}
		if !found {
			t.Errorf("%s: no record %s of %s among %+v", a.route, a.act, a.object, records()[before:])
		}
		learn(t, known, answer)
	}
	text, err := os.ReadFile("../../../docs/reference/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	var routes struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal(text, &routes); err != nil {
		t.Fatal(err)
	}
	for path, methods := range routes.Paths {
		for method := range methods {
			if route := strings.ToUpper(method) + " " + path; !covered[route] && unrecorded[route] == "" {
				t.Errorf("%s is neither recorded nor said to be nothing to record", route)
			}
		}
	}
}

// learn stores the ids that later requests use.
func learn(t *testing.T, known map[string]string, answer string) {
	t.Helper()
	var got struct {
		SHA256 string `json:"sha256"`
		Added  bool   `json:"added"`
		Job    struct{ ID string }
	}
	if json.Unmarshal([]byte(answer), &got) != nil {
		return // a list, or lines
	}
	if got.Added {
		known["MODULE"] = got.SHA256
	}
	if got.Job.ID != "" {
		known["JOB"] = got.Job.ID
	}
}

// open reads the first line of an endless answer.
func (r *running) open(path string) (int, string) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.scheme+"://"+r.address+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer token-of-the-boss")
	resp, err := r.client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	line, err := bufio.NewReader(resp.Body).ReadString('\n')
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, line
}

// controlLine is the data of an own record.
type controlLine struct {
	By      string `json:"changed_by"`
	Object  string `json:"object_id"`
	Control struct{ Act, Outcome, Reason, With, Address string }
}
