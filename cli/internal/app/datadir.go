package app

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"auditrelay/config"
	"auditrelay/runtime"
)

// dataDir is the directory of all the daemon's data. Besides the journal, which the runtime
// creates, it has the key of the configuration's digests, and the digest of the last
// configuration.
type dataDir string

func (d dataDir) file(name string) string { return filepath.Join(string(d), name) }

// guestCache is the directory of compiled modules. Only the relay may have access.
func (d dataDir) guestCache() string { return d.file("cache") }

// backups returns the directory of backups. It is beside the data directory, so that a backup
// contains no other backups.
func (d dataDir) backups() string { return filepath.Clean(string(d)) + "-backups" }

const digestKeyBytes = 32

// digestKey reads the key of configuration digests. On first use it creates the directory and
// the key. Without the key, nobody can use a digest to guess secrets in the configuration.
func (d dataDir) digestKey() ([]byte, error) {
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return nil, fmt.Errorf("the data directory: %w", err)
	}
	name := d.file("digest.key")
	key, err := os.ReadFile(name)
	if err == nil {
		if len(key) != digestKeyBytes {
			return nil, fmt.Errorf("%s is damaged: %d bytes, not %d; delete it, and every callback counts as changed once", name, len(key), digestKeyBytes)
		}
		return key, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the key of digests: %w", err)
	}
	key = make([]byte, digestKeyBytes)
	rand.Read(key) // never fails
	if err := WriteFile(name, key); err != nil {
		return nil, fmt.Errorf("the key of digests: %w", err)
	}
	return key, nil
}

// redaction returns how LiteLLM's callbacks are redacted with this directory, as the first
// start stored it: preset, or kept as before. It is empty if nothing is stored.
func (d dataDir) redaction() string {
	text, err := os.ReadFile(d.file(redactionFile))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

const redactionFile = "litellm.redaction"

// keepsUnredacted reports whether callbacks from LiteLLM's file deliver unredacted because an
// older version did so, and whether a start has logged a warning.
func (d dataDir) keepsUnredacted() (keeps, warned bool) {
	if said := d.redaction(); said != "" {
		return said == config.RedactionKept, true
	}
	return d.lastConfig() != "", false
}

// setRedaction stores the decision of the first start.
func (d dataDir) setRedaction(redaction string) error {
	if d.redaction() != "" {
		return nil
	}
	if redaction != config.RedactionKept {
		redaction = "preset"
	}
	return WriteFile(d.file(redactionFile), []byte(redaction+"\n"))
}

// lastConfig returns the digest of the last configuration, or "" at first.
func (d dataDir) lastConfig() string {
	digest, err := os.ReadFile(d.file("config.digest"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(digest))
}

func (d dataDir) setLastConfig(digest string) error {
	return WriteFile(d.file("config.digest"), []byte(digest+"\n"))
}

// takenBackFile names the rollout that a user rolled back while the journal could not record
// it: one line with its id, and one with the user.
const takenBackFile = "rollout.taken-back"

func (d dataDir) setTakenBack(taken *runtime.TakenBackError) error {
	return WriteFile(d.file(takenBackFile), []byte(taken.ID+"\n"+taken.By+"\n"))
}

// takenBack returns the rollback of the rollout id, or nil if there is none.
func (d dataDir) takenBack(id string) *runtime.TakenBackError {
	text, err := os.ReadFile(d.file(takenBackFile))
	if err != nil {
		return nil //nolint:nilerr // nothing was taken back, or nothing tells of it any more
	}
	of, by, _ := strings.Cut(strings.TrimSuffix(string(text), "\n"), "\n")
	if of != id {
		return nil
	}
	return &runtime.TakenBackError{ID: id, By: by, Err: errors.New("the journal failed")}
}

// WriteFile replaces a file as a whole or not at all.
func WriteFile(name string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
