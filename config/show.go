package config

import (
	"regexp"
	"strconv"
	"strings"
)

// A value shows in an error only where it stands in the file itself. What a
// reference stands for may be a secret, also where none belongs: a private key
// in place of its file's name, a token in place of a region.

// show returns a value for an error.
func (n *node) show() string {
	if n.ref != "" {
		return "the value of " + strconv.Quote(bounded(n.ref))
	}
	return strconv.Quote(bounded(n.text))
}

// plainName is a value that an error may repeat without knowing what the option is:
// secrets hold capitals, or more than this.
var plainName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,31}$`)

// named reports whether n is a name that an error may repeat.
func (n *node) named() bool {
	return n.kind == kindString && n.ref == "" && !n.literal && plainName.MatchString(n.text)
}

// hint is hint for a value.
func (n *node) hint(known []string) string {
	if n.ref != "" {
		return ""
	}
	return hint(n.text, known)
}

// veil keeps a referenced value out of an error that somebody else made.
func (n *node) veil(err error) error {
	if n.ref == "" || !strings.Contains(err.Error(), n.text[:min(len(n.text), 6)]) {
		return err
	}
	return veiled{err}
}

type veiled struct{ error }

func (veiled) Error() string   { return "the value that the reference stands for is not taken" }
func (v veiled) Unwrap() error { return v.error }

// bounded keeps what an error quotes short.
func bounded(s string) string {
	if len(s) > 64 {
		return s[:64] + "..."
	}
	return s
}
