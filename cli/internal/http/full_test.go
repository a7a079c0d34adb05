package http

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"auditrelay/config"
	"auditrelay/runtime"
)

// TestReadingsOnAFullJournal: contents whose reading cannot be recorded are not shown, and
// the answer says why. Denied requests are recorded nevertheless.
func TestReadingsOnAFullJournal(t *testing.T) {
	r := newRelayOn(t, Options{Config: tokens([]config.Token{{Name: "boss", Token: tokenOf("admin"), Roles: []config.Role{"admin"}}})},
		runtime.Options{Journal: runtime.JournalOptions{Quota: 16 << 20}})
	as := []string{"Authorization", "Bearer " + tokenOf("admin").Reveal()}
	if status, answer, _ := r.call("POST", "/v1/events", event("a"), as...); status != 200 {
		t.Fatal(answer)
	}
	n := 0
	fill := func(size int) {
		for {
			n++
			err := r.rt.Quarantine(t.Context(), runtime.Quarantined{Reason: "syntax", Data: fmt.Appendf(nil, "%d %s", n, strings.Repeat(fmt.Sprintf("%x", n*2654435761), size/8))})
			if _, full := errors.AsType[*runtime.UnavailableError](err); full {
				return
			} else if err != nil {
				t.Fatal(err)
			}
		}
	}
	for size := 1 << 20; size > 32; size /= 2 {
		fill(size)
	}
	for _, path := range []string{"/v1/events/a?data=true", "/v1/stored", "/v1/quarantine/1"} {
		status, answer := 200, ""
		for tries := 0; status == 200 && tries < 200; tries++ { // now and then the storage engine gives a little back
			fill(64)
			status, answer, _ = r.call("GET", path, "", as...)
		}
		if status != 503 || !strings.Contains(answer, "cannot be recorded") || !strings.Contains(answer, "journal is full") {
			t.Errorf("%s: %d %s", path, status, answer)
		}
	}
	for range 3 {
		r.call("GET", "/v1/stored", "", "Authorization", "Bearer a-guess-of-a-token")
	}
	fill(64)
	r.srv.denials.tell()
	records, _, err := r.rt.OwnRecords(t.Context(), 0, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	denied := 0
	for _, e := range records {
		var o struct {
			Object  string                        `json:"object_id"`
			After   struct{ Requests int }        `json:"updated_values"`
			Control struct{ Act, Address string } `json:"control"`
		}
		if err := json.Unmarshal(e.Data, &o); err != nil {
			t.Fatal(err)
		}
		if o.Control.Act == "deny" && o.Object == "unauthorized" && o.Control.Address == "127.0.0.1" {
			denied += o.After.Requests
		}
	}
	if denied != 3 {
		t.Errorf("%d denied requests are on record, of 3", denied)
	}
}
