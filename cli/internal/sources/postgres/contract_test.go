package postgres_test

import (
	"fmt"
	"testing"

	"auditrelay/cli/internal/sources"
	"auditrelay/cli/internal/sources/postgres"
	"auditrelay/cli/internal/sources/sourcetest"
	"auditrelay/internal/test/pgtest"
	"auditrelay/runtime"
)

func TestTheTableIsASource(t *testing.T) {
	pg := pgtest.Start(t)
	db := pg.Connect(t, "owner", "postgres")
	configured := fmt.Sprintf("ingest: {postgres: {url: %q, poll: 10ms}}\n", pg.URL("owner", "postgres"))
	sourcetest.Run(t, sourcetest.Subject{
		New: func(_ *testing.T, host *sources.Host, _ *runtime.Runtime) sources.Source {
			db.Exec(`DROP TABLE IF EXISTS "LiteLLM_AuditLog"; ` + pgtest.Table)
			return postgres.NewSource(host)
		},
		Check:      postgres.Check,
		Configured: configured,
		Without:    "ingest: {}\n",
		Bad:        "ingest: {postgres: {poll: 10ms}}\n",
		Sender:     postgres.DefaultTable,
		Silent:     true,
		Send: func(_ *testing.T, _ sources.Source, id string) error {
			db.Exec(fmt.Sprintf(`INSERT INTO "LiteLLM_AuditLog" (id, action, table_name, object_id) VALUES ('%s', 'created', 't', 'o')`, id))
			return nil
		},
	})
}
