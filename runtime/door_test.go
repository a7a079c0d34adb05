package runtime_test

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"

	"auditrelay/runtime"
)

// noise returns incompressible text.
func noise() string {
	b := make([]byte, 450<<10)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// The reason of a sender's 503 is logged once, for any number of requests.
func TestRefusingIsToldOnce(t *testing.T) {
	var log logs
	r := start(t, runtime.Options{Logger: log.logger(), Journal: runtime.JournalOptions{Quota: 16 << 20}})
	var unavailable *runtime.UnavailableError
	refused := uint64(0)
	for i := 0; refused < 4; i++ { // compaction may free space between two refusals
		_, err := r.Submit(t.Context(), runtime.Submission{Data: fmt.Appendf(nil, `{"id":"%d","action":"created","object_id":%q}`, i, noise())})
		if errors.As(err, &unavailable) {
			refused++
		} else if i > 100 || err != nil {
			t.Fatalf("event %d: %v", i, err)
		}
	}
	if n := log.count("events are refused", "reason=quota", "writing needs up to"); n != 1 {
		t.Errorf("told %d times", n)
	}
	if s := r.Stats(); s.NotAcceptingReason != "quota" || s.Refused["quota"] != refused {
		t.Errorf("stats: %+v", s)
	}
	if n := log.count("accepted again"); n != 0 {
		t.Errorf("accepted again %d times", n)
	}
}
