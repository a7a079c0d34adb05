package runtime_test

import (
	"errors"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"auditrelay"
	"auditrelay/runtime"
)

// TestOnAFullJournal: acts that free space, or lead to that, work and are recorded. All others
// are refused with the reason, and so are readings, which could not be recorded.
func TestOnAFullJournal(t *testing.T) {
	sink := &memorySink{}
	sink.set(refuseID("bad", refuse(auditrelay.Refused)))
	r := start(t, runtime.Options{Journal: runtime.JournalOptions{Quota: 16 << 20}, Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "archive", Sink: sink})}})
	by := runtime.By{Principal: "ann", Reason: "TICKET-8"}
	submit(t, r, event("bad", "created"))
	settle(t, r)
	if err := r.Quarantine(t.Context(), runtime.Quarantined{Data: []byte("x"), Reason: "syntax"}, runtime.Quarantined{Data: []byte("y"), Reason: "syntax"}); err != nil {
		t.Fatal(err)
	}
	random := rand.NewChaCha8([32]byte{})
	fill := func(size int) { // through the quarantine, which writes its input
		for {
			data := make([]byte, size)
			random.Read(data)
			err := r.Quarantine(t.Context(), odd(string(data), "syntax"))
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
	for name, do := range map[string]func() error{
		"a reading": func() error {
			_, err := r.Begin(runtime.Change{By: by, Act: "read", Action: auditrelay.ActionCreated, Table: "auditrelay_reading"})
			return err
		},
		"a replay": func() error {
			_, err := r.Replay(t.Context(), runtime.ReplayRequest{Callback: "archive", By: by})
			return err
		},
		"a replay of dead letters": func() error { _, err := r.ReplayDeadLetters(t.Context(), "archive", by, 1); return err },
		"a backup":                 func() error { return r.Backup(t.Context(), filepath.Join(t.TempDir(), "b"), by, nil) },
		"a module":                 func() error { _, _, err := r.Modules().Put("m", "", make([]byte, 1<<20), by); return err },
		"a change":                 func() error { return r.Record(t.Context(), runtime.Change{By: by, Act: "look up", Table: "x"}) },
	} {
		refused := false
		for range 200 { // the storage engine sometimes frees a little space
			fill(64)
			err := do()
			if _, refused = errors.AsType[*runtime.UnavailableError](err); refused {
				if !strings.Contains(err.Error(), "journal is full") {
					t.Errorf("%s: %v", name, err)
				}
				break
			}
		}
		if !refused {
			t.Errorf("%s is not refused", name)
		}
	}
	for _, act := range []struct {
		act string
		do  func() error
	}{
		{"test", func() error { _, err := r.TestSink(t.Context(), "archive", by); return err }},
		{"pause", func() error { return r.Pause(t.Context(), "archive", by) }},
		{"resume", func() error { return r.Resume(t.Context(), "archive", by) }},
		{"discard", func() error { _, err := r.DiscardDeadLetters(t.Context(), "archive", by); return err }},
		{"delete", func() error { return r.DeleteQuarantineItem(t.Context(), by, 1) }},
		{"detach", func() error { return r.Detach(t.Context(), "archive", by) }},
		{"attach", func() error { return r.Attach(t.Context(), "archive", by) }},
		{"remove", func() error {
			return r.Apply(t.Context(), nil, []string{"archive"}, runtime.Change{By: by, Act: "reload", Action: auditrelay.ActionUpdated, Table: "auditrelay_config", MakesRoom: true})
		}},
	} {
		fill(64)
		if err := act.do(); err != nil {
			t.Errorf("%s: %v", act.act, err)
		}
		all := ownRecords(t, r)[act.act]
		if len(all) == 0 || all[len(all)-1].Control.Outcome != "done" || all[len(all)-1].Control.Reason != by.Reason {
			t.Errorf("%s: %+v", act.act, all)
		}
	}
}
