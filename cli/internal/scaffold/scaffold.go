// Package scaffold writes the folder of a new guest: a small guest, its cases, its build, and
// the SDK, so that no download is needed.
package scaffold

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"auditrelay/guests"
)

var nameForm = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,63}$`)

// sdks returns where the SDK's files go in the folder of a language.
func sdks(lang string) string {
	if lang == "go" {
		return "guest"
	}
	return "."
}

// Languages returns the supported languages.
func Languages() ([]string, error) {
	entries, err := guests.Files.ReadDir("scaffold")
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all, err
}

// New creates dir, which must not exist, for a guest in a language. The guest's name is the
// last element of dir.
func New(lang, dir string) error {
	name := filepath.Base(filepath.Clean(dir))
	if !nameForm.MatchString(name) {
		return fmt.Errorf("%q is no name for a guest: expected 1 to 64 of a-z, 0-9, - and _, the first a letter", name)
	}
	known, err := Languages()
	if err != nil {
		return err
	}
	if !slices.Contains(known, lang) {
		return fmt.Errorf("no guests are begun in %q: expected one of %s", lang, strings.Join(known, ", "))
	}
	if err := os.Mkdir(dir, 0o755); err != nil { //nolint:gosec // a source folder
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%s exists already; give another name", dir)
		}
		return err
	}
	if err := write(path.Join("scaffold", lang), dir, name); err != nil {
		return err
	}
	return write(path.Join("sdk", lang), filepath.Join(dir, sdks(lang)), name)
}

func write(from, to, name string) error {
	if err := os.MkdirAll(to, 0o755); err != nil { //nolint:gosec // a source folder
		return err
	}
	return fs.WalkDir(guests.Files, from, func(file string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || strings.HasSuffix(file, "_test.go") {
			return err
		}
		text, err := guests.Files.ReadFile(file)
		if err != nil {
			return err
		}
		// Names with a meaning for the tools that build this program are stored with other
		// names here.
		base := strings.TrimSuffix(path.Base(file), ".txt")
		if base == "gitignore" {
			base = ".gitignore"
		}
		target := filepath.Join(to, base)
		return os.WriteFile(target, bytes.ReplaceAll(text, []byte("@NAME@"), []byte(name)), 0o644) //nolint:gosec // a source file
	})
}
