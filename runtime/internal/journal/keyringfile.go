package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	keyringName    = "KEYRING"
	keyringVersion = 1
	// maxPeriods limits the keyring: 27 years of hours. The journal forgets a period once
	// retention has removed its events.
	maxPeriods      = 240_000
	maxKeyringBytes = 128 << 20
)

// keyringText is the content of the keyring's file: JSON, and a line with its checksum.
type keyringText struct {
	Version int       `json:"version"`
	Journal string    `json:"journal"` // the ID without the incarnation, so that restored copies keep their keys
	Salt    []byte    `json:"salt"`
	Periods []*period `json:"periods"`
}

func (k *keyring) text(journal string) ([]byte, error) {
	b, err := json.MarshalIndent(keyringText{keyringVersion, journal, k.salt, k.periods}, "", " ")
	if err != nil {
		return nil, err
	}
	b = append(b, '\n')
	return fmt.Appendf(b, "crc32c %08x\n", crc32.Checksum(b, castagnoli)), nil
}

func parseKeyring(b []byte, journal string) (*keyring, error) {
	damage := func(what string) error {
		return &CorruptError{Err: fmt.Errorf("%s %s; put a copy of it from a backup in its place", keyringName, what)}
	}
	if !markSumHolds(b) {
		return nil, damage("is damaged")
	}
	var t keyringText
	if err := json.NewDecoder(bytes.NewReader(b)).Decode(&t); err != nil {
		return nil, damage("is damaged")
	}
	if t.Version != keyringVersion {
		return nil, &FormatError{Found: t.Version, Expected: keyringVersion}
	}
	if t.Journal != journal {
		return nil, damage("belongs to another journal")
	}
	for i, p := range t.Periods {
		if p == nil || p.From == 0 || p.Number == 0 || p.live() && len(p.Wrapped) != nonceBytes+periodKeyBytes+16 ||
			i > 0 && (p.Number != t.Periods[i-1].Number+1 || p.From < t.Periods[i-1].From) {
			return nil, damage("is damaged")
		}
	}
	k := &keyring{salt: t.Salt}
	return k.with(t.Periods), nil
}

// readKeyring returns nil if there is no keyring.
func readKeyring(fsys vfs.FS, dir, journal string) (*keyring, error) {
	f, err := fsys.Open(fsys.PathJoin(dir, keyringName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxKeyringBytes))
	if err != nil {
		return nil, err
	}
	return parseKeyring(b, journal)
}

// writeKeyring replaces the keyring's file durably, as a whole or not at all. With wipe it
// overwrites the bytes of the old file. On file systems and disks that overwrite in place, free
// blocks then do not contain the old keys.
func writeKeyring(fsys vfs.FS, dir string, text []byte, wipe bool) (err error) {
	path := fsys.PathJoin(dir, keyringName)
	var before vfs.File
	if wipe {
		if before, err = fsys.OpenReadWrite(path, vfs.WriteCategoryUnspecified); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, before.Close()) }()
	}
	temporary := path + ".tmp"
	f, err := fsys.Create(temporary, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	if err = private(f); err == nil {
		_, err = f.Write(text)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := fsys.Rename(temporary, path); err != nil {
		return err
	}
	if err := syncDir(fsys, dir); err != nil || !wipe {
		return err
	}
	// Only now, when the new file is durable.
	info, err := before.Stat()
	if err != nil {
		return err
	}
	if _, err := before.WriteAt(make([]byte, info.Size()), 0); err != nil {
		return err
	}
	return before.Sync()
}

// copyKeyring copies the keyring's file, if there is one.
func copyKeyring(fsys vfs.FS, src, dst string) error {
	f, err := fsys.Open(fsys.PathJoin(src, keyringName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxKeyringBytes))
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return writeKeyring(fsys, dst, text, false)
}
