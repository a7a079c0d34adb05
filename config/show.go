package config

import (
	"regexp"
	"strconv"
	"strings"
)

// An error shows a value only if the value is in the file itself. The value of a reference may
// be a secret, even where none belongs: a private key instead of its file's name, or a token
// instead of a region.

// show returns a value for an error.
func (n *node) show() string {
	if n.ref != "" {
		return "the value of " + strconv.Quote(bounded(n.ref))
	}
	return strconv.Quote(bounded(n.text))
}

// plainName matches values that an error may show for any option, since secrets have capitals
// or are longer.
var plainName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,31}$`)

// named reports whether n is a name that an error may show.
func (n *node) named() bool {
	return n.kind == kindString && n.ref == "" && !n.literal && plainName.MatchString(n.text)
}

// hint is the function hint for a value.
func (n *node) hint(known []string) string {
	if n.ref != "" {
		return ""
	}
	return hint(n.text, known)
}

// veil hides a referenced value in another package's error.
func (n *node) veil(err error) error {
	if n.ref == "" || !strings.Contains(err.Error(), n.text[:min(len(n.text), 6)]) {
		return err
	}
	return veiled{err}
}

type veiled struct{ error }

func (veiled) Error() string   { return "the value that the reference stands for is not taken" }
func (v veiled) Unwrap() error { return v.error }

// bounded cuts a text that an error quotes.
func bounded(s string) string {
	if len(s) > 64 {
		return s[:64] + "..."
	}
	return s
}
