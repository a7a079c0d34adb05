package journal

import (
	"crypto/cipher"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Options configures a journal. The zero value is ready.
type Options struct {
	// FS is the file system; nil is the operating system's.
	FS vfs.FS
	// Window is how many identities are remembered to recognise an event that
	// comes again, 1<<20 by default: some 16 MiB of memory when full. An event
	// that comes again after that many others is stored again.
	Window int
	// Quota is how many bytes the journal may take on disk; 0 is no quota.
	Quota int64
	// Reserve is how many bytes are to stay free on the journal's disk; events
	// are refused before it is touched. 0 is 256 MiB or 5 % of the disk,
	// whichever is less: the storage engine does not survive a full disk, and
	// needs room to compact. Negative is none.
	Reserve int64
	// Logger takes the storage engine's warnings and errors; nil discards them.
	Logger *slog.Logger
	// Now is the clock, time.Now by default.
	Now func() time.Time
	// Encryption of what is stored of events; the zero value is none.
	Encryption Encryption
	// AnchorEvery is how often the anchor is written while events come: damage that
	// takes acknowledged events is noticed by it, but for the last interval. 250 ms by
	// default. Negative is only at Open and Close, for tests that have no clock.
	AnchorEvery time.Duration
	// Blob is from how many bytes on the rendered payloads of a transaction stand in a file
	// beside the storage engine; 0 is 16 KiB, negative is never. Where bodies
	// are smaller, what is to be stated of the payloads does from 16 times as many on.
	Blob int
	// UnsafeNoSync acknowledges without waiting for the disk. It exists so that
	// tests can show that they would notice.
	UnsafeNoSync bool

	idRun int // sequences of one run of the id index, for tests
}

const defaultWindow = 1 << 20

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = privateFS{vfs.Default}
	}
	if o.Window <= 0 {
		o.Window = defaultWindow
	}
	if o.AnchorEvery == 0 {
		o.AnchorEvery = defaultAnchorEvery
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Journal is an open journal. All methods are safe for concurrent use.
type Journal struct {
	options Options
	dir     string
	store   Store
	db      *pebble.DB // behind store; nil where that is shared
	shared  Shared
	lock    io.Closer
	id      identity
	fault   *fault
	space   *space
	anchor  *anchoring
	queue   queue
	recent  recent
	behind  behind
	blobs   *blobs
	ids     *idIndex
	scanned atomic.Uint64 // see Scanned

	// windowMu is held by the leader while it adds to a group, and by Lookup.
	windowMu sync.Mutex
	digest   func(data []byte) [16]byte // see DigestWith
	window   *window

	state atomic.Pointer[state] // durable

	// The logs of what was accepted: see accepted.go.
	logs      []acceptedLog        // oldest first; the last is this incarnation's
	accepted  atomic.Pointer[edge] // of the last; durable
	plainSalt cipher.Block

	// keyMu is held by who writes the keyring.
	keyMu   sync.Mutex
	keyring atomic.Pointer[keyring] // durable; nil: nothing was ever encrypted
	wrap    cipher.AEAD             // wraps its keys; nil without a master key
	rewrap  bool                    // the master key was changed

	recovering bool // opened by Recover, before it has ended
	nonces     nonces

	watchMu sync.Mutex
	watch   chan struct{} // nil until somebody asks

	// users are the calls that read db. closeMu orders their coming against
	// closed; no lock is held while they run, since they may nest.
	closeMu sync.Mutex
	closed  atomic.Bool
	users   sync.WaitGroup
}

// Open opens the journal in dir, or creates it. It checks that the journal is
// whole as far as that can be told without reading all of it: the storage engine's
// log, which holds what was accepted last, is read to its end, and compared with the
// anchor. A journal of format 1 is migrated.
//
// Errors: ErrLocked, ErrCorrupt, ErrFormat, ErrNoKey, ErrWrongKey, or the file system's.
func Open(dir string, o Options) (*Journal, error) {
	o = o.withDefaults()
	j := newJournal(dir, o)
	if err := j.open(); err != nil {
		return nil, fmt.Errorf("journal %s: open: %w", dir, err)
	}
	return j, nil
}

func newJournal(dir string, o Options) *Journal {
	return &Journal{options: o, dir: dir, fault: &fault{}, anchor: newAnchoring(), blobs: newBlobs(o, dir), ids: newIDIndex(o)}
}

func (j *Journal) open() (err error) {
	fs := j.options.FS
	if err := fs.MkdirAll(j.dir, 0o700); err != nil {
		return err
	}
	if j.lock, err = lock(fs, j.dir); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, j.stopAnchor(false), j.release())
		}
	}()
	mark, least, err := j.readOrCreateMarker()
	if err != nil {
		return err
	}
	if !j.recovering {
		if err := interrupted(fs, j.dir); err != nil {
			return err
		}
	}
	if err := j.openKeyring(mark.identity.ID); err != nil {
		return err
	}
	if err := j.checkLogs(least); err != nil {
		return err
	}
	j.space = newSpace(fs, j.dir, j.options)
	gate := newGate(fs)
	engine := j.options
	// Compactions leave the last quarter of the reserve to log and flushes.
	j.space.guard = &guard{FS: gate, dir: j.dir, floor: j.space.reserve / 4}
	logs := &logFS{FS: j.space.guard, fault: j.fault}
	engine.FS, engine.Reserve = logs, j.space.reserve
	if err := j.openEngine(engine, least.commits > 0); err != nil {
		return j.damaged(1, least.next, err)
	}
	logs.open.Store(true)
	if err := j.recover(mark.identity, least); err != nil {
		return err
	}
	if err := j.settleKeyring(); err != nil {
		return err
	}
	if err := j.openAccepted(); err != nil {
		return err
	}
	if mark.before != nil {
		if err := writeMarker(fs, j.dir, j.id.Identity, least); err != nil {
			return fmt.Errorf("migrate from format 1: %w", err)
		}
	}
	if err := j.startAnchor(least); err != nil {
		return err
	}
	if err := gate.open(); err != nil {
		return err
	}
	if err := j.openBlobs(); err != nil {
		return err
	}
	return j.openIDs()
}

