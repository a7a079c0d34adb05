package config

import (
	"slices"
	"strings"
)

// ownPrincipals are the names under which own records have what no client does.
var ownPrincipals = []string{"local", "relay", "signal", "canary", "config file", "an operator", "auditrelay", "command line", "retention", "start", "store"}

// IsOwnPrincipal reports whether the relay's own records use a name for what the relay does
// by itself, or for who has no name: a client of that name could not be told from it.
func IsOwnPrincipal(name string) bool {
	return slices.Contains(ownPrincipals, strings.ToLower(name)) || strings.HasPrefix(name, "hook:")
}
