package app

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// A sender pushes an id out of the window of known ids, and sends another event with it. The
// relay continues to show the first one, and names the other one beside it.
func TestNobodyReplacesARecord(t *testing.T) {
	r := run(t, `
journal: {window: 1000}
tokens:
  - {name: litellm, token: ingest-token-00000000, roles: [ingest]}
  - {name: other, token: other-token-0kx4q7wpz, roles: [ingest]}
  - {name: apart, token: apart-token-0kx4q7wpz, roles: [ingest, comply], namespace: apart}
  - {name: auditor, token: `+storeToken+`, roles: [comply]}
  - {name: boss, token: token-of-the-boss, roles: [admin]}
callbacks:
  - {name: store, sink: {sqlite: {}}, chunk: {age: 1ms}}
`, nil)
	event := func(id, by string) string {
		return fmt.Sprintf(`{"id":%q,"action":"deleted","table_name":"LiteLLM_TeamTable","object_id":"team-1","changed_by":%q}`, id, by)
	}
	send := func(token, body string, want int) {
		t.Helper()
		if status, answer := r.call("POST", "/v1/events", body, token); status != want {
			t.Fatalf("%d, want %d: %s", status, want, answer)
		}
	}
	send("ingest-token-00000000", event("victim", "mallory"), 200)
	send("other-token-0kx4q7wpz", event("victim", "innocent-bob"), 409)
	send("apart-token-0kx4q7wpz", event("victim", "somebody"), 200)
	for k := range 2 {
		var flood []string
		for i := range 600 {
			flood = append(flood, event(fmt.Sprintf("flood%d-%d", k, i), "x"))
		}
		send("other-token-0kx4q7wpz", strings.Join(flood, "\n"), 200)
	}
	send("other-token-0kx4q7wpz", event("victim", "innocent-bob"), 200) // it is no longer in the window
	r.await("")
	var shown struct {
		By     string `json:"changed_by"`
		Record struct {
			Namespace string
			Conflict  bool
			Others    []struct {
				Namespace string
				Sequence  uint64
				Conflict  bool
			}
		} `json:"auditrelay_record"`
	}
	get := func(path, token string, into any) {
		t.Helper()
		status, answer := r.call("GET", path, "", token)
		if status != 200 {
			t.Fatalf("%s: %d %s", path, status, answer)
		}
		if err := json.Unmarshal([]byte(answer), into); err != nil {
			t.Fatal(err)
		}
	}
	get("/audit/victim", storeToken, &shown)
	if rec := shown.Record; shown.By != "mallory" || rec.Conflict || len(rec.Others) != 2 || !rec.Others[0].Conflict || rec.Others[1].Conflict || rec.Others[1].Namespace != "apart" {
		t.Errorf("what the store shows: %+v", shown)
	}
	if page := r.audit("?id=victim&sort_by=updated_at&sort_order=asc"); len(page.Logs) != 3 {
		t.Errorf("the list: %+v", page)
	} else {
		marked := 0
		for _, l := range page.Logs {
			if l["auditrelay_record"].(map[string]any)["conflict"] == true && l["changed_by"] == "innocent-bob" {
				marked++
			}
		}
		if marked != 1 {
			t.Errorf("the list marks %d: %+v", marked, page.Logs)
		}
	}
	var explained struct {
		Provenance struct{ Principal string }
		Namesakes  []struct {
			Namespace  string
			Same       bool
			Provenance struct{ Principal string }
		}
	}
	get("/v1/events/victim", storeToken, &explained)
	if n := explained.Namesakes; explained.Provenance.Principal != "litellm" || len(n) != 2 || n[0].Same || n[0].Provenance.Principal != "other" || n[1].Namespace != "apart" {
		t.Errorf("what explain shows: %+v", explained)
	}
	// A reader restricted to a namespace.
	get("/audit/victim", "apart-token-0kx4q7wpz", &shown)
	if shown.By != "somebody" {
		t.Errorf("to a reader elsewhere the store shows %+v", shown)
	}
	var page auditPage
	get("/audit?exact_total=true", "apart-token-0kx4q7wpz", &page)
	if page.ids() != "victim" || *page.Total != 1 {
		t.Errorf("to a reader elsewhere the list is %+v", page)
	}
	if status, answer := r.call("GET", "/audit/flood0-1", "", "apart-token-0kx4q7wpz"); status != 404 {
		t.Errorf("a reader elsewhere gets %d %s", status, answer)
	}
	if status, answer := r.call("GET", "/audit/export?format=ndjson", "", "apart-token-0kx4q7wpz"); status != 200 || strings.Count(answer, "\n") != 2 || strings.Contains(answer, "innocent-bob") {
		t.Errorf("a reader elsewhere exports %d %s", status, answer)
	}
}
