package wasm

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"auditrelay/internal/compile"
	"auditrelay/internal/meter"
)

// image is a module in the form that the compiler gets: rewritten, or the outline of that if
// the cache has it.
type image struct {
	wasm  []byte
	sum   [32]byte // digest of the module
	key   [32]byte // key in the cache
	found bool
}

// errNoCode: the cache had an outline but not its code. The outline was then compiled itself,
// and traps at every call.
var errNoCode = errors.New("its compiled code is not in the cache")

// cached reports whether compiled code is stored.
func (o *Options) cached() bool { return o.CacheDir != "" }

// image finds a module in the cache, or validates and rewrites it, and sets its facts.
func (m *Module) image(o Options, sum [32]byte) (image, error) {
	if o.cached() {
		if err := ownCache(o.CacheDir); err != nil {
			return image{}, err
		}
	}
	img := m.find(o, sum)
	if img.found {
		return img, nil
	}
	rewritten, err := meter.Rewrite(o.Wasm, meterOptions(m.limits))
	if err != nil {
		return img, err
	}
	m.facts, img.wasm = rewritten.Facts, rewritten.Wasm
	return img, nil
}

// find finds a module in the cache by its digest, and sets its facts. The key contains the
// meter's version and the limits, so a cached module was validated with the same ones.
func (m *Module) find(o Options, sum [32]byte) image {
	img := image{sum: sum, key: sha256.Sum256(fmt.Appendf(nil, "auditrelay image 1 %s %#v %x", meter.Version, meterOptions(m.limits), sum))}
	if o.cached() {
		e, found := compile.Find(o.CacheDir, img.key)
		if found && json.Unmarshal(e.Note, &m.facts) == nil {
			img.wasm, img.found = e.Outline, true
		}
	}
	return img
}

// fill puts the image into the cache, if there is one, and returns what to load.
func (m *Module) fill(ctx context.Context, o Options, img image) ([]byte, error) {
	if img.found || !o.cached() {
		return img.wasm, nil
	}
	note, err := json.Marshal(&m.facts)
	if err != nil {
		return nil, err
	}
	e, err := compile.Fill(ctx, img.key, img.wasm, note, compile.Options{Command: o.Compiler, CacheDir: o.CacheDir})
	return e.Outline, err
}

// ownCache creates the cache directory. Its code runs unchecked, so no other user may have
// access.
func ownCache(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("compile cache: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("compile cache: %w", err)
	}
	if info.Mode()&fs.ModePerm&0o077 != 0 {
		return fmt.Errorf("compile cache %s: its mode is %v; it contains native code that the relay runs, so only the relay may have access (chmod 700)", dir, info.Mode().Perm())
	}
	return nil
}
