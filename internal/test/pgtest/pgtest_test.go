package pgtest

import (
	"slices"
	"testing"
)

func TestAServerThatStopsAndStarts(t *testing.T) {
	s := Start(t)
	s.Connect(t, "owner", "postgres").Exec(Table)
	s.Connect(t, "owner", "postgres").Exec(`INSERT INTO "LiteLLM_AuditLog" (id, action, table_name, object_id) VALUES ('a', 'created', 't', 'o')`)
	s.Stop(t, "immediate")
	s.Restart(t)
	if got := s.Connect(t, "owner", "postgres").Exec(`SELECT id, action FROM "LiteLLM_AuditLog"`); !slices.Equal(got, []string{"a|created"}) {
		t.Errorf("%q", got)
	}
}
