package http

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/builtin/sqlite"
	"auditrelay/config"
	"auditrelay/internal/auditstore"

	"github.com/tidwall/gjson"
)

// sqliteStore is the store of the callback archive.
type sqliteStore struct {
	t *testing.T
	o sqlite.Options
}

func (s sqliteStore) Serving() (Store, error) { return s, nil }
func (s sqliteStore) Callback() string        { return "archive" }
func (s sqliteStore) Place() string           { return s.o.Path }

func (s sqliteStore) Read(ctx context.Context) (*auditstore.Store, error) {
	reader, err := sqlite.Open(ctx, s.o)
	if err == nil {
		s.t.Cleanup(func() { _ = reader.Close() })
	}
	return reader, err
}

// newStoreRelay returns a relay with a store as its only callback.
func newStoreRelay(t *testing.T) *relay {
	t.Helper()
	o := sqlite.Options{Path: filepath.Join(t.TempDir(), "store.db")}
	sink, err := sqlite.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return newRelay(t, Options{Stores: sqliteStore{t, o}}, callbackOf("archive", sink))
}

// numbered returns a distinct event.
func numbered(n int) string {
	return strings.Replace(event(fmt.Sprint("e", n)), `"changed_by":"u"`, fmt.Sprintf(`"changed_by":"user-%d"`, n), 1)
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

// An export that fails in the middle is visibly truncated: no client takes it for complete.
func TestAnExportThatFailsIsCutOff(t *testing.T) {
	r := newStoreRelay(t)
	big := `"` + strings.Repeat("x", 40<<10) + `"`
	for n := range 8 {
		if status, answer, _ := r.call("POST", "/v1/events", strings.Replace(numbered(n), `"user-`, big+`,"more2":"user-`, 1)); status != 200 {
			t.Fatal(answer)
		}
	}
	r.settle()
	handle := func(w *auditWriter, req *http.Request, _ principal, _ recorder, from *auditstore.Store) error {
		_, err := r.srv.exportAll(req.Context(), from, &auditQuery{}, &failingFormat{ndjsonExport{w}, 5})
		return err
	}
	r.http.Config.Handler = r.srv.wrap(route{method: "GET", path: "/", role: noRole, handle: r.srv.audited(r.srv.audit.exports, handle)})
	resp, err := r.http.Client().Get(r.http.URL + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil || len(body) == 0 {
		t.Errorf("%d bytes came, and the end of them as if all were well: %v", len(body), err)
	}
	// If nothing was sent before, it is a normal error response.
	handle = func(*auditWriter, *http.Request, principal, recorder, *auditstore.Store) error { return errPlanted }
	r.http.Config.Handler = r.srv.wrap(route{method: "GET", path: "/", role: noRole, handle: r.srv.audited(r.srv.audit.exports, handle)})
	if status, answer, _ := r.call("GET", "/", ""); status != http.StatusServiceUnavailable || strings.Contains(answer, "planted") {
		t.Errorf("at once: %d %s", status, answer)
	}
}

// growingFormat stores another record with each exported one.
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
	_, err := f.into.Put(f.t.Context(), "j.1", []auditstore.Record{{Sequence: uint64(1000 + f.n), ID: fmt.Sprint("new-", f.n), Time: at, Received: at, Data: []byte("{}")}}, 0)
	return err
}

func (f *growingFormat) end(exported) error { return nil }

// Records stored after an export began are not part of it. Otherwise it might never end.
func TestAnExportEnds(t *testing.T) {
	s, err := sqlite.Maintain(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "a.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if n, err := (&Server{log: quiet()}).exportAll(t.Context(), s, &auditQuery{}, &growingFormat{t: t, into: s}); err != nil || n.records != 0 {
		t.Errorf("of nothing: %d, %v", n, err)
	}
	var records []auditstore.Record
	for n := range auditstore.MaxPage + 5 {
		records = append(records, auditstore.Record{Sequence: uint64(n + 1), ID: fmt.Sprint(n), Data: []byte("{}")})
	}
	if _, err := s.Put(t.Context(), "k.1", records, 0); err != nil {
		t.Fatal(err)
	}
	seen := 0
	q := auditQuery{Query: auditstore.Query{Ascending: true}}
	n, err := (&Server{log: quiet()}).exportAll(t.Context(), s, &q, countingFormat{func() error {
		if seen++; seen%500 != 0 {
			return nil
		}
		return (&growingFormat{t: t, into: s, n: seen / 500}).record(nil)
	}})
	if err != nil || int(n.records) != len(records) {
		t.Errorf("%d records were exported, %v; there were %d when it began", n.records, err, len(records))
	}
}

type countingFormat struct{ each func() error }

func (f countingFormat) record(*auditstore.Row) error { return f.each() }
func (f countingFormat) end(exported) error           { return nil }

// An export that cannot be recorded is not answered.
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

// No query string causes a server error, or finds records that it did not request.
func FuzzAuditQuery(f *testing.F) {
	for _, raw := range []string{
		"page=2&page_size=5", "action=created&changed_by=u%27%20OR%201=1", "start_date=2026-01-01&end_date=2026-01-31T00:00:00Z", "sort_by=action&sort_order=asc",
		"cursor=AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "id=%00", "object_id=';DROP TABLE auditrelay_events;--", "exact_total=true", "a;b", "%", "page=1&page=2",
	} {
		f.Add(raw)
	}
	s, err := sqlite.Maintain(context.Background(), sqlite.Options{Path: filepath.Join(f.TempDir(), "a.db")})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { s.Close() })
	_, err = s.Put(context.Background(), "j.1", []auditstore.Record{{Sequence: 1, Namespace: "litellm", ID: "a", Data: []byte(`{"action":"created","object_id":"o"}`)}}, 0)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		q, refused := readAuditQuery(raw, listParams, "")
		if refused != nil {
			if refused.Status != http.StatusBadRequest || len(refused.Message) > 10_000 {
				t.Errorf("%q: %d %d", raw, refused.Status, len(refused.Message))
			}
			return
		}
		if q.page < 1 || q.pageSize < 1 || q.pageSize > maxAuditPageSize {
			t.Fatalf("%q: %+v", raw, q)
		}
		page, total, _, err := searchPage(t.Context(), s, &q)
		if err != nil && !errors.Is(err, auditstore.ErrGone) {
			t.Fatalf("%q: %v", raw, err)
		}
		for _, f := range auditstore.Filterable() {
			want := map[auditstore.Field]string{"action": "created", "object_id": "o", "id": "a"}[f]
			if value, ok := q.Equal[f]; ok && value != want && (len(page.Places) > 0 || total > 0) {
				t.Errorf("%q finds what has another %s", raw, f)
			}
		}
		out := bufio.NewWriter(io.Discard)
		writeAuditHead(out, &q, total, true, "")
		if values, err := url.ParseQuery(raw); err != nil || len(values) > len(listParams) {
			t.Errorf("%q was taken", raw)
		}
	})
}

