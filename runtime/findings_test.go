package runtime

import (
	"testing"

	"auditrelay"
	"auditrelay/filter"
	"auditrelay/internal/gate"
)

// Findings are counted by detector, in the filters and in the gate. Nothing else is counted.
func TestFindingsAreCounted(t *testing.T) {
	var f findings
	f.touched([]filter.Touch{
		{Path: "detect:github-pat in updated_values", Operation: "mask", Count: 2}, {Path: "detect:github-pat in before_value", Operation: "mask", Count: 1},
		{Path: "detect:known in updated_values", Operation: "mask", Count: 1}, {Path: "~api_key", Operation: "mask", Count: 7},
	})
	f.leaked(&gate.Leak{Cause: auditrelay.CauseLeak, Rule: "detector jwt"})
	f.leaked(&gate.Leak{Cause: auditrelay.CauseLeak, Rule: "path **.~password"})
	all := f.all()
	if len(all) != 3 || all["github-pat"] != 3 || all["known"] != 1 || all["jwt"] != 1 {
		t.Errorf("%v", all)
	}
}
