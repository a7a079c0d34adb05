package verify

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"auditrelay/internal/proof"

	"golang.org/x/mod/sumdb/note"
)

// Keys are the trusted public keys.
type Keys struct {
	texts []string
	known note.Verifiers
	// former: also trust the keys that a trusted key replaced; see Options.Former.
	former bool
}

// NewKeys reads at least one public key in the format of c2sp.org/signed-note.
func NewKeys(texts []string) (*Keys, error) {
	k := &Keys{}
	for _, text := range texts {
		text = strings.TrimSpace(text)
		if _, err := note.NewVerifier(text); err != nil {
			return nil, fmt.Errorf("the key %.80q is not a public key as auditrelay proof public prints it", text)
		}
		k.texts = append(k.texts, text)
	}
	if len(k.texts) == 0 {
		return nil, errors.New("no public key is given")
	}
	k.know()
	return k, nil
}

func (k *Keys) know() {
	var list []note.Verifier
	for _, text := range k.texts {
		if v, err := note.NewVerifier(text); err == nil && !slices.ContainsFunc(list, func(have note.Verifier) bool {
			return have.Name() == v.Name() && have.KeyHash() == v.KeyHash()
		}) {
			list = append(list, v)
		}
	}
	k.known = note.VerifierList(list...)
}

// Rotate also trusts the keys that replaced trusted ones, according to rotation records in
// chronological order. It returns the faults of the records.
func (k *Keys) Rotate(list []byte) (wrong []error) {
	if len(list) == 0 {
		return nil
	}
	var records []string
	if err := json.Unmarshal(list, &records); err != nil {
		return []error{errors.New("its records of key rotations cannot be read")}
	}
	if again, err := json.Marshal(records); err != nil || !bytes.Equal(again, list) {
		wrong = append(wrong, errors.New("its records of key rotations were changed"))
	}
	var changes [][2]string // from, to
	for _, record := range records {
		before, after, err := proof.OpenRotation([]byte(record))
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		changes = append(changes, [2]string{before, after})
		k.follow(before, after)
	}
	if k.former {
		for _, c := range slices.Backward(changes) {
			k.follow(c[1], c[0])
		}
	}
	k.know()
	return wrong
}

// follow trusts key other if key known is trusted.
func (k *Keys) follow(known, other string) {
	if slices.Contains(k.texts, known) && !slices.Contains(k.texts, other) {
		k.texts = append(k.texts, other)
	}
}

// Open reads a checkpoint signed by a trusted key.
func (k *Keys) Open(signed []byte) (proof.Checkpoint, error) {
	c, err := proof.OpenCheckpoint(signed, k.known)
	if err != nil {
		if _, unknown := errors.AsType[*note.UnverifiedNoteError](err); unknown {
			return c, errors.New("its checkpoint is not signed by a known key")
		}
		return c, errors.New("its checkpoint or the checkpoint's signature is not valid")
	}
	if _, _, _, err := proof.ParseOrigin(c.Origin); err != nil {
		return c, err
	}
	return c, nil
}
