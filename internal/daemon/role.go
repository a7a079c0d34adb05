package daemon

import (
	"fmt"
	"strings"
)

// Role is what a bearer token allows.
type Role string

const (
	// RoleIngest may submit events and nothing else.
	RoleIngest Role = "ingest"
	// RoleView may see everything but contents: states, accounts, metrics, where
	// an event is.
	RoleView Role = "view"
	// RoleComply may see contents too: events and dead letters as accepted.
	RoleComply Role = "comply"
	// RoleOperate may change what callbacks do: pause, attach, discard, replay.
	RoleOperate Role = "operate"
	// RoleAdmin may do everything: beside what the others allow, reload the
	// configuration and take backups, which hold contents.
	RoleAdmin Role = "admin"
)

// Roles lists the roles, from least to most.
func Roles() []Role {
	return []Role{RoleIngest, RoleView, RoleComply, RoleOperate, RoleAdmin}
}

// implied are the roles that a role brings with it.
var implied = map[Role][]Role{
	RoleIngest:  nil,
	RoleView:    nil,
	RoleComply:  {RoleView},
	RoleOperate: {RoleView},
	RoleAdmin:   {RoleIngest, RoleView, RoleComply, RoleOperate},
}

// roleSet is a set of roles, closed over what they imply.
type roleSet map[Role]bool

func newRoleSet(roles ...Role) (roleSet, error) {
	set := roleSet{}
	for _, r := range roles {
		also, ok := implied[r]
		if !ok {
			return nil, fmt.Errorf("unknown role %q: the roles are %s", string(r), strings.Join(roleNames(), ", "))
		}
		set[r] = true
		for _, a := range also {
			set[a] = true
		}
	}
	return set, nil
}

func roleNames() []string {
	names := make([]string, 0, len(implied))
	for _, r := range Roles() {
		names = append(names, string(r))
	}
	return names
}
