package http

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"auditrelay/config"
	"auditrelay/runtime"
)

// TestReadingsOnAFullJournal: contents are not shown if the reading cannot be recorded, and the
// answer gives the reason. Denied requests are recorded nevertheless.
func TestReadingsOnAFullJournal(t *testing.T) {
	r := newRelayOn(t, Options{Config: tokens([]config.Token{{Name: "boss", Token: tokenOf("admin"), Roles: []config.Role{"admin"}}})},
		runtime.Options{Journal: runtime.JournalOptions{Quota: 16 << 20, UnsafeNoSync: true}})
	as := []string{"Authorization", "Bearer " + tokenOf("admin").Reveal()}
	if status, answer, _ := r.call("POST", "/v1/events", event("a"), as...); status != 200 {
		t.Fatal(answer)
	}
	noise := rand.NewChaCha8([32]byte{1})
	fill := func() {
		for size := 1 << 20; size > 32; { // large items first: the storage engine may have freed much space
			data := make([]byte, size)
			_, _ = noise.Read(data) // incompressible: the quota counts bytes on disk
			err := r.rt.Quarantine(t.Context(), runtime.Quarantined{Reason: "syntax", Data: data})
			if _, full := errors.AsType[*runtime.UnavailableError](err); full {
				size /= 2
			} else if err != nil {
				t.Fatal(err)
			}
		}
	}
	fill()
	for _, path := range []string{"/v1/events/a?data=true", "/v1/stored", "/v1/quarantine/1"} {
		status, answer := 200, ""
		for tries := 0; status == 200 && tries < 200; tries++ { // the storage engine sometimes frees a little space
			fill()
			status, answer, _ = r.call("GET", path, "", as...)
		}
		if status != 503 || !strings.Contains(answer, "cannot be recorded") || !strings.Contains(answer, "journal is full") {
			t.Errorf("%s: %d %s", path, status, answer)
		}
	}
	for range 3 {
		r.call("GET", "/v1/stored", "", "Authorization", "Bearer a-guess-of-a-token")
	}
	fill()
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
