package app

import (
	"database/sql"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
)

const dashboardOrigin = "https://litellm.example:4000"

const dashboardConfig = `
tokens: [{name: auditor, token: ` + storeToken + `, roles: [ingest, comply]}, {name: boss, token: token-of-the-boss, roles: [admin]}]
audit: {cors_origins: ["` + dashboardOrigin + `"]}
callbacks:
  - {name: store, sink: {sqlite: {}}, chunk: {age: 1ms}}
`

// ask sends the request of a browser for a page of LiteLLM's dashboard.
func (r *running) ask(method, origin, path string, query url.Values) (*http.Response, string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, "http://"+r.address+path+"?"+query.Encode(), nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Origin", origin)
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	if method == http.MethodOptions {
		req.Header.Set("Access-Control-Request-Method", "GET")
		req.Header.Set("Access-Control-Request-Headers", "authorization,content-type")
	} else {
		req.Header.Set("Authorization", "Bearer "+storeToken)
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := r.client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp, string(body)
}

// TestLiteLLMsDashboard sends the requests of the dashboard's client, with each of its filters,
// and reads the answers with LiteLLM's model: all nine fields with its types.
func TestLiteLLMsDashboard(t *testing.T) {
	r := run(t, dashboardConfig, nil)
	r.send(
		`{"id":"1","updated_at":"2026-01-31T12:01:00+00:00","changed_by":"alice","changed_by_api_key":"k1","action":"created","table_name":"LiteLLM_TeamTable","object_id":"team-blue","before_value":null,"updated_values":"{\"team_id\": \"team-blue\", \"team_alias\": \"Blue\"}"}`,
		`{"id":"2","updated_at":"2026-01-31T12:02:00+00:00","changed_by":"bob","changed_by_api_key":"k2","action":"updated","table_name":"LiteLLM_VerificationToken","object_id":"hash-abc","before_value":{"token":"hash-abc","team_id":"team-blue","max":1},"updated_values":{"token":"hash-abc","max":2}}`,
		`{"id":"3","updated_at":"2026-01-31T12:03:00+00:00","changed_by":"","changed_by_api_key":"","action":"deleted","table_name":"LiteLLM_VerificationToken","object_id":"hash-xyz","before_value":"{\"token\": \"hash-xyz\", \"nested\": {\"team_id\": \"team-red\"}, \"spend\": NaN}","updated_values":null,"object_team_alias":"Red team"}`,
		`{"id":"4","updated_at":"2026-01-31T12:04:00+00:00","action":"rotated","object_id":null,"changed_by":null,"table_name":null,"before_value":"[1, 2]","updated_values":"just text"}`,
	)
	r.await("")
	type model struct { // LiteLLM's model: a value of another type fails to decode
		ID            string          `json:"id"`
		UpdatedAt     string          `json:"updated_at"`
		ChangedBy     string          `json:"changed_by"`
		ChangedByKey  string          `json:"changed_by_api_key"`
		Action        string          `json:"action"`
		TableName     string          `json:"table_name"`
		ObjectID      string          `json:"object_id"`
		BeforeValue   *map[string]any `json:"before_value"`
		UpdatedValues *map[string]any `json:"updated_values"`
	}
	type answer struct {
		Logs       []json.RawMessage `json:"audit_logs"`
		Total      int               `json:"total"`
		Page       int               `json:"page"`
		PageSize   int               `json:"page_size"`
		TotalPages int               `json:"total_pages"`
	}
	for query, want := range map[string]string{
		"": "4 3 2 1", "action=updated": "2", "table_name=LiteLLM_TeamTable": "1", "object_id=hash-abc": "2", "changed_by=alice": "1", "changed_by_api_key=k2": "2",
		"object_team_id=team-blue": "2 1", "object_team_id=am-bl": "2 1", "object_team_id=team-red": "", "object_team_id=Blue": "", "object_team_id=%25": "",
		"object_key_hash=hash": "3 2", "object_key_hash=xyz": "3", "object_key_hash=HASH": "", "object_team_id=blue&object_key_hash=abc": "2", "object_team_id=blue&object_key_hash=xyz": "",
		"object_team=Blue": "1", "object_team=team-blue": "2 1", "object_team=Red": "3",
		"object_team_id=&object_key_hash=&action=&table_name=&object_id=&changed_by=&changed_by_api_key=": "4 3 2 1",
		"start_date=2026-01-31T12:02:00&end_date=2026-01-31T12:03:00":                                     "3 2", "sort_by=action&sort_order=asc": "1 3 4 2", "sort_by=table_name&sort_order=desc": "3 2 1 4",
	} {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		values.Set("page", "1")
		values.Set("page_size", "50")
		resp, body := r.ask("GET", dashboardOrigin, "/audit", values)
		if resp.StatusCode != http.StatusOK || resp.Header.Get("Access-Control-Allow-Origin") != dashboardOrigin || resp.Header.Get("Vary") != "Origin" || resp.Header.Get("Content-Type") != "application/json" {
			t.Fatalf("%s: %s %v %s", query, resp.Status, resp.Header, body)
		}
		var page answer
		if err := json.Unmarshal([]byte(body), &page); err != nil {
			t.Fatalf("%s: %v in %s", query, err, body)
		}
		var ids []string
		for _, log := range page.Logs {
			if strings.Contains(string(log), tableReading) {
				page.Total--
				continue
			}
			var m model
			var keys map[string]json.RawMessage
			if err := json.Unmarshal(log, &m); err != nil {
				t.Errorf("%s: not of the model's types: %v in %s", query, err, log)
			}
			if err := json.Unmarshal(log, &keys); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"id", "updated_at", "changed_by", "changed_by_api_key", "action", "table_name", "object_id", "before_value", "updated_values"} {
				if text, ok := keys[name]; !ok || string(text) == "null" && !strings.HasSuffix(name, "value") && !strings.HasSuffix(name, "values") {
					t.Errorf("%s: %s is %s in %s", query, name, text, log)
				}
			}
			ids = append(ids, m.ID)
		}
		if got := strings.Join(ids, " "); got != want || page.Total != len(ids) || page.Page != 1 || page.PageSize != 50 {
			t.Errorf("%s: %s (total %d), want %s", query, got, page.Total, want)
		}
	}
	for query, want := range map[string]string{
		"page=0": "greater_than_equal", "page=x": "int_parsing", "page_size=0": "greater_than_equal", "page_size=101": "less_than_equal", "page_size=-1&action=x": "greater_than_equal",
	} {
		values, _ := url.ParseQuery(query)
		resp, body := r.ask("GET", dashboardOrigin, "/audit", values)
		var failed struct {
			Detail []struct {
				Type, Msg, Input string
				Loc              []string
			}
		}
		if err := json.Unmarshal([]byte(body), &failed); err != nil || resp.StatusCode != http.StatusUnprocessableEntity || len(failed.Detail) != 1 || failed.Detail[0].Type != want || failed.Detail[0].Loc[0] != "query" {
			t.Errorf("%s: %s %s (%v)", query, resp.Status, body, err)
		}
	}
	resp, body := r.ask("GET", dashboardOrigin, "/audit/nobody", nil)
	var missing struct{ Detail struct{ Message string } }
	if err := json.Unmarshal([]byte(body), &missing); err != nil || resp.StatusCode != http.StatusNotFound || !strings.Contains(missing.Detail.Message, "nobody") {
		t.Errorf("an unknown id: %s %s", resp.Status, body)
	}
	if resp, body := r.ask("GET", dashboardOrigin, "/audit/2", nil); resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/json" || !strings.Contains(body, `"max":2`) {
		t.Errorf("one: %s %s", resp.Status, body)
	}
}

