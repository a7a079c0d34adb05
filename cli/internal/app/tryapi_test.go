package app

import (
	"encoding/json"
	nethttp "net/http"
	"strings"
	"testing"

	"auditrelay/cli/internal/api"
)

// A running relay tries events and a draft policy and reports what the draft would expose. It
// changes, delivers and stores nothing.
func TestTryInTheRelay(t *testing.T) {
	const comply, producer = "token-of-compliance", "token-of-the-producer"
	sink := &keptSink{}
	r := run(t, "tokens: [{name: auditor, token: "+comply+", roles: [comply]}, {name: producer, token: "+producer+", roles: [ingest]}]\n"+`
filters:
  mask: {redact: {rules: [{paths: [object_id], do: mask}]}}
callbacks:
  - {name: archive, filters: [mask], sink: {kept: {}}, chunk: {age: 1ms}}
`, sink.makers())
	if status, answer := r.call("POST", "/v1/events", event("stored"), producer); status != 200 {
		t.Fatal(answer)
	}
	post := func(path string, body any) (int, string) {
		t.Helper()
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		return r.call("POST", path, string(text), comply)
	}
	draft := `rules: [{paths: [changed_by], do: mask}]`

	status, answer := post("/v1/try", api.Try{Callback: "archive", Sample: api.Sample{Events: []json.RawMessage{json.RawMessage(event("own"))}}})
	tried := decodeText[[]api.Tried](t, answer)
	if status != 200 || len(tried) != 1 || !strings.Contains(string(tried[0].After), `"object_id":"***"`) || tried[0].Filters[0].Digest == "" {
		t.Errorf("an event of one's own: %d %s", status, answer)
	}
	_, answer = post("/v1/try", api.Try{Callback: "archive", Filter: "mask", Policy: draft, Sample: api.Sample{Limit: 1000}})
	tried = decodeText[[]api.Tried](t, answer)
	found := false
	for _, one := range tried {
		found = found || one.ID == "stored" && strings.Contains(string(one.After), `"object_id":"o"`) && strings.Contains(string(one.After), `"changed_by":"***"`)
	}
	if !found {
		t.Errorf("a draft on accepted events: %s", answer)
	}
	_, answer = post("/v1/policies/diff", api.PolicyDiff{Filter: "mask", Policy: draft, Sample: api.Sample{Events: []json.RawMessage{json.RawMessage(event("own"))}}})
	if change := decodeText[api.PolicyChange](t, answer); change.Leaking != 1 || change.Leaks["object_id"] != 1 || change.Hidden["changed_by"] != 1 {
		t.Errorf("the difference: %s", answer)
	}
	_, answer = r.call("GET", "/v1/policies", "", comply)
	if policies := decodeText[[]api.PolicyInForce](t, answer); len(policies) < 1 || !strings.Contains(answer, `"mask"`) {
		t.Errorf("policies in force: %s", answer)
	}

	for _, row := range []struct {
		name, path string
		body       any
		status     int
	}{
		{"no such callback", "/v1/try", api.Try{Callback: "nobody"}, nethttp.StatusNotFound},
		{"no such filter", "/v1/try", api.Try{Callback: "archive", Filter: "nobody", Policy: draft}, nethttp.StatusNotFound},
		{"a draft that is none", "/v1/try", api.Try{Callback: "archive", Filter: "mask", Policy: "rules: [{paths: [x]}]"}, nethttp.StatusUnprocessableEntity},
		{"a draft that is no YAML", "/v1/policies/diff", api.PolicyDiff{Filter: "mask", Policy: "{"}, nethttp.StatusUnprocessableEntity},
		{"no event", "/v1/try", api.Try{Callback: "archive", Sample: api.Sample{Events: []json.RawMessage{json.RawMessage(`{}`)}}}, nethttp.StatusBadRequest},
		{"too many", "/v1/try", api.Try{Callback: "archive", Sample: api.Sample{Limit: maxSampled + 1}}, nethttp.StatusBadRequest},
	} {
		if status, answer := post(row.path, row.body); status != row.status {
			t.Errorf("%s: %d %s", row.name, status, answer)
		}
	}
	if status, _ := r.call("POST", "/v1/try", `{"callback":"archive"}`, producer); status != nethttp.StatusForbidden {
		t.Error("who may only send tries:", status)
	}
	_, answer = r.call("GET", "/v1/events/own", "", comply)
	if !strings.Contains(answer, "not_seen") {
		t.Errorf("the event that was tried is known: %s", answer)
	}
	for _, delivered := range sink.inOrder(t) {
		if strings.Contains(delivered.text, `"id":"own"`) {
			t.Error("the event that was tried was delivered")
		}
	}
}
