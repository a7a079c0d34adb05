package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"auditrelay"
)

// Recovery describes a damaged journal and what Recover can restore or has restored.
type Recovery struct {
	Damage *CorruptError // From and To are the unreadable sequences
	Next   uint64        // all sequences before it are intact
	Behind int           // number of intact events after the damage; Recover accepts them again
	Before Identity      // the damaged journal's identity

	// Set only by Recover.
	Saved    int      // number of events from after the damage; they get new sequences
	Identity Identity // the new incarnation
	Kept     string   // the path of the damaged files
}

// ErrWhole: the journal is not damaged.
var ErrWhole = errors.New("the journal is whole: there is nothing to recover")

// Examine reports the damage to the closed journal in dir. It changes nothing.
//
// Errors: ErrWhole; ErrLocked; *CorruptError if Recover cannot repair the damage, so that only
// a backup helps.
func Examine(dir string, o Options) (*Recovery, error) {
	o = o.withDefaults()
	l, err := lock(o.FS, dir)
	if err != nil {
		return nil, err
	}
	r, err := newRecoverer(dir, o)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return &r.Recovery, l.Close()
}

// Recover opens the intact part of the damaged journal in dir as a new incarnation, so that no
// sequence is used twice in the old one. It accepts intact events from after the damage again,
// under new sequences. The callbacks' state after the damage is lost, so later deliveries may
// be repeated. At the end Recover accepts the event that record returns; record must not be
// nil. The damaged files stay below dir.
//
// Recover can be interrupted at any time. Open then rejects the journal, and another Recover
// continues.
func Recover(dir string, o Options, record func(*Recovery) (auditrelay.Event, error)) (*Recovery, error) {
	o = o.withDefaults()
	r, err := recoverJournal(dir, o, record)
	if err != nil {
		return r, fmt.Errorf("journal %s: recover: %w", dir, err)
	}
	return r, nil
}

func recoverJournal(dir string, o Options, record func(*Recovery) (auditrelay.Event, error)) (*Recovery, error) {
	l, err := lock(o.FS, dir)
	if err != nil {
		return nil, err
	}
	r, err := newRecoverer(dir, o)
	if err == nil {
		err = r.keep()
	}
	if err == nil {
		err = r.cut()
	}
	if err == nil {
		err = r.reincarnate()
	}
	if err = errors.Join(err, l.Close()); err != nil {
		return nil, err
	}
	return &r.Recovery, r.save(record)
}

// recoverer is one recovery.
type recoverer struct {
	Recovery
	o     Options
	dir   string
	logs  []*scannedLog // from the damage on, at their current paths
	plan  recoveryPlan
	begun bool // an earlier call has saved the damaged files
}

// recoveryPlan has the findings and is stored beside the damaged files, so that an interrupted
// recovery can continue.
type recoveryPlan struct {
	Next     uint64    `json:"next"`
	From     uint64    `json:"from"`
	To       uint64    `json:"to"`
	Since    time.Time `json:"since"`
	Why      string    `json:"why"`
	Identity Identity  `json:"identity"`
	Cuts     []cutLog  `json:"cuts"`
	Kept     string    `json:"kept"` // the directory of the damaged files; "" if an older program started the recovery
}

type cutLog struct {
	Name string `json:"name"`
	Kept int64  `json:"kept"` // bytes from the log's start that stay in the database; 0: the log is removed
}

const (
	planName = "recovery.json"
	maxPlan  = 1 << 20
)

func newRecoverer(dir string, o Options) (*recoverer, error) {
	r := &recoverer{o: o, dir: dir}
	find := r.examine
	if r.begun = interrupted(o.FS, dir) != nil; r.begun {
		find = r.resume
	}
	if err := find(); err != nil {
		return nil, err
	}
	return r, r.eachBehind(func(*auditrelay.Event) error {
		r.Behind++
		return nil
	})
}

