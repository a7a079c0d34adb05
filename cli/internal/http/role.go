package http

import (
	"fmt"
	"strings"

	"auditrelay/config"
)

// The roles that a bearer token may have. Ingest submits events and does nothing else. View
// reads everything except contents: states, accounts, metrics, and where an event is. Auditor
// also reads what was done to the relay, and proofs. Comply also reads contents: events and
// dead letters as accepted. Operate controls callbacks: pause, attach, discard, replay. Admin
// may do all of that, reload the configuration and take backups, which include contents. Relay
// is Ingest for another relay and also accepts that relay's own records; no other role implies
// it.
const (
	roleIngest  = config.RoleIngest
	roleView    = config.RoleView
	roleAuditor = config.RoleAuditor
	roleComply  = config.RoleComply
	roleOperate = config.RoleOperate
	roleAdmin   = config.RoleAdmin
	roleRelay   = config.RoleRelay
)

// roles returns the roles, from least to most powerful.
func roles() []config.Role {
	return []config.Role{roleIngest, roleView, roleAuditor, roleComply, roleOperate, roleAdmin, roleRelay}
}

// implied returns the roles that a role includes.
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

// roleSet is a set of roles together with all roles that they imply.
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
