package config

import (
	"slices"
	"strings"
	"time"
)

// Approvals says how many principals must agree to an act that gives up events. The principal
// who requests the act counts as the first. Default: 1, whoever may do the act.
type Approvals struct {
	// Detach is the number for detaching a callback.
	Detach int `yaml:"detach" range:"1..5"`
	// Discard is the number for discarding dead letters, including those of a period whose key
	// is destroyed.
	Discard int `yaml:"discard" range:"1..5"`
	// QuarantineDelete is the number for deleting items from the quarantine. With 2 or more, no
	// item can be replayed with changed content (--edit).
	QuarantineDelete int `yaml:"quarantine delete" range:"1..5"`
	// KeyringDestroy is the number for destroying the key of a period.
	KeyringDestroy int `yaml:"keyring destroy" range:"1..5"`
	// Within is how long a request waits for approvals. Default: 24h.
	Within time.Duration `yaml:"within" range:"1m..168h"`
}

func (c checker) approvals() {
	a := &c.Approvals
	admins, operators := c.holders(RoleAdmin), c.holders(RoleAdmin, RoleOperate)
	for _, one := range []struct {
		key  string
		need int
		have int
		role string
	}{
		{"detach", a.Detach, operators, "operate"}, {"discard", a.Discard, operators, "operate"},
		{"quarantine delete", a.QuarantineDelete, operators, "operate"}, {"keyring destroy", a.KeyringDestroy, admins, "admin"},
	} {
		switch {
		case one.need < 2:
		case c.Open():
			c.bad(at("approvals", one.key), "it needs principals that can be told apart: configure tokens or oidc")
		case !c.OIDC.Enabled() && one.have < one.need:
			c.bad(at("approvals", one.key), "it needs %d principals, and tokens name %d with the role %s: nobody could ever approve it", one.need, one.have, one.role)
		}
	}
}

// holders returns the number of distinct names of tokens that have one of the roles.
func (c checker) holders(roles ...Role) int {
	names := map[string]bool{}
	for _, t := range c.Tokens {
		for _, role := range t.Roles {
			if slices.Contains(roles, role) {
				names[strings.ToLower(t.Name)] = true // names are compared without case
			}
		}
	}
	return len(names)
}
