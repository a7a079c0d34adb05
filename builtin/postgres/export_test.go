package postgres

import (
	"maps"
	"slices"
	"testing"
)

// Params returns the server settings of a URL.
func Params(t *testing.T, o Options) []string {
	t.Helper()
	c, err := o.withDefaults().connection()
	if err != nil {
		t.Fatal(err)
	}
	return slices.Sorted(maps.Keys(c.RuntimeParams))
}
