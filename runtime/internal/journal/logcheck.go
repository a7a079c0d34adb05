package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// checkLogs rejects a journal with a damaged log. The storage engine would take the damage for
// the end of the log and assign the lost sequences again.
func (j *Journal) checkLogs(least *anchor) error {
	if j.options.UnsafeNoSync {
		return nil // the check relies on synced commits
	}
	d, err := findDamage(j.options.FS, j.dir, least)
	if err != nil || d == nil {
		return err
	}
	whole, err := d.whole(j.options)
	if err != nil {
		return errors.Join(&CorruptError{Err: errors.New(d.why)}, err)
	}
	return d.corrupt(whole, least)
}

// damage describes damage in the engine's logs. Everything before it is intact.
type damage struct {
	dir  string
	logs []*scannedLog // the live logs
	from int           // index of the first damaged log; len(logs): one after all of them is missing
	why  string
}

// findDamage scans the live logs below dir. It returns nil if neither they nor the anchor show
// damage.
func findDamage(fsys vfs.FS, dir string, least *anchor) (*damage, error) {
	first, logs, err := liveLogs(fsys, dir)
	if err != nil {
		return nil, err
	}
	d := &damage{dir: dir, logs: logs, from: slices.IndexFunc(logs, func(l *scannedLog) bool { return l.damage != "" })}
	if d.from >= 0 {
		l := logs[d.from]
		d.why = fmt.Sprintf("%s, whole up to byte %d of %d: %s", fsys.PathBase(l.path), l.whole, l.size, l.damage)
	}
	// A log is deleted once its data is in tables, after the manifest says so.
	for _, number := range least.logs {
		if uint64(number) < first || slices.ContainsFunc(logs, func(l *scannedLog) bool { return l.number == number }) {
			continue
		}
		at := slices.IndexFunc(logs, func(l *scannedLog) bool { return l.number > number })
		if at < 0 {
			at = len(logs)
		}
		if d.from < 0 || at <= d.from {
			d.from, d.why = at, logName(number)+" is missing"
		}
	}
	if d.from < 0 {
		return nil, nil
	}
	return d, nil
}

// corrupt returns the damage as an error. whole is the newest intact state before it.
func (d *damage) corrupt(whole *state, least *anchor) *CorruptError {
	next, commits := least.next, least.commits
	for _, l := range d.logs[d.from:] {
		for _, s := range []*state{l.last, l.newest} {
			if s != nil {
				next, commits = max(next, s.next), max(commits, s.commits)
			}
		}
	}
	e := &CorruptError{Since: fromUnixNano(whole.received), Err: errors.New(d.why), recoverable: true}
	if next > whole.next {
		e.From, e.To = whole.next, next
	} else if commits > whole.commits {
		e.Err = fmt.Errorf("%w; no event is missing, but %d commits of callbacks' state are", e.Err, commits-whole.commits)
	}
	return e
}

// whole returns the newest state before the damage. It opens the database read-only.
func (d *damage) whole(o Options) (*state, error) {
	for i := min(d.from, len(d.logs)-1); i >= 0; i-- {
		if l := d.logs[i]; l.last != nil && l.whole > 0 {
			return l.last, nil
		}
	}
	// The state is in the tables.
	p := pebbleOptions(o, &fault{}, newAnchoring(), true)
	p.FS, p.ReadOnly = &wholeFS{FS: o.FS, damage: d}, true
	db, err := pebble.Open(o.FS.PathJoin(d.dir, databaseName), p)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	record, closer, err := db.Get(keyHead)
	if errors.Is(err, pebble.ErrNotFound) {
		return &state{next: 1, oldest: 1}, nil
	}
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	return decodeState(record)
}

// kept returns the number of bytes of a live log that are intact and before the damage.
func (d *damage) kept(i int) int64 {
	switch {
	case i < d.from:
		return d.logs[i].size
	case i == d.from && d.logs[i].damage != "":
		return d.logs[i].whole
	}
	return 0
}

// wholeFS shows a database without the data after the damage.
type wholeFS struct {
	vfs.FS
	damage *damage
}

// Unwrap implements vfs.FS.
func (c *wholeFS) Unwrap() vfs.FS { return c.FS }

func (c *wholeFS) cut(name string) (kept int64, ok bool) {
	for i, l := range c.damage.logs {
		if c.PathBase(l.path) == c.PathBase(name) {
			return c.damage.kept(i), i >= c.damage.from
		}
	}
	return 0, false
}

// List implements vfs.FS.
func (c *wholeFS) List(dir string) ([]string, error) {
	names, err := c.FS.List(dir)
	return slices.DeleteFunc(names, func(name string) bool {
		kept, cut := c.cut(name)
		return cut && kept == 0
	}), err
}

// Open implements vfs.FS.
func (c *wholeFS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	kept, cut := c.cut(name)
	if !cut {
		return c.FS.Open(name, opts...)
	}
	b, err := readStart(c.FS, name, kept)
	if err != nil {
		return nil, err
	}
	return vfs.NewMemFile(b), nil
}

// readStart returns the first n bytes of a file.
func readStart(fsys vfs.FS, name string, n int64) (b []byte, err error) {
	f, err := fsys.Open(name, vfs.SequentialReadsOption)
	if err != nil {
		return nil, err
	}
	b = make([]byte, n)
	_, err = io.ReadFull(f, b)
	return b, errors.Join(err, f.Close())
}

// interrupted rejects a journal with an unfinished Recover.
func interrupted(fsys vfs.FS, dir string) error {
	_, err := fsys.Stat(fsys.PathJoin(dir, recoveringName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return &CorruptError{Err: errors.New("its recovery was interrupted"), recoverable: true}
}

const recoveringName = "recovering"
