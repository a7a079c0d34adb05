package config

import (
	"errors"
	"regexp"

	"auditrelay"
)

var namespaceForm = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)

var errReserved = errors.New("the relay's own records and those of guests are in it: choose another name")

// isReserved reports whether nobody may send into a namespace.
func isReserved(name string) bool {
	return name == auditrelay.NamespaceRelay || name == auditrelay.NamespaceEmitted
}

// CheckNamespace checks the namespace of a sender's events. Empty is the usual one.
func CheckNamespace(name string) error {
	switch {
	case name == "":
		return nil
	case isReserved(name):
		return errReserved
	case !namespaceForm.MatchString(name):
		return errors.New("not a namespace: expected 1 to 63 of a-z, 0-9, dot, underscore and hyphen, beginning with a letter or digit")
	}
	return nil
}
