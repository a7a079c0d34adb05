package http

import (
	"fmt"
	"strings"

	"auditrelay/config"
)

// The roles that a bearer token may have. Ingest submits events and nothing
// else. View sees everything but contents: states, accounts, metrics, where an
// event is. Auditor sees what was done to the relay too, and proofs. Comply sees contents too: events and dead letters as accepted.
// Operate changes what callbacks do: pause, attach, discard, replay. Admin may do
// all of that, reload the configuration and take backups, which hold contents. Relay is
// Ingest for another relay, whose own records may come in; nothing brings it along.
const (
	roleIngest  = config.RoleIngest
	roleView    = config.RoleView
	roleAuditor = config.RoleAuditor
	roleComply  = config.RoleComply
	roleOperate = config.RoleOperate
	roleAdmin   = config.RoleAdmin
	roleRelay   = config.RoleRelay
)

// roles lists the roles, from least to most.
func roles() []config.Role {
	return []config.Role{roleIngest, roleView, roleAuditor, roleComply, roleOperate, roleAdmin, roleRelay}
}

// implied are the roles that a role brings with it.
func implied(r config.Role) (also []config.Role, ok bool) {
	switch r {
	case roleIngest, roleView:
		return nil, true
	case roleAuditor, roleOperate:
		return []config.Role{roleView}, true
	case roleComply:
		return []config.Role{roleView, roleAuditor}, true
	case roleRelay:
		return []config.Role{roleIngest}, true
	case roleAdmin:
		return []config.Role{roleIngest, roleView, roleAuditor, roleComply, roleOperate}, true
	}
	return nil, false
}

// roleSet is a set of roles, closed over what they imply.
type roleSet map[config.Role]bool

func newRoleSet(given ...config.Role) (roleSet, error) {
	set := roleSet{}
	for _, r := range given {
		also, ok := implied(r)
		if !ok {
			return nil, fmt.Errorf("unknown role %q: the roles are %s", string(r), roleNames())
		}
		set[r] = true
		for _, a := range also {
			set[a] = true
		}
	}
	return set, nil
}

func roleNames() string {
	var names []string
	for _, r := range roles() {
		names = append(names, string(r))
	}
	return strings.Join(names, ", ")
}