// examine finds the damage.
func (r *recoverer) examine() error {
	m, least, err := readMarker(r.o.FS, r.dir)
	if corrupt, ok := errors.AsType[*CorruptError](err); ok && m != nil && corrupt.recoverable {
		r.Damage, least = corrupt, &anchor{next: 1}
	} else if err != nil {
		return err
	}
	found, err := findDamage(r.o.FS, r.dir, least)
	if err != nil {
		return err
	}
	d := found
	if d == nil { // only the anchor shows it, or the anchor itself is damaged
		_, logs, err := liveLogs(r.o.FS, r.dir)
		if err != nil {
			return err
		}
		d = &damage{dir: r.dir, logs: logs, from: len(logs), why: "the end of the log is missing"}
	}
	whole, err := d.whole(r.o)
	if err != nil {
		return &CorruptError{Err: err}
	}
	if found != nil || whole.next < least.next || whole.commits < least.commits {
		r.Damage = d.corrupt(whole, least)
	}
	if r.Damage == nil {
		return ErrWhole
	}
	r.Next, r.Before, r.Identity = whole.next, m.identity, m.identity
	r.plan = recoveryPlan{Next: r.Next, From: r.Damage.From, To: r.Damage.To, Since: r.Damage.Since, Why: r.Damage.Err.Error(), Identity: r.Before, Kept: keptName(r.o)}
	r.logs = d.logs[d.from:]
	for i, l := range r.logs {
		r.plan.Cuts = append(r.plan.Cuts, cutLog{Name: r.o.FS.PathBase(l.path), Kept: d.kept(d.from + i)})
	}
	return nil
}

// resume loads the findings of an interrupted recovery.
func (r *recoverer) resume() error {
	text, err := readSmall(r.o.FS, r.aside(planName), maxPlan)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &r.plan); err != nil {
		return fmt.Errorf("%s: %w", planName, errDamaged)
	}
	p := &r.plan
	if p.Kept == "" {
		p.Kept = keptName(r.o)
	}
	r.Damage = &CorruptError{From: p.From, To: p.To, Since: p.Since, Err: errors.New(p.Why), recoverable: true}
	r.Next, r.Before, r.Identity = p.Next, p.Identity, p.Identity
	return r.scanAside()
}

func keptName(o Options) string { return "damaged-" + o.Now().UTC().Format("20060102T150405Z") }

func (r *recoverer) aside(name string) string {
	return r.o.FS.PathJoin(r.o.FS.PathJoin(r.dir, recoveringName), name)
}

func (r *recoverer) scanAside() error {
	r.logs = nil
	for _, cut := range r.plan.Cuts {
		number, _ := logNumber(cut.Name)
		l, err := scanLog(r.o.FS, r.aside(cut.Name), uint32(number))
		if err != nil {
			return err
		}
		r.logs = append(r.logs, l)
	}
	return nil
}

