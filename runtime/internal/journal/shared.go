package journal

import (
	"errors"
	"fmt"
	"io/fs"
)

// OpenShared opens the journal in s, or creates it. Of o it does not use Reserve and
// UnsafeNoSync. In dir, which may be empty, the anchor is kept: a store that holds less
// than the journal had come to is refused as damaged, which is what a standby is that
// was promoted without all that was acknowledged. An empty dir is no anchor.
//
// It takes s over, and closes it also where it fails. Errors: as of Open.
func OpenShared(s Shared, dir string, o Options) (*Journal, error) {
	o.Reserve = -1
	j := newJournal(dir, o.withDefaults())
	j.store, j.shared, j.lock = s, s, noLock{}
	j.space = newSpace(nil, "", j.options)
	j.space.size = s.Size
	if err := j.openShared(); err != nil {
		return nil, fmt.Errorf("journal: open: %w", errors.Join(err, j.stopAnchor(false), j.release()))
	}
	return j, nil
}

func (j *Journal) openShared() error {
	id := newIdentity()
	switch record, closer, err := j.store.Get(keyIdentity); {
	case errors.Is(err, ErrAbsent):
	case err != nil:
		return err
	default:
		stored, err := decodeIdentity(record)
		closer.Close()
		if err != nil {
			return &CorruptError{Err: fmt.Errorf("identity: %w", err)}
		}
		id = stored.Identity
	}
	least, err := j.sharedAnchor(id)
	if err != nil {
		return err
	}
	if err := j.openKeyring(id.ID); err != nil {
		return err
	}
	if err := j.recover(id, least); err != nil {
		return err
	}
	if err := j.settleKeyring(); err != nil {
		return err
	}
	if err := j.openAccepted(); err != nil {
		return err
	}
	if j.dir == "" {
		return nil
	}
	return j.startAnchor(least)
}

// sharedAnchor reads the anchor of a journal that is kept elsewhere, and makes one where
// there is none: a relay on another machine, or the first.
func (j *Journal) sharedAnchor(id Identity) (*anchor, error) {
	none := &anchor{next: 1}
	if j.dir == "" {
		return none, nil
	}
	fsys := j.options.FS
	if err := fsys.MkdirAll(j.dir, 0o700); err != nil {
		return nil, err
	}
	switch a, err := readAnchor(fsys, j.dir, id); {
	case err == nil:
		return a, nil
	case !anchorMissing(fsys.Stat(fsys.PathJoin(j.dir, anchorName))):
		return nil, err
	}
	return none, writeWhole(fsys, j.dir, anchorName, none.file(id))
}

func anchorMissing(_ any, err error) bool { return errors.Is(err, fs.ErrNotExist) }
