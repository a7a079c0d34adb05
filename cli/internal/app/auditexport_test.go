package app

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"auditrelay/builtin/sqlite"
	"auditrelay/internal/auditstore"
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
	// Who exported what is an event, without the values that were searched for.
	r.await("")
	var told []string
	for _, l := range r.audit("?table_name=" + tableExport + "&sort_order=asc").Logs {
		after, err := json.Marshal(l["updated_values"])
		if err != nil {
			t.Fatal(err)
		}
		told = append(told, fmt.Sprint(l["changed_by"], " ", l["object_id"], " ", string(after)))
	}
	want := []string{`auditor store {"filters":["table_name"],"format":"ndjson"}`, `auditor store {"filters":["id"],"format":"ndjson"}`}
	if !slices.Equal(told, want) {
		t.Errorf("told: %s", strings.Join(told, "\n"))
	}
}

// A spreadsheet takes none of what a producer wrote for a formula, and nothing is lost.
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
	if !slices.Equal(rows[0], csvColumns) || len(rows) != len(odd)+2 {
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
	if end := rows[len(rows)-1]; end[0] != csvEnd || end[1] != fmt.Sprint(len(odd)) {
		t.Errorf("the end: %v", end)
	}
}

// failingFormat fails after some records.
type failingFormat struct {
	exportFormat
	left int
}

var errPlanted = errors.New("planted")

func (f *failingFormat) record(row *auditstore.Row) error {
	if f.left--; f.left < 0 {
		return errPlanted
	}
	return f.exportFormat.record(row)
}

// An export that fails on its way is cut off: no client takes it for whole.
func TestAnExportThatFailsIsCutOff(t *testing.T) {
	r := newStoreRelay(t)
	big := `"` + strings.Repeat("x", 40<<10) + `"`
	for n := range 8 {
		if status, answer, _ := r.call("POST", "/v1/events", strings.Replace(numbered(n), `"user-`, big+`,"more2":"user-`, 1)); status != 200 {
			t.Fatal(answer)
		}
	}
	r.settle()
	handle := func(w *auditWriter, req *http.Request, _ principal, _ *liveStore, from *auditstore.Store) error {
		_, err := exportAll(req.Context(), from, &auditQuery{}, &failingFormat{ndjsonExport{w}, 5})
		return err
	}
	r.http.Config.Handler = r.srv.wrap(route{"GET", "/", noRole, r.srv.audited(r.srv.audit.exports, handle), false})
	resp, err := r.http.Client().Get(r.http.URL + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil || len(body) == 0 {
		t.Errorf("%d bytes came, and the end of them as if all were well: %v", len(body), err)
	}
	// Before anything was sent it is an answer as others are.
	handle = func(*auditWriter, *http.Request, principal, *liveStore, *auditstore.Store) error { return errPlanted }
	r.http.Config.Handler = r.srv.wrap(route{"GET", "/", noRole, r.srv.audited(r.srv.audit.exports, handle), false})
	if status, answer, _ := r.call("GET", "/", ""); status != http.StatusServiceUnavailable || strings.Contains(answer, "planted") {
		t.Errorf("at once: %d %s", status, answer)
	}
}

// growingFormat stores another record with each that is exported.
type growingFormat struct {
	t    *testing.T
	into *auditstore.Store
	n    int
}

func (f *growingFormat) record(*auditstore.Row) error {
	if f.n++; f.n > 100 {
		return errPlanted
	}
	at := time.Now().Add(time.Duration(f.n) * time.Second)
	_, err := f.into.Put(f.t.Context(), "j.1", []auditstore.Record{{Sequence: uint64(1000 + f.n), ID: fmt.Sprint("new-", f.n), Time: at, Received: at, Data: []byte("{}")}})
	return err
}

func (f *growingFormat) end(int64) error { return nil }

// What is stored after an export began is not part of it, or it might never end.
func TestAnExportEnds(t *testing.T) {
	s, err := sqlite.Maintain(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "a.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if n, err := exportAll(t.Context(), s, &auditQuery{}, &growingFormat{t: t, into: s}); err != nil || n != 0 {
		t.Errorf("of nothing: %d, %v", n, err)
	}
	var records []auditstore.Record
	for n := range auditstore.MaxPage + 5 {
		records = append(records, auditstore.Record{Sequence: uint64(n + 1), ID: fmt.Sprint(n), Data: []byte("{}")})
	}
	if _, err := s.Put(t.Context(), "k.1", records); err != nil {
		t.Fatal(err)
	}
	seen := 0
	q := auditQuery{Query: auditstore.Query{Ascending: true}}
	n, err := exportAll(t.Context(), s, &q, countingFormat{func() error {
		if seen++; seen%500 != 0 {
			return nil
		}
		return (&growingFormat{t: t, into: s, n: seen / 500}).record(nil)
	}})
	if err != nil || int(n) != len(records) {
		t.Errorf("%d records were exported, %v; there were %d when it began", n, err, len(records))
	}
}

type countingFormat struct{ each func() error }

func (f countingFormat) record(*auditstore.Row) error { return f.each() }
func (f countingFormat) end(int64) error              { return nil }

// An export that leaves no record gets no answer.
func TestAnExportThatCannotBeRecordedIsNotAnswered(t *testing.T) {
	r := newStoreRelay(t)
	if status, answer, _ := r.call("POST", "/v1/events", numbered(1)); status != 200 {
		t.Fatal(answer)
	}
	r.settle()
	if status, answer, _ := r.call("GET", "/audit/export?format=ndjson", ""); status != 200 || !strings.Contains(answer, `"e1"`) {
		t.Fatal(status, answer)
	}
	if err := r.rt.Close(); err != nil {
		t.Fatal(err)
	}
	if status, answer, _ := r.call("GET", "/audit/export?format=ndjson", ""); status != http.StatusServiceUnavailable || strings.Contains(answer, `"e1"`) {
		t.Errorf("unrecorded: %d %s", status, answer)
	}
}