// TestExportsOfOtherSchemas: both formats have the mapped fields under LiteLLM's names, and the
// event itself as the updated values.
func TestExportsOfOtherSchemas(t *testing.T) {
	row := auditstore.Row{Sequence: 1, Namespace: "shop", ID: "o1", Integrity: auditstore.Verified, Data: []byte(`{"verb":"buy","by":"jane","id":7,"action":"other"}`),
		Mapping: &auditrelay.Mapping{Schema: "shop", Action: "verb", Actor: "by", Object: "=book", ObjectType: "=order"}}
	var out bytes.Buffer
	e := &csvExport{out: csv.NewWriter(&out)}
	if err := e.record(&row); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&out).ReadAll()
	if err != nil || len(rows) != 2 {
		t.Fatal(rows, err)
	}
	if got := strings.Join(rows[1][:10], "|"); got != "o1|0001-01-01T00:00:00+00:00|jane||buy|order|book||"+string(row.Data)+"|" {
		t.Errorf("%s", got)
	}
	var log struct {
		ID, Action string
		ChangedBy  string          `json:"changed_by"`
		Object     string          `json:"object_id"`
		After      json.RawMessage `json:"updated_values"`
		Record     auditRecord     `json:"auditrelay_record"`
	}
	if err := json.Unmarshal(auditLog(&row), &log); err != nil || log.ID != "o1" || log.Action != "buy" || log.ChangedBy != "jane" || log.Object != "book" || string(log.After) != string(row.Data) || log.Record.Schema != "shop" {
		t.Errorf("%+v, %v", log, err)
	}
}

