package app

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"auditrelay/cli/internal/api"
	"auditrelay/cli/internal/sources/postgres"
	"auditrelay/internal/test/pgtest"
)

const auditRow = `INSERT INTO "LiteLLM_AuditLog" (id, action, table_name, object_id) VALUES ('%s', 'created', 't', 'o')`

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !is(); {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

func TestTheDaemonTailsATable(t *testing.T) {
	pg := pgtest.Start(t)
	db := pg.Connect(t, "owner", "postgres")
	db.Exec(pgtest.Table + `; CREATE ROLE reader LOGIN; GRANT SELECT ON "LiteLLM_AuditLog" TO reader`)
	db.Exec(fmt.Sprintf(auditRow, "past"))
	text := func(more string) string {
		return fmt.Sprintf("data_dir: %s\ncallbacks: [{name: archive, sink: {memory: {}}}]\n", filepath.Join(t.TempDir(), "data")) + more
	}
	tailed := fmt.Sprintf("ingest: {postgres: {url: %q, poll: 10ms}}\n", pg.URL("reader", "postgres"))
	base := text("")
	r := run(t, base+tailed, memorySinks)
	known := func(id string) bool {
		status, _ := r.call(http.MethodGet, "/v1/events/"+id, "", "")
		return status == http.StatusOK
	}
	eventually(t, "the past", func() bool { return known("past") })
	db.Exec(fmt.Sprintf(auditRow, "new"))
	eventually(t, "a new row", func() bool { return known("new") })
	source := func() api.Source {
		_, answer := r.call(http.MethodGet, "/v1/sources", "", "")
		return sourceOf(t, decodeText[[]api.Source](t, answer), "postgres", "LiteLLM_AuditLog")
	}
	eventually(t, "its state", func() bool {
		s := source()
		return s.Tail != nil && s.Tail.State == postgres.StateFollowing && s.Events == 2 && s.Tail.Rows.Accepted == 2
	})
	_, metrics := r.call(http.MethodGet, "/metrics", "", "")
	for _, line := range []string{
		`auditrelay_tail_state{source="LiteLLM_AuditLog",state="following"} 1`,
		`auditrelay_tail_state{source="LiteLLM_AuditLog",state="disconnected"} 0`,
		`auditrelay_tail_rows_total{result="accepted",source="LiteLLM_AuditLog"} 2`,
		`auditrelay_tail_lag_seconds{source="LiteLLM_AuditLog"}`, `auditrelay_tail_position{source="LiteLLM_AuditLog"}`,
	} {
		if !strings.Contains(metrics, line) {
			t.Errorf("metrics lack %s", line)
		}
	}

	// If it is removed from the configuration, it is no longer read. If it returns, reading
	// continues where it ended.
	r.mustReload(base)
	if _, answer := r.call(http.MethodGet, "/v1/sources", "", ""); strings.Contains(answer, "LiteLLM_AuditLog") {
		t.Errorf("still awaited: %s", answer)
	}
	db.Exec(fmt.Sprintf(auditRow, "meanwhile"))
	r.mustReload(base + tailed)
	eventually(t, "what came meanwhile", func() bool { return known("meanwhile") })
	if s := source(); s.Tail.Rows.Accepted != 1 {
		t.Errorf("%+v", s.Tail.Rows)
	}
}

func TestAConnectionStringThatIsNoneQuotesNothing(t *testing.T) {
	file := writeConfig(t, "ingest: {postgres: {url: \"postgres://u:s3cr3t pass@h:port/db\"}}\ncallbacks: []\n")
	_, err := newAssembler(t, nil).loadConfig(file)
	if err == nil || !strings.Contains(err.Error(), "ingest.postgres.url") || strings.Contains(err.Error(), "s3cr3t") || strings.Contains(err.Error(), "pass@") {
		t.Errorf("%v", err)
	}
}

func TestReconcileOverHTTP(t *testing.T) {
	pg := pgtest.Start(t)
	db := pg.Connect(t, "owner", "postgres")
	db.Exec(pgtest.Table + `; CREATE ROLE reader LOGIN; GRANT SELECT ON "LiteLLM_AuditLog" TO reader`)
	db.Exec(fmt.Sprintf(auditRow, "old") + `; UPDATE "LiteLLM_AuditLog" SET updated_at = '2026-03-01'`)
	const comply, admin = "token-of-compliance", "token-of-the-admin"
	text := fmt.Sprintf("data_dir: %s\ncallbacks: [{name: archive, sink: {memory: {}}}]\ntokens: [{name: c, token: %s, roles: [comply]}, {name: a, token: %s, roles: [admin]}]\n",
		filepath.Join(t.TempDir(), "data"), comply, admin)
	r := run(t, text, memorySinks)
	const window = `{"from": "2026-03-01T00:00:00Z", "to": "2026-03-02T00:00:00Z"`
	ask := func(body, token string) (int, string) { return r.call(http.MethodPost, "/v1/reconcile", body, token) }
	if status, answer := ask(window+"}", comply); status != http.StatusConflict || !strings.Contains(answer, "ingest.postgres") {
		t.Errorf("%d %s", status, answer)
	}
	r.rewrite(text + fmt.Sprintf("ingest: {postgres: {url: %q, poll: 10ms, from: now}}\n", pg.URL("reader", "postgres")))
	if status, answer := r.call(http.MethodPost, "/v1/reload", "", admin); status != http.StatusOK {
		t.Fatalf("%d %s", status, answer)
	}
	const missing = `{"difference":{"missing_from":"journal","id":"old","time":"2026-03-01T00:00:00Z"`
	for _, c := range []struct {
		body, token string
		status      int
		want        string
	}{
		{"{}", comply, http.StatusBadRequest, "both are required"},
		{`{"from": "yesterday"}`, comply, http.StatusBadRequest, "expected"},
		{window + `, "repair": true}`, comply, http.StatusForbidden, "admin"},
		{window + "}", comply, http.StatusOK, missing + "}}\n" + `{"done":{"rows":1,"events":0,"missing_in_journal":1,"missing_in_table":0`},
		{window + `, "repair": true}`, admin, http.StatusOK, missing + `,"repaired":true}}`},
		{window + "}", comply, http.StatusOK, `{"done":{"rows":1,"events":1,"missing_in_journal":0,"missing_in_table":0`},
	} {
		if status, answer := ask(c.body, c.token); status != c.status || !strings.Contains(answer, c.want) {
			t.Errorf("%s: %d %s, want %d with %s", c.body, status, answer, c.status, c.want)
		}
	}
	_, records := r.call(http.MethodGet, "/v1/control?limit=1000", "", admin)
	for _, want := range []string{`"act":"repair","outcome":"begun"`, `"act":"repair","outcome":"done"`, `"repaired":1`} {
		if !strings.Contains(records, want) {
			t.Errorf("the repair's records do not have %s:\n%s", want, records)
		}
	}
	pg.Stop(t, "immediate")
	if status, answer := ask(window+"}", comply); status != http.StatusBadGateway || !strings.Contains(answer, "could not be read") {
		t.Errorf("%d %s", status, answer)
	}
}
