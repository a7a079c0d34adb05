package app

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// The trailers of a complete export.
const (
	trailerComplete = "Auditrelay-Export-Complete"
	trailerRecords  = "Auditrelay-Export-Records"
)

// export makes a request and returns its answer with the trailers.
func (r *running) export(query string) (body string, trailer http.Header, err error) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, "http://"+r.address+"/audit/export"+query, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+storeToken)
	resp, err := r.client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		r.t.Fatalf("export%s: %s", query, resp.Status)
	}
	if kind := resp.Header.Get("Content-Type"); !strings.Contains(query, "csv") && kind != "application/x-ndjson" || strings.Contains(query, "csv") && !strings.HasPrefix(kind, "text/csv") {
		r.t.Errorf("the type is %s", kind)
	}
	all, err := io.ReadAll(resp.Body)
	return string(all), resp.Trailer, err
}

func TestExport(t *testing.T) {
	r := run(t, storeConfigText, nil)
	for n := range 25 {
		r.send(numbered(n))
	}
	r.await("")
	body, trailer, err := r.export("?format=ndjson&table_name=LiteLLM_TeamTable&sort_order=asc")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(body, "\n"), "\n")
	if len(lines) != 26 || lines[25] != `{"auditrelay_export":{"complete":true,"records":25}}` {
		t.Fatalf("%d lines, the last %s", len(lines), lines[len(lines)-1])
	}
	for n, line := range lines[:25] {
		var l struct{ ID string }
		if err := json.Unmarshal([]byte(line), &l); err != nil || l.ID != fmt.Sprintf("e%d", n) {
			t.Errorf("line %d: %v in %s", n, err, line)
		}
	}
	if trailer.Get(trailerComplete) != "true" || trailer.Get(trailerRecords) != "25" {
		t.Errorf("the trailers: %v", trailer)
	}
	if body, trailer, err = r.export("?format=ndjson&id=e7&ending=false"); err != nil || strings.Count(body, "\n") != 1 || trailer.Get(trailerRecords) != "1" {
		t.Errorf("one without an ending: %v %s", err, body)
	}
	// Filtered by one field and sorted by another.
	if body, trailer, err = r.export("?format=ndjson&action=deleted&sort_by=object_id&sort_order=asc"); err != nil || trailer.Get(trailerRecords) != "8" {
		t.Errorf("sorted by another: %v %v", err, trailer)
	}
	var order []string
	for line := range strings.Lines(body) {
		var l struct{ ID string }
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		order = append(order, l.ID)
	}
	if got := strings.Join(order[:8], " "); got != "e5 e20 e11 e2 e17 e8 e23 e14" {
		t.Errorf("sorted by another: %s", got)
	}
	// Each export is recorded with its user and scope, but without the searched values.
	r.await("")
	var told []string
	for _, l := range r.audit("?table_name=auditrelay_export&sort_order=asc").Logs {
		after, err := json.Marshal(l["updated_values"])
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(after), `"records"`) { // the record of its end
			continue
		}
		told = append(told, fmt.Sprint(l["changed_by"], " ", l["object_id"], " ", string(after)))
	}
	want := []string{`auditor store {"filters":["table_name"],"format":"ndjson"}`, `auditor store {"filters":["id"],"format":"ndjson"}`, `auditor store {"filters":["action"],"format":"ndjson"}`}
	if !slices.Equal(told, want) {
		t.Errorf("told: %s", strings.Join(told, "\n"))
	}
}

// No text of a producer becomes a formula in a spreadsheet, and nothing is lost.
func TestExportAsCSV(t *testing.T) {
	r := run(t, storeConfigText, nil)
	odd := []string{"=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "\nx", "'=1", "#end", "\uff1d1", "\uff0bx", "\uff0dx", "\uff20x", `a "quoted", cell`, "plain", "two\nlines", "=cmd|' /C calc'!A0"}
	for n, value := range odd {
		text, err := json.Marshal(map[string]any{
			"id": fmt.Sprintf("e%02d", n), "updated_at": fmt.Sprintf("2026-01-31T12:%02d:00Z", n), "action": "updated", "changed_by": value,
			"before_value": value, "updated_values": map[string]string{"x": value}, "extra": value,
		})
		if err != nil {
			t.Fatal(err)
		}
		r.send(string(text))
	}
	r.await("")
	body, trailer, err := r.export("?format=csv&sort_order=asc&action=updated")
	if err != nil || trailer.Get(trailerComplete) != "true" {
		t.Fatal(err, trailer)
	}
	rows, err := csv.NewReader(strings.NewReader(body)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	columns := []string{
		"id", "updated_at", "changed_by", "changed_by_api_key", "action", "table_name", "object_id", "before_value", "updated_values",
		"other", "namespace", "journal", "sequence", "received", "tombstone", "integrity", "conflict", "source", "principal",
	}
	if !slices.Equal(rows[0], columns) || len(rows) != len(odd)+2 {
		t.Fatalf("%d rows, the first %v", len(rows), rows[0])
	}
	for n, value := range odd {
		row := rows[n+1]
		for _, cell := range row {
			if cell != "" && strings.ContainsAny(cell[:1], "=+-@\t\r\n#") {
				t.Errorf("a cell that could be a formula: %q", cell)
			}
		}
		if got := strings.TrimPrefix(row[2], "'"); value[0] != '\'' && strings.ReplaceAll(value, "\r", "\n") != strings.ReplaceAll(got, "\r", "\n") {
			t.Errorf("changed_by %q came as %q", value, row[2])
		}
		if value == "'=1" && row[2] != "''=1" {
			t.Errorf("an apostrophe of its own: %q", row[2])
		}
		var updated, other map[string]string
		if err := errors.Join(json.Unmarshal([]byte(row[8]), &updated), json.Unmarshal([]byte(row[9]), &other)); err != nil || updated["x"] != value || other["extra"] != value {
			t.Errorf("row %v: %v", row, err)
		}
	}
	if end := rows[len(rows)-1]; end[0] != "#end" || end[1] != fmt.Sprint(len(odd)) {
		t.Errorf("the end: %v", end)
	}
}
