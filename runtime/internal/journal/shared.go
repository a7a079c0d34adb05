package journal

import (
	"errors"
	"fmt"
	"io/fs"

	"auditrelay"
)

// OpenShared opens the journal in s, or creates it. It ignores Reserve and UnsafeNoSync of o.
// dir is the directory of the anchor. If the store has less than the anchor records, OpenShared
// rejects it as damaged. That happens if a standby is promoted without all acknowledged data.
// If dir is empty, there is no anchor.
//
// OpenShared owns s and closes it, also if it fails. Errors: those of Open.
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

// sharedIdentity returns the identity in the store, or a new one if the store is empty. During
// a recovery the journal gets a new incarnation.
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

// ExamineShared reports how much data a shared store lacks compared with the anchor in dir.
// Errors: those of OpenShared; ErrWhole.
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

// RecoverShared opens the data of a shared store as a new incarnation, so that no sequence is
// used twice in the old one. Use it after the promotion of a standby that lacks acknowledged
// data, or with restored after a backup was restored. At the end it accepts the event that
// record returns. It can be interrupted and called again.
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
		// Written last: until then the old anchor rejects the store.
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

// sharedAnchor reads the anchor of a journal that is stored elsewhere. If there is none, it
// creates one: this is the first relay, or a relay on another machine.
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
