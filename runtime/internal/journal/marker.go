package journal

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// The marker is a small file beside the database that says how far the journal
// had come at least. A database that holds less was cut short: its log may lose
// its tail in a crash, but never what was acknowledged. It is written when the
// journal is created and closed, with the first commit, and now and then.
const (
	markerName    = "HEAD"
	databaseName  = "db"
	lockName      = "LOCK"
	formatVersion = 1
	markerEvery   = 5 * time.Second
	markerEvents  = 1 << 16
	maxMarker     = 4096
)

// mark is the marker's content.
type mark struct {
	identity Identity
	next     uint64
	commits  uint64
}

const markFormat = "auditrelay journal format %d\nid %s\nincarnation %s\nnext %d\ncommits %d\n"

func (m *mark) text() []byte {
	b := fmt.Appendf(nil, markFormat, formatVersion, m.identity.ID, m.identity.Incarnation, m.next, m.commits)
	return fmt.Appendf(b, "crc32c %08x\n", crc32.Checksum(b, castagnoli))
}

// parseMark accepts what text makes, to the byte.
func parseMark(b []byte) (*mark, error) {
	m := &mark{}
	version := 0
	_, err := fmt.Sscanf(string(b), markFormat, &version, &m.identity.ID, &m.identity.Incarnation, &m.next, &m.commits)
	if err == nil && string(m.text()) == string(b) {
		return m, nil
	}
	if version > formatVersion && markSumHolds(b) {
		return nil, &FormatError{Found: version, Expected: formatVersion}
	}
	return nil, &CorruptError{Err: fmt.Errorf("%s is damaged", markerName)}
}

// markSumHolds checks the last line, which every version has.
func markSumHolds(b []byte) bool {
	const last = len("crc32c 00000000\n")
	if len(b) < last {
		return false
	}
	body := b[:len(b)-last]
	return string(b[len(b)-last:]) == fmt.Sprintf("crc32c %08x\n", crc32.Checksum(body, castagnoli))
}

// marker writes marks, one at a time.
type marker struct {
	mu   sync.Mutex
	when atomic.Int64 // of the last write, Unix ns
	next atomic.Uint64
}

func (m *marker) note(s *state, now time.Time) {
	m.when.Store(now.UnixNano())
	m.next.Store(s.next)
}

// mark writes the marker if it is due, or in any case if force is set. Outside
// of all locks, by a caller of Commit: one in many waits a little longer.
func (j *Journal) mark(force bool) error {
	s, m := j.state.Load(), &j.marker
	now := j.options.Now()
	last := m.next.Load()
	due := s.next >= last+markerEvents || now.UnixNano()-m.when.Load() > int64(markerEvery) || last == 1 && s.next > 1
	if !force && !due {
		return nil
	}
	if force {
		m.mu.Lock()
	} else {
		done, err := j.reading()
		if err != nil {
			return nil
		}
		defer done()
		if !m.mu.TryLock() {
			return nil
		}
	}
	defer m.mu.Unlock()
	m.note(s, now)
	err := writeMarker(j.options.FS, j.dir, &mark{identity: j.id.Identity, next: s.next, commits: s.commits})
	if err != nil {
		// The events are durable all the same; only a later cut would go unseen.
		j.options.Logger.Warn("journal: marker not written", "error", err.Error())
	}
	return err
}

func writeMarker(fsys vfs.FS, dir string, m *mark) error {
	path := fsys.PathJoin(dir, markerName)
	temporary := path + ".tmp"
	f, err := fsys.Create(temporary, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(m.text())
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

func syncDir(fsys vfs.FS, dir string) error {
	d, err := fsys.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func readMarker(fsys vfs.FS, dir string) (*mark, error) {
	f, err := fsys.Open(fsys.PathJoin(dir, markerName))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxMarker+1))
	if err != nil {
		return nil, err
	}
	return parseMark(b)
}

// readOrCreateMarker reads the marker. It makes one only where there is no
// database: the marker comes first, so that a database without one is damage.
func (j *Journal) readOrCreateMarker() (*mark, error) {
	fsys := j.options.FS
	m, err := readMarker(fsys, j.dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return m, err
	}
	names, err := fsys.List(fsys.PathJoin(j.dir, databaseName))
	if err == nil && len(names) > 0 {
		return nil, &CorruptError{Err: fmt.Errorf("%s is missing", markerName)}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	m = &mark{identity: newIdentity(), next: 1}
	if err := writeMarker(fsys, j.dir, m); err != nil {
		return nil, err
	}
	return m, syncAncestors(fsys, j.dir)
}

// syncAncestors makes a new directory's own entry durable, and those of its
// ancestors, which may be as new. Those that may not be opened are not ours.
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
