package runtime_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	dice "math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"auditrelay"
	"auditrelay/builtin/file"
	"auditrelay/internal/verify"
	"auditrelay/runtime"

	"golang.org/x/mod/sumdb/note"
)

// moody is a sink that refuses some payloads and fails at others. It keeps proofs.
type moody struct{ *file.Sink }

func (m moody) Deliver(ctx context.Context, p auditrelay.Payload) (auditrelay.Receipt, error) {
	switch {
	case bytes.Contains(p.Body, []byte(`"id":"refused`)):
		return auditrelay.Receipt{}, refuse(auditrelay.Refused)
	case dice.IntN(4) == 0:
		return auditrelay.Receipt{}, errDown
	}
	return m.Sink.Deliver(ctx, p)
}

// TestOperatorsAtOnce lets operators act on one callback at the same time, in every way, while
// events arrive and the destination fails. No act fails the callback, nothing hangs, the accounts
// balance, and the journal verifies.
func TestOperatorsAtOnce(t *testing.T) {
	t.Parallel()
	signing, public, err := note.GenerateKey(rand.Reader, "relay.example")
	if err != nil {
		t.Fatal(err)
	}
	dir, place := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "audit.ndjson")
	callbacks := func(i int) []runtime.Callback {
		sink, err := file.New(file.Options{Path: place})
		if err != nil {
			t.Error(err)
		}
		return []runtime.Callback{quick(runtime.Callback{Name: "archive", Sink: moody{sink}, Digest: fmt.Sprint(i / 3)}),
			quick(runtime.Callback{Name: "other", Sink: &memorySink{}, Digest: fmt.Sprint(i)})}
	}
	var log bytes.Buffer
	r := start(t, runtime.Options{Dir: dir, Logger: slog.New(slog.NewTextHandler(&log, nil)), Proofs: runtime.ProofOptions{Key: signing}, Callbacks: callbacks(0)})
	by, ctx := runtime.By{Principal: "ops", Reason: "a test"}, t.Context()
	var last atomic.Value // the id of the last replay
	last.Store("none")
	var operators sync.WaitGroup
	for name, act := range map[string]func(i int) error{
		"submit": func(i int) error {
			_, err := r.Submit(ctx, runtime.Submission{Data: []byte(event(fmt.Sprint("e", i), "created"))}, runtime.Submission{Data: []byte(event(fmt.Sprint("refused", i), "created"))})
			return err
		},
		"pause":  func(int) error { return errors.Join(r.Pause(ctx, "archive", by), r.Resume(ctx, "archive", by)) },
		"detach": func(int) error { return errors.Join(r.Detach(ctx, "archive", by), r.Attach(ctx, "archive", by)) },
		"stale": func(int) error {
			if err := r.Pause(ctx, "archive", runtime.By{Principal: "ops", Seen: "old"}); !errors.Is(err, runtime.ErrChanged) {
				return fmt.Errorf("a stale act: %w", err)
			}
			return nil
		},
		"discard": func(int) error { _, err := r.DiscardDeadLetters(ctx, "archive", by); return err },
		"again":   func(int) error { _, err := r.ReplayDeadLetters(ctx, "archive", by); return err },
		"replay": func(int) error {
			started, err := r.Replay(ctx, runtime.ReplayRequest{Callback: "archive", By: by})
			if err == nil && started.ID != "" {
				last.Store(started.ID)
			}
			return err
		},
		"cancel": func(int) error {
			_, err := r.CancelReplay(ctx, "archive", last.Load().(string), by)
			if errors.Is(err, runtime.ErrNoCallback) || errors.Is(err, runtime.ErrControl) {
				return nil
			}
			return err
		},
		"apply": func(i int) error { return r.Apply(ctx, callbacks(i+1), nil) },
		"read": func(int) error {
			_, err := r.Callbacks()
			_, _, err2 := r.Deliveries(ctx, runtime.DeliveryQuery{Limit: 20})
			return errors.Join(err, err2)
		},
	} {
		operators.Go(func() {
			for i := range 40 {
				if err := act(i); err != nil {
					t.Errorf("%s %d: %v", name, i, err)
					return
				}
			}
		})
	}
	operators.Wait()
	settle(t, r)
	all, err := r.Callbacks()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if !s.Account.Balanced {
			t.Errorf("the account of %s does not balance: %+v", s.Name, s.Account)
		}
	}
	if err := r.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, "level=ERROR") {
			t.Error(line)
		}
	}
	report, err := runtime.VerifyJournal(dir, runtime.Encryption{}, verify.Options{Keys: []string{public}})
	if err != nil || report.FaultCount > 0 {
		t.Errorf("%v, %v", report, err)
	}
}
