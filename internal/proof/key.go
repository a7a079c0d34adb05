package proof

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

var errKey = errors.New("malformed signing key: expected a line as auditrelay proof keygen prints it")

// PublicKey returns the public key of a signing key, both in the format of
// c2sp.org/signed-note. Its errors quote nothing of the key.
func PublicKey(signing string) (string, error) {
	parts := strings.SplitN(strings.TrimSpace(signing), "+", 5)
	if len(parts) != 5 {
		return "", errKey
	}
	raw, err := base64.StdEncoding.DecodeString(parts[4])
	if err != nil || len(raw) != 1+ed25519.SeedSize || raw[0] != 1 {
		return "", errKey
	}
	public, ok := ed25519.NewKeyFromSeed(raw[1:]).Public().(ed25519.PublicKey)
	if !ok {
		return "", errKey
	}
	return note.NewEd25519VerifierKey(parts[2], public)
}

// Signer returns the signer of a signing key.
func Signer(signing string) (note.Signer, error) {
	s, err := note.NewSigner(strings.TrimSpace(signing))
	if err != nil {
		return nil, errKey
	}
	return s, nil
}

const rotationLine = "auditrelay key rotation\n"

// Rotation returns the record that one key replaces another, signed by both.
func Rotation(before, after string) ([]byte, error) {
	public, err := PublicKey(after)
	if err != nil {
		return nil, err
	}
	s, err := Signer(after)
	if err != nil {
		return nil, err
	}
	return RotationTo(before, public, s)
}

// RotationTo is like Rotation for a new key that is given by its signer and its public key.
func RotationTo(before, public string, s note.Signer) ([]byte, error) {
	former, err := PublicKey(before)
	if err != nil {
		return nil, err
	}
	old, err := Signer(before)
	if err != nil {
		return nil, err
	}
	return note.Sign(&note.Note{Text: rotationLine + former + "\n" + public + "\n"}, old, s)
}

// OpenRotation parses the record of a rotation and checks both signatures.
func OpenRotation(record []byte) (before, after string, err error) {
	text, _, _ := strings.Cut(string(record), "\n\n")
	rest, ok := strings.CutPrefix(text, rotationLine)
	before, after, ok2 := strings.Cut(rest, "\n")
	if len(record) > MaxCheckpointBytes || !ok || !ok2 {
		return "", "", errors.New("malformed record of a rotation")
	}
	var known []note.Verifier
	for _, public := range []string{before, after} {
		v, err := note.NewVerifier(public)
		if err != nil {
			return "", "", fmt.Errorf("record of a rotation: %w", err)
		}
		known = append(known, v)
	}
	n, err := note.Open(record, note.VerifierList(known...))
	if err != nil {
		return "", "", fmt.Errorf("record of a rotation: %w", err)
	}
	if len(n.Sigs) != 2 || before == after || n.Text != rotationLine+before+"\n"+after+"\n" {
		return "", "", errors.New("record of a rotation: it is not signed by both keys")
	}
	return before, after, nil
}