// keep saves copies of the damaged files.
func (r *recoverer) keep() error {
	fsys := r.o.FS
	if r.begun {
		return nil
	}
	aside := fsys.PathJoin(r.dir, recoveringName)
	building := aside + ".tmp"
	if err := fsys.RemoveAll(building); err != nil {
		return err
	}
	if err := fsys.MkdirAll(building, 0o700); err != nil {
		return err
	}
	for _, l := range r.logs {
		if err := copyFile(fsys, l.path, fsys.PathJoin(building, fsys.PathBase(l.path))); err != nil {
			return err
		}
	}
	for _, name := range []string{markerName, anchorName, keyringName} {
		err := copyFile(fsys, fsys.PathJoin(r.dir, name), fsys.PathJoin(building, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	text, err := json.Marshal(r.plan)
	if err != nil {
		return err
	}
	if err := writeWhole(fsys, building, planName, text); err != nil {
		return err
	}
	if err := fsys.Rename(building, aside); err != nil {
		return err
	}
	if err := syncDir(fsys, r.dir); err != nil {
		return err
	}
	return r.scanAside()
}

// cut removes the data after the damage from the database.
func (r *recoverer) cut() error {
	fsys := r.o.FS
	db := fsys.PathJoin(r.dir, databaseName)
	for _, cut := range r.plan.Cuts {
		if cut.Kept == 0 {
			if err := fsys.Remove(fsys.PathJoin(db, cut.Name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			continue
		}
		b, err := readStart(fsys, r.aside(cut.Name), cut.Kept)
		if err != nil {
			return err
		}
		if err := writeWhole(fsys, db, cut.Name, b); err != nil {
			return err
		}
	}
	return syncDir(fsys, db)
}

// reincarnate gives the intact part a new incarnation and a matching anchor.
func (r *recoverer) reincarnate() (err error) {
	j := newJournal(r.dir, r.o)
	j.lock = noLock{}
	defer func() { err = errors.Join(err, j.release()) }()
	if err := j.openEngine(r.o, true); err != nil {
		return j.damaged(0, 0, err)
	}
	if j.id, err = j.storedIdentity(); err != nil {
		return err
	}
	if j.id.ID != r.Before.ID {
		return &CorruptError{Err: fmt.Errorf("the database belongs to another journal, %s", j.id.ID)}
	}
	if j.id.Incarnation == r.Before.Incarnation {
		j.id.Incarnation = newIdentity().Incarnation
		b := j.store.Batch(0)
		set(b, keyIdentity, j.id.record())
		if err := j.apply(b); err != nil {
			return err
		}
	}
	if err := j.recover(j.id.Identity, &anchor{}); err != nil {
		return err
	}
	r.Identity = j.id.Identity
	return writeMarker(r.o.FS, r.dir, j.id.Identity, j.state.Load().anchor())
}

type noLock struct{}

func (noLock) Close() error { return nil }

// save accepts the intact events from after the damage, and the event that describes the
// recovery.
func (r *recoverer) save(record func(*Recovery) (auditrelay.Event, error)) (err error) {
	j := newJournal(r.dir, r.o)
	j.recovering = true
	if err := j.open(); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, j.Close())
		}
	}()
	tx := &Tx{}
	commit := func() error {
		out, err := j.Commit(tx)
		for _, a := range out {
			if a.Status == Stored {
				r.Saved++
			}
		}
		tx = &Tx{}
		return err
	}
	r.Kept = r.o.FS.PathJoin(r.dir, r.o.FS.PathBase(r.plan.Kept))
	err = r.eachBehind(func(e *auditrelay.Event) error {
		tx.Append(*e)
		if len(tx.events) >= 1000 || tx.bytes >= maxGroupBytes {
			return commit()
		}
		return nil
	})
	if err == nil {
		err = commit()
	}
	if err != nil {
		return err
	}
	e, err := record(&r.Recovery)
	if err != nil {
		return err
	}
	tx.Append(e)
	if _, err := j.Commit(tx); err != nil {
		return err
	}
	if err := j.Close(); err != nil {
		return err
	}
	if err := r.o.FS.Rename(r.o.FS.PathJoin(r.dir, recoveringName), r.Kept); err != nil {
		return err
	}
	return syncDir(r.o.FS, r.dir)
}

// eachBehind calls fn for every intact event after the damage.
func (r *recoverer) eachBehind(fn func(*auditrelay.Event) error) error {
	// The old keyring, since the journal's own forgets periods that started after the damage.
	dir := r.dir
	if interrupted(r.o.FS, r.dir) != nil {
		dir = r.o.FS.PathJoin(r.dir, recoveringName)
	}
	keys := newJournal(dir, r.o)
	if err := keys.openKeyring(r.Before.ID); err != nil {
		return err
	}
	for _, l := range r.logs {
		if err := r.eachIn(keys, l, fn); err != nil {
			return err
		}
	}
	return nil
}

func (r *recoverer) eachIn(keys *Journal, l *scannedLog, fn func(*auditrelay.Event) error) error {
	f, err := r.o.FS.Open(l.path)
	if err != nil {
		return err
	}
	defer f.Close()
	c := &chunks{file: f, size: l.size, number: l.number, numbered: true}
	places := l.after
	record := []byte(nil)
	for pos := int64(0); pos < l.whole; { // the whole log after the damage, or the part that the journal has
		_, end, s := c.record(record[:0], pos)
		if s != seenChunk {
			break
		}
		places, pos = append(places, pos), end
	}
	slices.Sort(places)
	for _, pos := range places {
		b, _, s := c.record(record[:0], pos)
		if record = b; s != seenChunk {
			continue
		}
		var failed error
		_, _ = visitBatch(b, func(key, value []byte) {
			if failed != nil || len(key) != 9 || key[0] != spaceEvent || keySequence(key) < r.Next {
				return
			}
			e, err := keys.savedEvent(keySequence(key), slices.Clone(value))
			if errors.Is(err, ErrErased) || errors.Is(err, errDamaged) {
				return
			}
			if err == nil {
				err = fn(e)
			}
			failed = err
		})
		if failed != nil {
			return failed
		}
	}
	return nil
}

func (j *Journal) savedEvent(sequence uint64, record []byte) (*auditrelay.Event, error) {
	received, body, err := j.body(sequence, record, nil)
	if err != nil {
		return nil, err
	}
	head, data, err := splitBody(body)
	if err != nil {
		return nil, err
	}
	e, err := decodeEvent(sequence, received, string(head), head, data)
	return &e, err
}

// storedIdentity reads the identity in the database.
func (j *Journal) storedIdentity() (identity, error) {
	record, closer, err := j.store.Get(keyIdentity)
	if errors.Is(err, ErrAbsent) {
		return identity{}, &CorruptError{Err: errors.New("the database is empty")}
	}
	if err != nil {
		return identity{}, j.damaged(0, 0, err)
	}
	defer closer.Close()
	i, err := decodeIdentity(record)
	if err != nil {
		return i, &CorruptError{Err: fmt.Errorf("identity: %w", err)}
	}
	return i, nil
}
