package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Backup copies the open journal j into the new directory dir, on the same file system. j stays
// in use. The copy contains everything that was acknowledged before the call. Backup links
// files if possible, so the copy takes little space until j changes. For a real backup, copy it
// elsewhere.
//
// A backup has j's own identity. Restore it before you write to it.
func Backup(j *Journal, dir string) error {
	if j.db == nil {
		return fmt.Errorf("journal: backup: %w: it is kept on a server, which has its own means", errors.ErrUnsupported)
	}
	done, err := j.reading()
	if err != nil {
		return err
	}
	defer done()
	if err := j.backup(dir); err != nil {
		return fmt.Errorf("journal %s: backup to %s: %w", j.dir, dir, err)
	}
	return nil
}

func (j *Journal) backup(dir string) error {
	fsys := j.options.FS
	if err := makeEmpty(fsys, dir); err != nil {
		return err
	}
	j.blobs.removing.Lock() // all files that the copy of the database refers to still exist
	defer j.blobs.removing.Unlock()
	s := j.state.Load() // durable, so the copy has at least this state
	if err := j.db.Checkpoint(fsys.PathJoin(dir, databaseName), pebble.WithFlushedWAL()); err != nil {
		return err
	}
	if err := copyBlobs(fsys, j.dir, dir, true); err != nil {
		return err
	}
	// Copied after the database, so that every key that the copy needs exists. The lock
	// prevents a copy during a replacement of the file, which may overwrite the old content.
	j.keyMu.Lock()
	err := copyKeyring(fsys, j.dir, dir)
	j.keyMu.Unlock()
	if err != nil {
		return err
	}
	// The marker comes last, since a directory without it is not a journal.
	if err := writeMarker(fsys, dir, j.id.Identity, s.anchor()); err != nil {
		return err
	}
	return syncAncestors(fsys, dir)
}

// Restore copies the backup or closed journal at src into the new directory dst, and gives the
// copy a new incarnation. It uses only FS and Logger of o. Open rejects an interrupted copy:
// remove it and call Restore again.
func Restore(src, dst string, o Options) error {
	if err := restore(src, dst, o.withDefaults()); err != nil {
		return fmt.Errorf("journal: restore %s to %s: %w", src, dst, err)
	}
	return nil
}

func restore(src, dst string, o Options) (err error) {
	l, err := lock(o.FS, src)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	m, least, err := readMarker(o.FS, src)
	if err != nil {
		return err
	}
	if err := makeEmpty(o.FS, dst); err != nil {
		return err
	}
	if err := errors.Join(copyDatabase(o.FS, src, dst), copyBlobs(o.FS, src, dst, false), copyKeyring(o.FS, src, dst)); err != nil {
		return err
	}
	if d, err := findDamage(o.FS, dst, least); err != nil {
		return err
	} else if d != nil {
		return &CorruptError{Err: errors.New(d.why)}
	}
	// First check against the source's marker, then rename, then write the new marker.
	j := newJournal(dst, o)
	if j.lock, err = lock(o.FS, dst); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.release()) }()
	if err := j.openEngine(o, true); err != nil {
		return j.damaged(1, least.next, err)
	}
	if err := j.recover(m.identity, least); err != nil {
		return err
	}
	j.id.Incarnation = newIdentity().Incarnation
	b := j.store.Batch(0)
	set(b, keyIdentity, j.id.record())
	if err := j.apply(b); err != nil {
		return err
	}
	if err := writeMarker(o.FS, dst, j.id.Identity, j.state.Load().anchor()); err != nil {
		return err
	}
	return syncAncestors(o.FS, dst)
}

// Migrate converts the closed journal in dir to this program's format version. It changes
// nothing if the journal already has it.
//
// Errors: ErrFormat if it cannot convert; ErrLocked; ErrCorrupt.
func Migrate(dir string, o Options) (err error) {
	o = o.withDefaults()
	defer func() {
		if err != nil {
			err = fmt.Errorf("journal %s: migrate: %w", dir, err)
		}
	}()
	l, err := lock(o.FS, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	m, _, err := readMarker(o.FS, dir)
	if err != nil || m.before == nil {
		return err
	}
	return writeMarker(o.FS, dir, m.identity, m.before)
}

func makeEmpty(fsys vfs.FS, dir string) error {
	names, err := fsys.List(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fsys.MkdirAll(dir, 0o700)
	case err != nil:
		return err
	case len(names) > 0:
		return fmt.Errorf("%s is not empty; name a new directory", dir)
	}
	return nil
}

func copyDatabase(fsys vfs.FS, src, dst string) error {
	from, to := fsys.PathJoin(src, databaseName), fsys.PathJoin(dst, databaseName)
	names, err := fsys.List(from)
	if err != nil {
		return err
	}
	if err := fsys.MkdirAll(to, 0o700); err != nil {
		return err
	}
	for _, name := range names {
		if name == lockName {
			continue
		}
		if err := copyFile(fsys, fsys.PathJoin(from, name), fsys.PathJoin(to, name)); err != nil {
			return err
		}
	}
	return errors.Join(syncDir(fsys, to), syncDir(fsys, dst))
}

func copyFile(fsys vfs.FS, from, to string) (err error) {
	in, err := fsys.Open(from, vfs.SequentialReadsOption)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := fsys.Create(to, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}
