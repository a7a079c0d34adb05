package http

import (
	"strings"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/cli/internal/api"
	"auditrelay/runtime"
)

func TestKeyring(t *testing.T) {
	if got := get[[]api.Period](newRelay(t, Options{}), "/v1/keyring"); got == nil || len(got) != 0 {
		t.Errorf("without encryption: %v", got)
	}
	r := newRelayOn(t, Options{}, runtime.Options{Journal: runtime.JournalOptions{
		Encryption: runtime.Encryption{Key: auditrelay.Secret(strings.Repeat("k", 32)), Period: time.Nanosecond}}})
	post := func(id string) {
		t.Helper()
		if status, answer, _ := r.call("POST", "/v1/events", event(id)); status != 200 {
			t.Fatal(answer)
		}
	}
	post("a")
	r.settle()
	r.sink.fail(auditrelay.Transient)
	post("b")
	post("c")
	if periods := get[[]api.Period](r, "/v1/keyring"); len(periods) != 3 || periods[0].State != string(runtime.PeriodKept) || periods[2].State != string(runtime.PeriodCurrent) {
		t.Fatalf("%+v", periods)
	}
	for _, test := range []struct {
		method, path string
		status       int
		text         string
	}{
		{"DELETE", "/v1/keyring/1", 400, "it is required"},
		{"DELETE", "/v1/keyring/x?reason=a+test", 400, "not a period's number"},
		{"DELETE", "/v1/keyring/1?dead_letters=yes&reason=a+test", 400, "expected discard"},
		{"DELETE", "/v1/keyring/9?reason=a+test", 404, "keyring list"},
		{"DELETE", "/v1/keyring/2?reason=a+test", 409, `"reason":"held"`},
		{"DELETE", "/v1/keyring/2?dead_letters=discard&reason=a+test", 409, "callback archive has"},
		{"DELETE", "/v1/keyring/3?reason=a+test", 409, "current"},
		{"DELETE", "/v1/keyring/1?reason=a+test", 200, `"state":"destroyed"`},
		{"DELETE", "/v1/keyring/1?reason=a+test", 200, `"state":"destroyed"`},
		{"GET", "/v1/events/a", 410, `"reason":"erased"`},
		{"GET", "/v1/events/a?data=true", 410, `"reason":"erased"`},
		{"GET", "/v1/receipts?id=a", 410, `"reason":"erased"`},
		{"GET", "/v1/stored?from=1", 200, `"id":"b"`},
		{"GET", "/v1/events/b", 200, `"id":"b"`},
		{"POST", "/v1/callbacks/archive/replay", 200, `"events":`},
	} {
		status, answer, _ := r.call(test.method, test.path, "")
		if status != test.status || !strings.Contains(strings.ReplaceAll(answer, ": ", ":"), test.text) {
			t.Errorf("%s %s: %d %s", test.method, test.path, status, answer)
		}
	}
	if status, answer, _ := r.call("POST", "/v1/events", event("a")); status == 200 {
		t.Errorf("the erased event once more: %s", answer)
	}
}
