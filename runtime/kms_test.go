package runtime_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"auditrelay/internal/verify"
	"auditrelay/runtime"

	"golang.org/x/mod/sumdb/note"
)

// kmsKey is a key stored elsewhere.
type kmsKey struct {
	public  string
	private ed25519.PrivateKey
	fails   atomic.Bool
	asked   atomic.Int64
}

func newKMSKey(t *testing.T) *kmsKey {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	k := &kmsKey{private: private}
	if k.public, err = note.NewEd25519VerifierKey("relay.example", public); err != nil {
		t.Fatal(err)
	}
	return k
}

func (k *kmsKey) PublicKey() string { return k.public }

func (k *kmsKey) Sign(_ context.Context, message []byte) ([]byte, error) {
	if k.asked.Add(1); k.fails.Load() {
		return nil, errors.New("the KMS does not answer")
	}
	return ed25519.Sign(k.private, message), nil
}

// TestAKMSSigns: a key of a KMS replaces the previous signing key, and the change of keys is
// recorded. While it fails, deliveries continue.
func TestAKMSSigns(t *testing.T) {
	k := newKMSKey(t)
	former, formerPublic, err := note.GenerateKey(rand.Reader, "relay.example")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	sink := &memorySink{}
	r := start(t, runtime.Options{Dir: dir, Proofs: runtime.ProofOptions{Signer: k, PreviousKey: former}, Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "archive", Sink: sink})}})
	k.fails.Store(true)
	submit(t, r, event("e1", "created"))
	settle(t, r)
	if _, err := r.Prove(t.Context(), "", "e1", ""); err == nil {
		t.Error("it is proved without a signature")
	}
	k.fails.Store(false)
	submit(t, r, event("e2", "created"))
	settle(t, r)
	proofs, err := r.Prove(t.Context(), "", "e2", "")
	if err != nil || len(proofs) != 1 {
		t.Fatalf("%d proofs, %v", len(proofs), err)
	}
	if _, err := verify.File(proofs[0].File, verify.FileOptions{Keys: []string{k.public}}); err != nil {
		t.Error(err)
	}
	if err := r.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	// An auditor with only the former key learns the new one from the journal.
	report, err := runtime.VerifyJournal(dir, runtime.Encryption{}, verify.Options{Keys: []string{formerPublic}})
	if err != nil || report.FaultCount > 0 || report.ValidCheckpoints == 0 {
		t.Errorf("%s %v, %v", report.Verdict(), report.Faults, err)
	}
}

// TestAFailingKMSIsNotAskedWithoutPause: the last outcomes of a replay are signed at once. If that
// fails, the replay waits before it asks again.
func TestAFailingKMSIsNotAskedWithoutPause(t *testing.T) {
	k := newKMSKey(t)
	r := start(t, runtime.Options{Proofs: runtime.ProofOptions{Signer: k}, Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "archive", Sink: &memorySink{}})}})
	submit(t, r, event("e1", "created"))
	settle(t, r)
	k.fails.Store(true)
	replay, err := r.Replay(t.Context(), runtime.ReplayRequest{Callback: "archive", By: runtime.By{Principal: "ops"}})
	if err != nil {
		t.Fatal(err)
	}
	await(t, r, "archive@"+replay.ID, "delivered", func(s runtime.CallbackStatus) bool { return s.Account.Delivered > 0 })
	before := k.asked.Load()
	for i := range 50 { // each takes longer than an attempt to sign
		submit(t, r, event(fmt.Sprint("f", i), "created"))
		settle(t, r)
	}
	if n := k.asked.Load() - before; n > 10 {
		t.Errorf("asked %d times", n)
	}
}