// Only pages of a configured origin may read the audit API, and nothing else of the relay.
func TestOrigins(t *testing.T) {
	r := run(t, dashboardConfig, nil)
	for path, origins := range map[string]map[string]bool{
		"/audit":        {dashboardOrigin: true, "https://litellm.example": false, "http://litellm.example:4000": false, "null": false, "https://evil.example": false, dashboardOrigin + ".evil.example": false},
		"/v1/callbacks": {dashboardOrigin: false}, "/audit/x": {dashboardOrigin: true}, "/audit/export": {dashboardOrigin: true}, "/v1/store/rebuild": {dashboardOrigin: false},
	} {
		for origin, want := range origins {
			resp, _ := r.ask(http.MethodOptions, origin, path, nil)
			allowed := resp.Header.Get("Access-Control-Allow-Origin") == origin && resp.StatusCode == http.StatusNoContent && resp.Header.Get("Access-Control-Allow-Methods") == "GET" &&
				strings.Contains(resp.Header.Get("Access-Control-Allow-Headers"), "Authorization")
			if allowed != want || resp.Header.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s from %s: %s %v", path, origin, resp.Status, resp.Header)
			}
			resp, _ = r.ask("GET", origin, path, nil)
			if got := resp.Header.Get("Access-Control-Allow-Origin"); (got != "") != want {
				t.Errorf("GET %s from %s: may be read by %q", path, origin, got)
			}
		}
	}
	// An origin removed by a reload is refused from then on.
	r.rewrite(strings.Replace(dashboardConfig, dashboardOrigin, "https://other.example", 1) + "\n")
	if status, answer := r.call("POST", "/v1/reload", "", "token-of-the-boss"); status != 200 {
		t.Fatal(answer)
	}
	if resp, _ := r.ask("GET", dashboardOrigin, "/audit", nil); resp.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("an origin that was taken away may read")
	}
}

