package journal

import (
	"errors"
	"io/fs"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// gate is the file system under Pebble. It delays the removal of files until the journal is
// known to be intact. With a damaged manifest Pebble takes live files for obsolete ones, and an
// examination needs these files.
type gate struct {
	vfs.FS

	mu      sync.Mutex
	decided bool
	put     map[string]bool // delayed removals
}

func newGate(fs vfs.FS) *gate { return &gate{FS: fs, put: map[string]bool{}} }

// Unwrap returns the file system below, for Pebble.
func (g *gate) Unwrap() vfs.FS { return g.FS }

// open performs the delayed removals and allows later ones. A gate that is never opened removes
// nothing.
func (g *gate) open() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.decided = true
	var errs []error
	for name := range g.put {
		if err := g.FS.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	g.put = nil
	return errors.Join(errs...)
}

// Remove removes name now, or when the gate opens.
func (g *gate) Remove(name string) error {
	g.mu.Lock()
	if !g.decided {
		g.put[name] = true
		g.mu.Unlock()
		return nil
	}
	g.mu.Unlock()
	return g.FS.Remove(name)
}

// Create cancels a delayed removal of name.
func (g *gate) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	g.forget(name)
	return g.FS.Create(name, c)
}

// Rename cancels a delayed removal of newname.
func (g *gate) Rename(oldname, newname string) error {
	g.forget(newname)
	return g.FS.Rename(oldname, newname)
}

func (g *gate) forget(name string) {
	g.mu.Lock()
	delete(g.put, name)
	g.mu.Unlock()
}