// TestAnExportOfAnOrigin: an export can be filtered by the origin of events, which no event can
// choose. Its record names the filter but not its value.
func TestAnExportOfAnOrigin(t *testing.T) {
	const usual, x, all = "the-usual-sender-01", "the-sender-of-x-0123", "the-reader-of-all-01"
	o := sqlite.Options{Path: filepath.Join(t.TempDir(), "store.db")}
	sink, err := sqlite.New(o)
	if err != nil {
		t.Fatal(err)
	}
	r := newRelay(t, Options{Stores: sqliteStore{t, o}, Config: tokens([]config.Token{
		{Name: "usual", Token: usual, Roles: []config.Role{"ingest"}},
		{Name: "x", Token: x, Roles: []config.Role{"ingest", "comply"}, Namespace: "team-x"},
		{Name: "all", Token: all, Roles: []config.Role{"comply"}},
	})}, callbackOf("archive", sink))
	as := func(token, method, path, body string) (int, string) {
		t.Helper()
		status, answer, _ := r.call(method, path, body, "Authorization", "Bearer "+token)
		return status, answer
	}
	forged := strings.Replace(event("a"), `"changed_by":"u"`, `"changed_by":"u","principal":"x","auditrelay_record":{"principal":"x"}`, 1)
	for body, token := range map[string]string{forged: usual, event("b"): x} {
		if status, answer := as(token, "POST", "/v1/events", body); status != http.StatusOK {
			t.Fatal(status, answer)
		}
	}
	r.settle()
	ids := func(token, query string) string {
		t.Helper()
		status, answer := as(token, "GET", "/audit/export?format=ndjson&ending=false&sort_by=id&sort_order=asc&"+query, "")
		if status != http.StatusOK {
			return fmt.Sprint(status)
		}
		var found []string
		for line := range strings.Lines(answer) {
			one := gjson.Parse(line)
			record := one.Get(recordField)
			if record.Get("source").Str != "relay" {
				found = append(found, one.Get("id").Str+" "+record.Get("source").Str+" "+record.Get("principal").Str)
			}
		}
		return strings.Join(found, ", ")
	}
	for _, tt := range []struct{ token, query, want string }{
		{all, "principal=x", "b http x"},
		{all, "principal=usual", "a http usual"},
		{all, "source=http", "a http usual, b http x"},
		{all, "source=s3", ""},
		{all, "source=http&namespace=team-x", "b http x"},
		{x, "source=http", "b http x"},
		{x, "namespace=team-x", "b http x"},
		{x, "namespace=litellm", "400"},
		{x, "principal=usual", ""},
		{all, "principal=", "400"},
	} {
		if got := ids(tt.token, tt.query); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.query, got, tt.want)
		}
	}
	if _, csv := as(all, "GET", "/audit/export?format=csv&principal=usual", ""); !strings.Contains(csv, "verified,false,http,usual") {
		t.Error(csv)
	}
	if status, _ := as(all, "GET", "/audit?principal=x", ""); status != http.StatusBadRequest {
		t.Errorf("a list takes it: %d", status)
	}
	r.settle()
	if records := ids(all, "table_name=auditrelay_export"); records != "" {
		t.Error(records)
	}
	_, own := as(all, "GET", "/audit/export?format=ndjson&ending=false&source=relay&table_name=auditrelay_export", "")
	if !strings.Contains(own, `"filters":["namespace","source"]`) || strings.Contains(own, "team-x") {
		t.Errorf("the records of the exports: %s", own)
	}
}
