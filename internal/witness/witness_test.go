package witness

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"auditrelay/internal/proof"
	"auditrelay/internal/test/witnesstest"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// logOf returns a log of n leaves, with proofs by x/mod.
func logOf(t *testing.T, signer note.Signer, n int, salt string) Log {
	t.Helper()
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(at []int64) (out []tlog.Hash, err error) {
		for _, i := range at {
			out = append(out, stored[i])
		}
		return out, nil
	})
	for i := range n {
		more, err := tlog.StoredHashes(int64(i), fmt.Appendf(nil, "%s%d", salt, i), reader)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, more...)
	}
	root, err := tlog.TreeHash(int64(n), reader)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := proof.Checkpoint{Origin: proof.Origin("00", "01", "archive"), Size: uint64(n), Root: root}.Sign(signer)
	if err != nil {
		t.Fatal(err)
	}
	return Log{Signed: signed, Size: uint64(n), Consistency: func(from uint64) ([]proof.Hash, error) {
		p, err := tlog.ProveTree(int64(n), int64(from), reader)
		return p, err
	}}
}

// newSigner returns the key of a log, and its public key.
func newSigner(t *testing.T) (note.Signer, string) {
	t.Helper()
	signing, public, err := note.GenerateKey(rand.Reader, "relay.example")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := proof.Signer(signing)
	if err != nil {
		t.Fatal(err)
	}
	return signer, public
}

func TestAWitnessCosigns(t *testing.T) {
	signer, public := newSigner(t)
	known, err := note.NewVerifier(public)
	if err != nil {
		t.Fatal(err)
	}
	s := witnesstest.Start(t, public)
	verifier, err := NewVerifier(s.Key)
	if err != nil {
		t.Fatal(err)
	}
	w := &Witness{URL: s.URL, Key: verifier}

	cosigned, err := w.Cosign(t.Context(), logOf(t, signer, 3, ""))
	if err != nil {
		t.Fatal(err)
	}
	if at, ok := Time(cosigned, verifier); !ok || at != time.Unix(witnesstest.Time, 0).UTC() {
		t.Errorf("%v %v", at, ok)
	}
	if _, err := proof.OpenCheckpoint(cosigned, note.VerifierList(known)); err != nil {
		t.Error("the log's own signature is lost:", err)
	}
	// Knowing what the witness cosigned last saves a request.
	s.Asked()
	l := logOf(t, signer, 300, "")
	l.Known = 3
	if _, err := w.Cosign(t.Context(), l); err != nil || s.Asked() != 1 {
		t.Error(err)
	}
	if _, err := w.Cosign(t.Context(), logOf(t, signer, 301, "")); err != nil || s.Asked() != 2 {
		t.Error(err)
	}
	// The same size is cosigned again.
	l = logOf(t, signer, 301, "")
	l.Known = 301
	if _, err := w.Cosign(t.Context(), l); err != nil {
		t.Error(err)
	}
	// A truncated or replaced log is not cosigned.
	if _, err := w.Cosign(t.Context(), logOf(t, signer, 200, "")); !errors.Is(err, ErrAhead) {
		t.Error(err)
	}
	if _, err := w.Cosign(t.Context(), logOf(t, signer, 302, "other ")); err == nil || !strings.Contains(err.Error(), "does not contain") {
		t.Error(err)
	}
	if _, err := w.Cosign(t.Context(), logOf(t, signer, 301, "other ")); err == nil || !strings.Contains(err.Error(), "another root") {
		t.Error(err)
	}
	// Nor is a log with an unknown key. An answer without a valid cosignature does not count.
	theirs, _ := newSigner(t)
	if _, err := w.Cosign(t.Context(), logOf(t, theirs, 302, "")); err == nil || !strings.Contains(err.Error(), "the key that signed the checkpoint is unknown to it") {
		t.Error(err)
	}
	s.NewKey(t)
	if _, err := w.Cosign(t.Context(), logOf(t, signer, 302, "")); err == nil || !strings.Contains(err.Error(), "no valid cosignature") {
		t.Error(err)
	}
}

func TestNewVerifierRefuses(t *testing.T) {
	for _, text := range []string{"", "a", "a+b+c", "a+00000000+AAAA", "w.example+00000000+BAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"} {
		if v, err := NewVerifier(text); err == nil {
			t.Errorf("%q is taken: %v", text, v)
		}
	}
}