// A record that differs from the stored one is shown as damaged, without its content, and an
// export with one is not complete.
func TestDamagedRecordsAreNotServed(t *testing.T) {
	r := run(t, storeConfigText, nil)
	for n := range 4 {
		r.send(numbered(n))
	}
	r.await("")
	file := filepath.Join(filepath.Dir(r.file), "data", "store", "store.db")
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(`UPDATE auditrelay_events SET data = replace(data, 'user-1', 'user-9') WHERE id = 'e1'`); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`UPDATE auditrelay_events SET data = 'garbage' WHERE id = 'e2'`); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]string{"e0": "verified", "e1": "damaged", "e2": "damaged", "e3": "verified"} {
		_, answer := r.call("GET", "/audit/"+id, "", storeToken)
		if !strings.Contains(answer, `"integrity":"`+want+`"`) || strings.Contains(answer, "user-9") || strings.Contains(answer, "garbage") {
			t.Errorf("%s: %s", id, answer)
		}
	}
	body, trailer, err := r.export("?format=ndjson&table_name=LiteLLM_TeamTable")
	if err != nil || !strings.HasSuffix(body, `{"auditrelay_export":{"complete":false,"records":4,"damaged":2}}`+"\n") || trailer.Get(trailerComplete) != "false" {
		t.Errorf("%v %s %v", err, body, trailer)
	}
	if body, _, err = r.export("?format=csv&table_name=LiteLLM_TeamTable"); err != nil || !strings.Contains(body, "\n#damaged,4,2,") {
		t.Errorf("%v %s", err, body)
	}
	if !strings.Contains(r.log.String(), "a record of the store is damaged") {
		t.Error("the log does not tell")
	}
	// An empty filter would export everything.
	for _, query := range []string{"/export?format=ndjson&changed_by=", "/export?format=csv&object_team_id=", "/export?format=csv&start_date=", "?page_size=1&changed_by=&cursor=x", "?cursor="} {
		if status, answer := r.call("GET", "/audit"+query, "", storeToken); status != 400 || !strings.Contains(answer, "it is empty") {
			t.Errorf("%s: %d %s", query, status, answer)
		}
	}
	if page := r.audit("?changed_by="); page.ids() == "" {
		t.Error("an empty filter of a list counts as given")
	}
}

// tableReading is the table of own records of readings, which the store gets too.
const tableReading = "auditrelay_reading"