// recover reads what the database holds and compares it with marker and anchor.
func (j *Journal) recover(expected Identity, least *anchor) error {
	id, err := j.loadIdentity(expected, least)
	if err != nil {
		return err
	}
	j.id = id
	s := &state{next: 1, oldest: 1}
	switch record, closer, err := j.store.Get(keyHead); {
	case errors.Is(err, ErrAbsent):
	case err != nil:
		return j.damaged(0, 0, err)
	default:
		s, err = decodeState(record)
		closer.Close()
		if err != nil {
			return &CorruptError{Err: fmt.Errorf("head: %w", err)}
		}
	}
	if s.next < least.next {
		return &CorruptError{From: s.next, To: least.next, Since: fromUnixNano(s.received), recoverable: true,
			Err: fmt.Errorf("they were stored, and are missing")}
	}
	if s.commits < least.commits {
		return &CorruptError{Since: fromUnixNano(s.received), recoverable: true,
			Err: fmt.Errorf("the last %d of %d commits are missing", least.commits-s.commits, least.commits)}
	}
	j.state.Store(s)
	return j.loadWindow(s)
}

// Close closes the journal. It waits for calls under way; later ones fail with
// ErrClosed.
func (j *Journal) Close() error {
	j.closeMu.Lock()
	closed := j.closed.Swap(true)
	j.closeMu.Unlock()
	if closed {
		return ErrClosed
	}
	_, _ = j.Commit(&Tx{bulk: bulkBytes + 1}) // behind all that are under way; later ones see closed
	j.users.Wait()
	j.blobs.close()
	close(j.ids.stop)
	j.ids.done.Wait()
	if err := errors.Join(j.stopAnchor(j.fault.get() == nil), j.release()); err != nil {
		return fmt.Errorf("journal %s: close: %w", j.dir, err)
	}
	return nil
}

// release closes what open opened.
func (j *Journal) release() (err error) {
	if j.store != nil {
		func() {
			defer func() {
				if p := recover(); p != nil {
					err = fmt.Errorf("storage engine stopped: %v", p)
				}
			}()
			err = j.store.Close()
		}()
	}
	return errors.Join(err, j.lock.Close())
}

// Head returns how far the journal has come. All of it is durable.
func (j *Journal) Head() Head {
	s := j.state.Load()
	return Head{Next: s.next, Bytes: s.bytes, Events: s.next - 1, Emitted: s.emitted}
}

// Oldest returns the first sequence that is still held; it equals Head().Next
// where none is.
func (j *Journal) Oldest() uint64 { return j.state.Load().oldest }

// Scanned is how many values Scan, ScanAll, Outcomes and TreeSize have read since Open: tests of
// bounded work count by it.
func (j *Journal) Scanned() uint64 { return j.scanned.Load() }

// Watch returns a channel that is closed when events are appended. Take the
// channel first and look at Head then, so that no append is missed.
func (j *Journal) Watch() <-chan struct{} {
	j.watchMu.Lock()
	defer j.watchMu.Unlock()
	if j.watch == nil {
		j.watch = make(chan struct{})
	}
	return j.watch
}

func (j *Journal) publish(s *state, appended bool) {
	copied := *s
	j.state.Store(&copied)
	if !appended {
		return
	}
	j.pokeIDs()
	j.watchMu.Lock()
	if j.watch != nil {
		close(j.watch)
		j.watch = nil
	}
	j.watchMu.Unlock()
}

// reading guards one use of the database against Close.
func (j *Journal) reading() (done func(), err error) {
	j.closeMu.Lock()
	defer j.closeMu.Unlock()
	if j.closed.Load() {
		return nil, ErrClosed
	}
	j.users.Add(1)
	return j.users.Done, nil
}
