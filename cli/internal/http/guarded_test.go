package http

import (
	"strings"
	"testing"
)

func TestNoCellIsAFormula(t *testing.T) {
	for cell, want := range map[string]string{
		"":            "",
		"plain; text": "plain; text",
		"=1":          "'=1",
		"  =1":        "'  =1",
		"\t=1":        "'\t'=1",
		"x;=1":        "x;'=1",
		"x; +1;@y":    "x;' +1;'@y",
		"x\t-1":       "x\t'-1",
		"'x;'y":       "''x;''y",
		"\uff1d1":     "'\uff1d1",
		"#end":        "'#end",
	} {
		if got := guarded(cell); got != want {
			t.Errorf("%q: %q, want %q", cell, got, want)
		} else if back := unguarded(got); back != cell {
			t.Errorf("%q comes back as %q", cell, back)
		}
	}
}

func FuzzGuarded(f *testing.F) {
	f.Add("x; '=1\t-2")
	f.Fuzz(func(t *testing.T, cell string) {
		guarded := guarded(cell)
		if unguarded(guarded) != cell {
			t.Errorf("%q comes back as %q", cell, unguarded(guarded))
		}
		for _, part := range strings.FieldsFunc(guarded, func(r rune) bool { return r == ';' || r == '\t' }) {
			if formula(part) && part[0] != '\'' {
				t.Errorf("%q in %q", part, guarded)
			}
		}
	})
}

// unguarded applies the documented way to remove the guard.
func unguarded(cell string) string {
	cell = strings.TrimPrefix(cell, "'")
	return strings.NewReplacer(";'", ";", "\t'", "\t").Replace(cell)
}
