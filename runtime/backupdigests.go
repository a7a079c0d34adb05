package runtime

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"auditrelay/internal/verify"
)

// The last file of a backup lists all other files with their digests. Its last line contains its own
// digest. A directory that has this file is a complete backup.
const (
	digestsName    = "BACKUP"
	digestsVersion = 1
	maxDigests     = 64 << 20
)

// backupDigests is the content of that file before its last line.
type backupDigests struct {
	Version int                   `json:"version"`
	Made    time.Time             `json:"made"`
	Journal string                `json:"journal"` // the journal's identity and incarnation
	Files   map[string]fileDigest `json:"files"`   // by path with slashes
}

type fileDigest struct {
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// sealBackup makes all files private and durable, and writes their digests.
func sealBackup(dir, journal string) error {
	b := backupDigests{Version: digestsVersion, Made: time.Now().UTC(), Journal: journal, Files: map[string]fileDigest{}}
	err := syncTree(dir, func(name string, f *os.File) error {
		d, err := digestOf(f)
		b.Files[name] = d
		return err
	})
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(b, "", " ")
	if err != nil {
		return err
	}
	text = append(text, '\n')
	text = fmt.Appendf(text, "sha256 %x\n", sha256.Sum256(text))
	f, err := os.OpenFile(filepath.Join(dir, digestsName), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Sync(), f.Close(), syncDir(dir))
}

// VerifyBackup checks every file of a backup against its digest. It changes nothing.
//
// Errors: ErrUnverified if the backup has no digests; otherwise all missing, unexpected
// and changed files, joined.
func VerifyBackup(dir string) error {
	var errs []error
	err := checkBackup(dir, func(_ verify.Category, _ string, err error) { errs = append(errs, err) })
	if err = errors.Join(append(errs, err)...); err != nil {
		return fmt.Errorf("verify the backup %s: %w", dir, err)
	}
	return nil
}

// checkBackup calls wrong for each file of a backup that is missing, unexpected or changed. It returns an
// error if it cannot read the digests or a file.
func checkBackup(dir string, wrong func(c verify.Category, name string, err error)) error {
	b, err := readDigests(dir)
	if err != nil {
		return err
	}
	unseen := maps.Clone(b.Files)
	err = eachFile(dir, func(name string) error {
		want, ok := b.Files[name]
		if delete(unseen, name); !ok {
			wrong(verify.Added, name, fmt.Errorf("%s was not there when the backup was made", name))
			return nil
		}
		f, err := os.Open(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil {
			return err
		}
		defer f.Close()
		if got, err := digestOf(f); err != nil {
			return err
		} else if got != want {
			wrong(verify.Altered, name, fmt.Errorf("%s is damaged: it has %d bytes and another digest than the %d bytes that were written", name, got.Bytes, want.Bytes))
		}
		return nil
	})
	for _, name := range slices.Sorted(maps.Keys(unseen)) {
		wrong(verify.Missing, name, fmt.Errorf("%s is missing", name))
	}
	return err
}

func readDigests(dir string) (*backupDigests, error) {
	f, err := os.Open(filepath.Join(dir, digestsName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, withoutDigests(dir)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxDigests+1))
	if err != nil {
		return nil, err
	}
	const last = len("sha256 \n") + 2*sha256.Size
	if len(text) < last || !bytes.Equal(text[len(text)-last:], fmt.Appendf(nil, "sha256 %x\n", sha256.Sum256(text[:len(text)-last]))) {
		return nil, fmt.Errorf("%s is damaged", digestsName)
	}
	b := new(backupDigests)
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(b); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", digestsName, err)
	}
	if b.Version != digestsVersion {
		return nil, fmt.Errorf("%s has version %d, expected %d; use the newer program that wrote it", digestsName, b.Version, digestsVersion)
	}
	return b, nil
}

// withoutDigests distinguishes a backup of an old version from an incomplete backup.
func withoutDigests(dir string) error {
	head, err := os.ReadFile(filepath.Join(dir, "HEAD"))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("not a complete backup: it has neither %s nor a journal's HEAD", digestsName)
	}
	if err != nil {
		return err
	}
	if bytes.HasPrefix(head, []byte("auditrelay journal format 1\n")) {
		return ErrUnverified
	}
	return fmt.Errorf("not a complete backup: %s is missing, which is written last", digestsName)
}

func digestOf(f *os.File) (fileDigest, error) {
	h := sha256.New()
	n, err := io.Copy(h, f)
	return fileDigest{Bytes: n, SHA256: hex.EncodeToString(h.Sum(nil))}, err
}

// eachFile calls fn for each file below dir that belongs in a backup. It skips lock files, which belong to
// the running program.
func eachFile(dir string, fn func(name string) error) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil || e.Name() == "LOCK" || name == digestsName {
			return err
		}
		if !e.Type().IsRegular() {
			return fmt.Errorf("%s is not a regular file", name)
		}
		return fn(filepath.ToSlash(name))
	})
}

// syncTree makes all files below dir private and durable. If fn is not nil, syncTree first calls it for
// each file.
func syncTree(dir string, fn func(name string, f *os.File) error) error {
	err := eachFile(dir, func(name string) error {
		f, err := os.OpenFile(filepath.Join(dir, filepath.FromSlash(name)), os.O_RDWR, 0)
		if err != nil {
			return err
		}
		err = f.Chmod(0o600)
		if err == nil && fn != nil {
			err = fn(name, f)
		}
		return errors.Join(err, f.Sync(), f.Close())
	})
	if err != nil {
		return err
	}
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return err
		}
		return errors.Join(os.Chmod(path, 0o700), syncDir(path))
	})
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
