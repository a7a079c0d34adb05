package runtime_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"testing"

	"auditrelay"
	"auditrelay/internal/proof"
	"auditrelay/internal/verify"
	"auditrelay/runtime"

	"golang.org/x/mod/sumdb/note"
)

// answering answers payloads of events with the given errors in order and then nil, and those
// of tombstones with tombstone.
func answering(tombstone error, events ...error) func(auditrelay.Payload) error {
	var mu sync.Mutex
	return func(p auditrelay.Payload) error {
		if bytes.Contains(p.Body, []byte("auditrelay_tombstone")) {
			return tombstone
		}
		mu.Lock()
		defer mu.Unlock()
		if len(events) == 0 {
			return nil
		}
		err := events[0]
		events = events[1:]
		return err
	}
}

// If an event became a dead letter after an attempt without an answer, also in a replay, its
// proof says what may have arrived. It never says that nothing did.
func TestAProofDisclosesWhatMayHaveArrived(t *testing.T) {
	silent := &auditrelay.DeliveryError{Kind: auditrelay.Transient, Err: errors.New("no answer")}
	refused := &auditrelay.DeliveryError{Kind: auditrelay.Refused, Err: errors.New("no")}
	for name, c := range map[string]struct {
		tombstone    error
		first, again []error // answers; again: to the replay of the dead letter
		delivered    string
		may          bool // Delivered says it
		besides      bool // Besides says it
	}{
		"refused at once":                      {refused, []error{refused}, nil, "nothing", false, false},
		"without an answer first":              {refused, []error{silent, refused}, nil, "possible record", true, false},
		"without an answer, and a tombstone":   {nil, []error{silent, refused}, nil, "tombstone", false, true},
		"replayed without an answer":           {refused, []error{refused}, []error{silent, refused}, "possible record", true, false},
		"replayed without an answer, arrived":  {refused, []error{refused}, []error{silent, silent}, "record", false, false},
		"without an answer first, replayed":    {refused, []error{silent, refused}, []error{}, "record", false, false},
		"replayed, with a tombstone delivered": {nil, []error{refused}, []error{silent, refused}, "possible record", true, false},
	} {
		t.Run(name, func(t *testing.T) {
			sink := &memorySink{}
			sink.set(answering(c.tombstone, c.first...))
			signing, public, err := note.GenerateKey(rand.Reader, "relay.example")
			if err != nil {
				t.Fatal(err)
			}
			r := start(t, runtime.Options{Proofs: runtime.ProofOptions{Key: signing}, Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "archive", Sink: whole{sink}})}})
			came := event("e1", "created")
			submit(t, r, came)
			settle(t, r)
			if c.again != nil {
				sink.set(answering(c.tombstone, c.again...))
				if n, err := r.ReplayDeadLetters(t.Context(), "archive", runtime.By{Principal: "ops"}, 1); err != nil || n != 1 {
					t.Fatal(n, err)
				}
				settle(t, r)
			}
			proofs, err := r.Prove(t.Context(), "", "e1", "archive")
			if err != nil || len(proofs) != 1 {
				t.Fatalf("%d proofs, %v", len(proofs), err)
			}
			p, err := verify.File(proofs[0].File, verify.FileOptions{Keys: []string{public}, Document: []byte(came)})
			if err != nil {
				t.Fatal(err)
			}
			digest := fmt.Sprintf("%x", sha256.Sum256([]byte(came)))
			if p.Delivered != c.delivered || (p.Besides != nil) != c.besides || c.may && (p.Digest != digest || !p.Went) {
				t.Errorf("%+v, besides %+v", p, p.Besides)
			}
			if b := p.Besides; b != nil && (*b != verify.Possible{Delivered: "possible record", Digest: digest, Went: true}) {
				t.Errorf("besides: %+v", b)
			}
			if !c.may && !c.besides {
				return
			}
			refusesForged(t, proofs[0].File, public)
		})
	}
}

// refusesForged checks that a changed disclosed leaf is rejected.
func refusesForged(t *testing.T, file []byte, public string) {
	t.Helper()
	for name, forge := range map[string]func(e *proof.Evidence){
		"another digest":   func(e *proof.Evidence) { e.Possible[len(e.Possible)-33]++ },
		"another index":    func(e *proof.Evidence) { e.PossibleIndex++ },
		"beyond the log":   func(e *proof.Evidence) { e.PossibleIndex = 1 << 40 },
		"the outcome's":    func(e *proof.Evidence) { e.Possible = e.Entry },
		"no leaf":          func(e *proof.Evidence) { e.Possible = []byte{1} },
		"no hashes":        func(e *proof.Evidence) { e.PossibleHashes = nil },
		"another sequence": func(e *proof.Evidence) { e.Possible[10]++ },
	} {
		f, err := proof.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		e, err := proof.ParseEvidence(f.Extra)
		if err != nil || len(e.Possible) == 0 {
			t.Fatal(e, err)
		}
		e.Possible = bytes.Clone(e.Possible)
		forge(e)
		f.Extra = e.Append(nil)
		if p, err := verify.File(f.Text(), verify.FileOptions{Keys: []string{public}}); err == nil {
			t.Errorf("%s: it verifies: %+v", name, p)
		}
	}
}
