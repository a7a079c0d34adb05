package runtime_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"auditrelay"
	"auditrelay/runtime"
)

// TestFilesAreTheirOwnersAlone: the relay's files have mode 0600 and its directories 0700,
// including those of the storage engine.
func TestFilesAreTheirOwnersAlone(t *testing.T) {
	base := t.TempDir()
	dir, backup := filepath.Join(base, "data"), filepath.Join(base, "backup")
	for range 2 {
		r, _, _ := proving(t, runtime.Options{Dir: dir, Journal: runtime.JournalOptions{Encryption: runtime.Encryption{Key: auditrelay.Secret(bytes.Repeat([]byte("k"), 32))}}})
		submit(t, r, event("a", "created"))
		settle(t, r)
		if err := r.Backup(t.Context(), backup+fmt.Sprint(len(files(t, base))), runtime.By{Principal: "u"}, nil); err != nil {
			t.Fatal(err)
		}
		if err := r.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	seen := 0
	err := filepath.WalkDir(base, func(name string, d os.DirEntry, err error) error {
		if err != nil || name == base {
			return err
		}
		info, err := d.Info()
		if want := map[bool]os.FileMode{true: 0o700, false: 0o600}[d.IsDir()]; err == nil && info.Mode().Perm() != want {
			t.Errorf("%s has mode %o", strings.TrimPrefix(name, base), info.Mode().Perm())
		}
		seen++
		return err
	})
	if err != nil || seen < 20 {
		t.Errorf("%d files, %v", seen, err)
	}
}
