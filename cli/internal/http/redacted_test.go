package http

import (
	"strings"
	"testing"

	"auditrelay/config"
)

// TestAProducersActionNeedsComply: a producer can write anything in the place of an action. The
// role view sees the known actions only, as in metrics and tombstones.
func TestAProducersActionNeedsComply(t *testing.T) {
	var given []config.Token
	for _, role := range []config.Role{"ingest", "view", "comply"} {
		given = append(given, config.Token{Name: string(role), Token: tokenOf(role), Roles: []config.Role{role}})
	}
	r := newRelay(t, Options{Config: tokens(given)})
	as := func(role config.Role) []string { return []string{"Authorization", "Bearer " + tokenOf(role).Reveal()} }
	for id, action := range map[string]string{"known": "updated", "unknown": "CONTENTS of jane@example.com"} {
		body := strings.Replace(event(id), `"created"`, `"`+action+`"`, 1)
		if !strings.Contains(body, action) {
			t.Fatalf("the event has another action: %s", body)
		}
		if status, answer, _ := r.call("POST", "/v1/events", body, as("ingest")...); status != 200 {
			t.Fatal(answer)
		}
	}
	r.settle()
	for _, row := range []struct {
		role     config.Role
		id, want string
	}{
		{"view", "known", `"action":"updated"`},
		{"view", "unknown", `"action":"other"`},
		{"comply", "unknown", `"action":"CONTENTS of jane@example.com"`},
	} {
		if _, answer, _ := r.call("GET", "/v1/events/"+row.id, "", as(row.role)...); !strings.Contains(answer, row.want) {
			t.Errorf("%s as %s: want %s: %s", row.id, row.role, row.want, answer)
		}
	}
}
