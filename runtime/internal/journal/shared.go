package journal

import (
	"errors"
	"fmt"
	"io/fs"

	"auditrelay"
)

// OpenShared opens the journal in s, or creates it. Of o it does not use Reserve and
// UnsafeNoSync. In dir, which may be empty, the anchor is kept: a store that holds less
// than the journal had come to is refused as damaged, which is what a standby is that
// was promoted without all that was acknowledged. An empty dir is no anchor.
//
// It takes s over, and closes it also where it fails. Errors: as of Open.
func OpenShared(s Shared, dir string, o Options) (*Journal, error) {
	j := newShared(s, dir, o)
	if err := j.openShared(); err != nil {
		return nil, fmt.Errorf("journal: open: %w", errors.Join(err, j.stopAnchor(false), j.release()))
	}
	return j, nil
}

func newShared(s Shared, dir string, o Options) *Journal {
	o.Reserve, o.Blob = -1, -1
	j := newJournal(dir, o.withDefaults())
	j.store, j.shared, j.lock = s, s, noLock{}
	j.space = newSpace(nil, "", j.options)
	j.space.size = s.Size
	return j
}

func (j *Journal) openShared() error {
	if err := j.checkMoved(); err != nil {
		return err
	}
	id, err := j.sharedIdentity()
	if err != nil {
		return err
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
	if j.dir != "" {
		if err := j.startAnchor(least); err != nil {
			return err
		}
	}
	return j.openIDs()
}

// sharedIdentity returns the identity that the store holds, or a new one where it is
// empty. A journal that is being recovered gets a new incarnation.
func (j *Journal) sharedIdentity() (Identity, error) {
	record, closer, err := j.store.Get(keyIdentity)
	if errors.Is(err, ErrAbsent) {
		return newIdentity(), nil
	}
	if err != nil {
		return Identity{}, err
	}
	stored, err := decodeIdentity(record)
	closer.Close()
	if err != nil {
		return Identity{}, &CorruptError{Err: fmt.Errorf("identity: %w", err)}
	}
	if j.recovering {
		stored.Incarnation = newIdentity().Incarnation
		b := j.store.Batch(0)
		set(b, keyIdentity, stored.record())
		err = j.apply(b)
	}
	return stored.Identity, err
}

// ExamineShared reports how much of what the anchor in dir knows is missing in a shared
// store. Errors: as of OpenShared, and ErrWhole.
func ExamineShared(open func() (Shared, error), dir string, o Options) (*Recovery, error) {
	s, err := open()
	if err != nil {
		return nil, err
	}
	j, err := OpenShared(s, dir, o)
	if err == nil {
		return &Recovery{Next: j.Head().Next, Before: j.Identity()}, errors.Join(ErrWhole, j.Close())
	}
	damage, ok := errors.AsType[*CorruptError](err)
	if !ok || !damage.recoverable {
		return nil, err
	}
	return &Recovery{Damage: damage, Next: damage.From}, nil
}

// RecoverShared opens what a shared store holds under a new incarnation, so that no
// sequence is used twice under the old one: after a standby was promoted that had not all
// that was acknowledged, or, with restored, after a backup was put in place. At last it
// accepts the event that record makes of it. It can be interrupted and called again.
func RecoverShared(open func() (Shared, error), dir string, o Options, restored bool, record func(*Recovery) (auditrelay.Event, error)) (*Recovery, error) {
	r, err := ExamineShared(open, dir, o)
	if restored && errors.Is(err, ErrWhole) {
		r.Damage, err = &CorruptError{Err: errors.New("a backup was put in its place"), recoverable: true}, nil
	}
	if err != nil {
		return r, err
	}
	s, err := open()
	if err != nil {
		return r, err
	}
	j := newShared(s, "", o)
	j.recovering = true
	if before, err := j.storedIdentity(); err == nil {
		r.Before = before.Identity
	}
	if err := j.openShared(); err != nil {
		return r, errors.Join(err, j.release())
	}
	r.Next, r.Identity = j.Head().Next, j.Identity()
	err = j.recordRecovery(r, record)
	if err == nil && dir != "" {
		// Last: until then the old anchor refuses.
		if err = j.options.FS.MkdirAll(dir, 0o700); err == nil {
			err = writeWhole(j.options.FS, dir, anchorName, j.state.Load().anchor().file(r.Identity))
		}
	}
	return r, errors.Join(err, j.Close())
}

func (j *Journal) recordRecovery(r *Recovery, record func(*Recovery) (auditrelay.Event, error)) error {
	e, err := record(r)
	if err != nil {
		return err
	}
	tx := &Tx{}
	tx.MakesRoom()
	tx.Append(e)
	_, err = j.Commit(tx)
	return err
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
	l, err := lock(fsys, j.dir)
	if err != nil {
		return nil, err
	}
	j.lock = l
	switch a, err := readAnchor(fsys, j.dir, id); {
	case err == nil:
		return a, nil
	case !anchorMissing(fsys.Stat(fsys.PathJoin(j.dir, anchorName))):
		return nil, err
	}
	return none, writeWhole(fsys, j.dir, anchorName, none.file(id))
}

func anchorMissing(_ any, err error) bool { return errors.Is(err, fs.ErrNotExist) }
