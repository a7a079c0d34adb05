package runtime

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"auditrelay"
)

// TestActsThatACrashInterrupts: after a crash between the first and the last record of a
// destruction, a reading, an export or a test, the next start records its end once.
func TestActsThatACrashInterrupts(t *testing.T) {
	for _, test := range []struct {
		name, table, probe string
		happens            bool
		want               string
	}{
		{"destroy, before the key is gone", tableKeyring, "1", false, outcomeFailed},
		{"destroy, after it", tableKeyring, "1", true, outcomeDone},
		{"read", "auditrelay_reading", "", false, outcomeDone},
		{"export", "auditrelay_export", "", false, outcomeDone},
		{"test", tableCallback, "", false, outcomeDone},
		{"repair", "auditrelay_source", "", false, outcomeDone},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := Options{Dir: t.TempDir(), Journal: JournalOptions{Encryption: Encryption{Key: auditrelay.Secret(strings.Repeat("k", 32)), Period: time.Nanosecond}}}
			r, err := Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			accept(t, r, "a", "b")
			act, err := r.begin(Change{By: By{Principal: "ann"}, Act: "x", Action: auditrelay.ActionDeleted, Table: test.table, Object: "1"}, test.probe)
			if err != nil {
				t.Fatal(err)
			}
			if test.happens {
				if _, err := r.journal.Destroy(1); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 {
				if err := r.Close(); err != nil {
					t.Fatal(err)
				}
				if r, err = Open(t.Context(), o); err != nil {
					t.Fatal(err)
				}
			}
			defer r.Close()
			records, _, err := r.OwnRecords(t.Context(), 2, 100)
			if err != nil {
				t.Fatal(err)
			}
			var ends []string
			for _, e := range records {
				var own ownRecord
				if err := json.Unmarshal(e.Data, &own); err != nil {
					t.Fatal(err)
				}
				if own.Control.Of == act.id {
					ends = append(ends, own.Control.Outcome)
				}
			}
			if len(ends) != 1 || ends[0] != test.want {
				t.Errorf("it ended %q, want %s once", ends, test.want)
			}
		})
	}
}
