package journal

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// The marker is a small file beside the database. It names the journal and its format. It is
// written when the journal is created, migrated or recovered.
const (
	markerName    = "HEAD"
	databaseName  = "db"
	lockName      = "LOCK"
	formatVersion = 2
	maxMarker     = 4096
)

// mark is the marker's content.
type mark struct {
	identity Identity
	// before is the journal's progress in a marker of format 1, which had no anchor. It is nil
	// if there is an anchor.
	before *anchor
}

const (
	markFormat1 = "auditrelay journal format 1\nid %s\nincarnation %s\nnext %d\ncommits %d\n"
	markFormat  = "auditrelay journal format 2\nid %s\nincarnation %s\n"
)

func (m *mark) text() []byte {
	if m.before != nil {
		return summed(fmt.Appendf(nil, markFormat1, m.identity.ID, m.identity.Incarnation, m.before.next, m.before.commits))
	}
	return summed(fmt.Appendf(nil, markFormat, m.identity.ID, m.identity.Incarnation))
}

// summed appends a line with the checksum of b.
func summed(b []byte) []byte {
	return fmt.Appendf(b, "crc32c %08x\n", crc32.Checksum(b, castagnoli))
}

// parseMark accepts exactly the output of text.
func parseMark(b []byte) (*mark, error) {
	for _, format := range []string{markFormat, markFormat1} {
		m := &mark{}
		into := []any{&m.identity.ID, &m.identity.Incarnation}
		if format == markFormat1 {
			m.before = &anchor{}
			into = append(into, &m.before.next, &m.before.commits)
		}
		if _, err := fmt.Sscanf(string(b), format, into...); err == nil && string(m.text()) == string(b) {
			return m, nil
		}
	}
	version := 0
	if _, err := fmt.Sscanf(string(b), "auditrelay journal format %d\n", &version); err == nil && version > formatVersion && markSumHolds(b) {
		return nil, &FormatError{Found: version, Expected: formatVersion}
	}
	return nil, &CorruptError{Err: fmt.Errorf("%s is damaged", markerName)}
}

// markSumHolds verifies the last line, which every version has.
func markSumHolds(b []byte) bool {
	const last = len("crc32c 00000000\n")
	if len(b) < last {
		return false
	}
	body := b[:len(b)-last]
	return string(b[len(b)-last:]) == fmt.Sprintf("crc32c %08x\n", crc32.Checksum(body, castagnoli))
}

// writeWhole replaces a small file durably, as a whole or not at all.
func writeWhole(fsys vfs.FS, dir, name string, text []byte) error {
	path := fsys.PathJoin(dir, name)
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
	return syncDir(fsys, dir)
}

// writeMarker writes the anchor and then the marker, since a directory without a marker is not
// a journal.
func writeMarker(fsys vfs.FS, dir string, id Identity, a *anchor) error {
	if err := writeWhole(fsys, dir, anchorName, a.file(id)); err != nil {
		return err
	}
	return writeWhole(fsys, dir, markerName, (&mark{identity: id}).text())
}

func syncDir(fsys vfs.FS, dir string) error {
	d, err := fsys.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// readMarker reads the marker and the anchor's minimum of the journal's progress.
func readMarker(fsys vfs.FS, dir string) (*mark, *anchor, error) {
	b, err := readSmall(fsys, fsys.PathJoin(dir, markerName), maxMarker)
	if err != nil {
		return nil, nil, err
	}
	m, err := parseMark(b)
	if err != nil || m.before != nil {
		var a *anchor
		if m != nil {
			a = m.before
		}
		return m, a, err
	}
	a, err := readAnchor(fsys, dir, m.identity)
	return m, a, err
}

func readSmall(fsys vfs.FS, path string, most int64) ([]byte, error) {
	f, err := fsys.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most+1))
}

// readOrCreateMarker reads the marker. It creates one only if there is no database. The marker
// is created first, so a database without a marker is damaged.
func (j *Journal) readOrCreateMarker() (*mark, *anchor, error) {
	fsys := j.options.FS
	m, a, err := readMarker(fsys, j.dir)
	if m != nil || !errors.Is(err, fs.ErrNotExist) {
		return m, a, err
	}
	names, err := fsys.List(fsys.PathJoin(j.dir, databaseName))
	if err == nil && len(names) > 0 {
		return nil, nil, &CorruptError{Err: fmt.Errorf("%s is missing", markerName)}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	m, a = &mark{identity: newIdentity()}, &anchor{next: 1}
	if err := writeMarker(fsys, j.dir, m.identity, a); err != nil {
		return nil, nil, err
	}
	return m, a, syncAncestors(fsys, j.dir)
}

// syncAncestors makes the directory entries of a new directory and its ancestors durable, since
// the ancestors may be new too. It skips directories that it may not open, which are not the
// relay's.
func syncAncestors(fsys vfs.FS, dir string) error {
	for {
		parent := fsys.PathDir(dir)
		if parent == dir {
			return nil
		}
		if err := syncDir(fsys, parent); err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
		dir = parent
	}
}
