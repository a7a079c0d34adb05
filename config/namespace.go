package config

import (
	"errors"
	"regexp"

	"auditrelay/internal/ingest"
)

var namespaceForm = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)

var errReserved = errors.New("the relay's own records and those of guests are in it: choose another name")

// CheckNamespace checks the namespace of a sender's events. Empty means the default one.
func CheckNamespace(name string) error {
	switch {
	case name == "":
		return nil
	case ingest.ReservedNamespace(name):
		return errReserved
	case !namespaceForm.MatchString(name):
		return errors.New("not a namespace: expected 1 to 63 of a-z, 0-9, dot, underscore and hyphen, beginning with a letter or digit")
	}
	return nil
}
