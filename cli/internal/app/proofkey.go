package app

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// proofKey returns the key that signs the logs: the configuration's, or the data directory's,
// which it creates on first use. Empty means that nothing is signed.
func (d *daemon) proofKey() (string, error) {
	switch p := &d.cfg.Proofs; {
	case p.Unsigned, p.KMS.URL != "":
		return "", nil
	case p.Key != "":
		return string(p.Key), nil
	}
	name := dataDir(d.cfg.DataDir).file(proofKeyFile)
	text, err := os.ReadFile(name)
	if err == nil {
		return strings.TrimSpace(string(text)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("the signing key of proofs: %w", err)
	}
	key, public, err := note.GenerateKey(rand.Reader, "auditrelay")
	if err == nil {
		err = os.MkdirAll(d.cfg.DataDir, 0o700)
	}
	if err == nil {
		err = WriteFile(name, []byte(key+"\n"))
	}
	if err != nil {
		return "", fmt.Errorf("the signing key of proofs: %w", err)
	}
	d.log.Warn("made a key that signs proofs, in the data directory: every reader of that directory can sign. Give the public key to those who verify, or set proofs.key to a key of your own", "public_key", public)
	return key, nil
}

const proofKeyFile = "proof.key"
