package runtime

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// backedUp returns a backup of a journal with two events, and a file of the caller.
func backedUp(t *testing.T) (dir string) {
	t.Helper()
	base := t.TempDir()
	r := begin(t, Options{Dir: filepath.Join(base, "data")})
	accept(t, r, "a", "b")
	dir = filepath.Join(base, "backup")
	err := r.Backup(t.Context(), dir, By{}, func(dir string) error {
		if !strings.HasSuffix(dir, PartialSuffix) {
			t.Error("written under its final name:", dir)
		}
		return os.WriteFile(filepath.Join(dir, "own"), []byte("of the caller"), 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func backupFiles(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() && e.Name() != "LOCK" {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// A backup with a missing, damaged, truncated or additional file is refused as a whole, and
// nothing is restored.
func TestADamagedBackupIsRefused(t *testing.T) {
	dir := backedUp(t)
	if err := VerifyBackup(dir); err != nil {
		t.Fatal(err)
	}
	refused := func(what, want string) {
		t.Helper()
		into := filepath.Join(t.TempDir(), "data")
		verify, restore := VerifyBackup(dir), Restore(dir, into, By{}, nil)
		if verify == nil || restore == nil || !strings.Contains(verify.Error(), want) {
			t.Errorf("%s: verify: %v; restore: %v", what, verify, restore)
		}
		if _, err := os.Stat(into); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: something was restored: %v", what, err)
		}
	}
	for _, name := range backupFiles(t, dir) {
		info, err := os.Stat(name)
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("%s has mode %v, %v", name, info.Mode(), err)
		}
		whole, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		put := func(b []byte) {
			t.Helper()
			os.Remove(name) // it may be a link into the data directory
			if err := os.WriteFile(name, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		base := filepath.Base(name)
		if len(whole) > 0 {
			flipped := bytes.Clone(whole)
			flipped[len(flipped)/2] ^= 4
			put(flipped)
			refused("flipped "+base, base)
			put(whole[:len(whole)-1])
			refused("cut "+base, base)
		}
		os.Remove(name)
		refused("removed "+base, "missing")
		put(whole)
	}
	extra := filepath.Join(dir, "extra")
	if err := os.WriteFile(extra, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	refused("one more file", "extra")
	os.Remove(extra)
	if err := VerifyBackup(dir); err != nil {
		t.Error("afterwards:", err)
	}
}

// A backup of an older version, without digests, is restored and marked unverified.
func TestABackupWithoutDigestsIsUnverified(t *testing.T) {
	dir := backedUp(t)
	os.Remove(filepath.Join(dir, digestsName))
	if err := VerifyBackup(dir); err == nil || errors.Is(err, ErrUnverified) {
		t.Error("one of this version:", err)
	}
	const old = "auditrelay journal format 1\nid a\nincarnation b\nnext 1\ncommits 0\n"
	if err := os.WriteFile(filepath.Join(dir, "HEAD"), []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := VerifyBackup(dir); !errors.Is(err, ErrUnverified) {
		t.Error("one of an older version:", err)
	}
}

// Open refuses an interrupted restore, which can be repeated.
func TestAnInterruptedRestoreIsRefused(t *testing.T) {
	dir := backedUp(t)
	into := filepath.Join(t.TempDir(), "data")
	broken := errors.New("interrupted")
	if err := Restore(dir, into, By{}, func(string) error { return broken }); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	if r, err := Open(t.Context(), Options{Dir: into}); err == nil || !strings.Contains(err.Error(), "its restore was interrupted") {
		r.Close()
		t.Fatal(err)
	}
	if err := Restore(dir, into, By{}, nil); err != nil {
		t.Fatal(err)
	}
	r := begin(t, Options{Dir: into})
	if n := r.Stats().Head - 1; n != 5 { // including own records of the backup and the restore
		t.Errorf("%d events", n)
	}
	if err := Restore(dir, into, By{}, nil); err == nil {
		t.Error("restored over a data directory")
	}
}
