package runtime_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"auditrelay/runtime"
)

// TestReportsOfVerifyAreBounded: a reporter can neither fill the journal nor control the
// terminal of a reader of the reports.
func TestReportsOfVerifyAreBounded(t *testing.T) {
	r := start(t, runtime.Options{})
	by := runtime.By{Principal: "auditor"}
	report := runtime.VerifyReport{}
	for range runtime.MaxCheckpoints {
		report.Checkpoints = append(report.Checkpoints, "\x1b[31m<b>"+strings.Repeat("a", 3000)+"\n1\n")
	}
	for i := range 14 {
		report.Place = fmt.Sprint("place ", i)
		if _, err := r.ReportVerified(t.Context(), report, by); err != nil {
			t.Fatal(err)
		}
	}
	all, err := r.Verifications()
	if err != nil || len(all) < 5 || all[0].Place != "place 13" {
		t.Fatal(len(all), err)
	}
	text, err := json.Marshal(all)
	if err != nil || len(text) > 1<<20 {
		t.Errorf("%d bytes are kept, %v", len(text), err)
	}
	if l := all[0].Logs[0]; l.Fault == "" || strings.ContainsAny(l.Origin, "\x1b<>") {
		t.Errorf("%+v", l)
	}
	report.Checkpoints = append(report.Checkpoints, "one more")
	if _, err := r.ReportVerified(t.Context(), report, by); err == nil {
		t.Error("too many checkpoints are taken")
	}
}
