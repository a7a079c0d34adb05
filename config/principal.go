package config

import (
	"slices"
	"strings"
)

// ownPrincipals are the names in own records of acts that no client did.
var ownPrincipals = []string{"local", "relay", "signal", "canary", "config file", "an operator", "auditrelay", "command line", "retention", "start", "store"}

// IsOwnPrincipal reports whether own records use a name for the relay itself or for an unnamed
// user. A client with that name could not be distinguished from it.
func IsOwnPrincipal(name string) bool {
	return slices.Contains(ownPrincipals, strings.ToLower(name)) || strings.HasPrefix(name, "hook:")
}
