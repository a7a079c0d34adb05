package app

import "testing"

// TestAnOldDataDirectoryKeepsItsRedaction: LiteLLM's callbacks stay unredacted only if a
// revision without the default delivered them so, whatever happens later. Everywhere else they
// are redacted.
func TestAnOldDataDirectoryKeepsItsRedaction(t *testing.T) {
	for _, tt := range []struct {
		name  string
		old   bool   // a relay ran with it before the default
		first string // Config.Redaction of the first start with the default
		keeps bool   // before that start, and after it
		later bool
	}{
		{"new", false, "preset", false, false},
		{"new, opted out", false, "none", false, false},
		{"new, of the relay's own format", false, "", false, false},
		{"old", true, "kept", true, true},
		{"old, switched on", true, "preset", true, false},
		{"old, of the relay's own format", true, "", true, false},
	} {
		d := dataDir(t.TempDir())
		if tt.old {
			if err := d.setLastConfig("digest"); err != nil {
				t.Fatal(err)
			}
		}
		if keeps, warned := d.keepsUnredacted(); keeps != tt.keeps || warned {
			t.Errorf("%s: keeps %v, warned %v before the first start", tt.name, keeps, warned)
		}
		if err := d.setRedaction(tt.first); err != nil {
			t.Fatal(err)
		}
		for _, again := range []string{"preset", "kept", "none", ""} { // a later start changes nothing
			if err := d.setRedaction(again); err != nil {
				t.Fatal(err)
			}
			if keeps, warned := d.keepsUnredacted(); keeps != tt.later || !warned {
				t.Errorf("%s: keeps %v, warned %v afterwards", tt.name, keeps, warned)
			}
		}
	}
}
