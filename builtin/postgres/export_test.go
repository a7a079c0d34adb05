package postgres

import (
	"maps"
	"slices"
	"testing"
)

// Setting is what a connection of the package's has in force.
func Setting(t *testing.T, o Options, reads bool, name string) (value string) {
	t.Helper()
	how := writing
	if reads {
		how = reading
	}
	db, err := connect(o.withDefaults(), how)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRowContext(t.Context(), "SELECT current_setting($1)", name).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

// Params are the settings that a URL gives for the server.
func Params(t *testing.T, o Options) []string {
	t.Helper()
	c, err := o.withDefaults().connection()
	if err != nil {
		t.Fatal(err)
	}
	return slices.Sorted(maps.Keys(c.RuntimeParams))
}
