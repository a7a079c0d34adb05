package runtime_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"auditrelay"
	"auditrelay/runtime"
)

// TestOneSenderLeavesQuotaToTheNext: a sender that fills journal.quota is refused while another
// one is still accepted, and the relay stays ready.
func TestOneSenderLeavesQuotaToTheNext(t *testing.T) {
	var log logs
	r := start(t, runtime.Options{Logger: log.logger(), Journal: runtime.JournalOptions{Quota: 96 << 20}})
	random := rand.NewChaCha8([32]byte{})
	n := 0
	send := func(principal string, size int) error {
		n++
		pad := make([]byte, size/2)
		random.Read(pad)
		_, err := r.Submit(t.Context(), runtime.Submission{Data: fmt.Appendf(nil, `{"id":"e%d","action":"created","updated_values":"%x"}`, n, pad),
			Provenance: auditrelay.Provenance{Source: "http", Principal: principal}})
		return err
	}
	if err := send("bob", 100); err != nil {
		t.Fatal(err)
	}
	var err error
	for sent := 0; err == nil; sent++ {
		if err = send("ann", 256<<10); sent > 1000 {
			t.Fatal("it is never refused")
		}
	}
	if _, ok := errors.AsType[*runtime.UnavailableError](err); !ok || !strings.Contains(err.Error(), "share") {
		t.Fatal(err)
	}
	for range 3 {
		if err := send("bob", 256<<10); err != nil {
			t.Errorf("another sender: %v", err)
		}
	}
	if err := r.Ready(); err != nil {
		t.Error(err)
	}
	if s := r.Stats(); s.Refused["share"] == 0 || s.NotAcceptingReason != "" {
		t.Errorf("%+v", s)
	}
	if got := log.count("a sender has its share"); got != 1 {
		t.Errorf("%d log lines:", got)
	}
}

// TestOneSenderLeavesQuarantineToTheNext: the same in quarantine.
func TestOneSenderLeavesQuarantineToTheNext(t *testing.T) {
	r := start(t, runtime.Options{Quarantine: runtime.QuarantineOptions{Items: 100}})
	n := 0
	put := func(principal string) error {
		n++
		return r.Quarantine(t.Context(), runtime.Quarantined{Reason: "syntax", Data: fmt.Appendf(nil, "x%d", n), Provenance: auditrelay.Provenance{Source: "s3", Principal: principal}})
	}
	if err := put("bob"); err != nil {
		t.Fatal(err)
	}
	var err error
	for err == nil && n < 101 {
		err = put("ann")
	}
	if n < 85 || n > 92 || !strings.Contains(fmt.Sprint(err), "share") || r.QuarantineStats().Full {
		t.Errorf("refused at %d: %v", n, err)
	}
	for range 3 {
		if err := put("bob"); err != nil {
			t.Errorf("another sender: %v", err)
		}
	}
}
