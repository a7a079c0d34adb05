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

// Options configure a journal. The zero value is ready.
type Options struct {
	// FS is the file system; nil means the operating system's.
	FS vfs.FS
	// Window is the number of identities that are remembered to detect a repeated event.
	// Default: 1<<20, about 16 MiB of memory when full. An event that is repeated after that
	// many others is stored again.
	Window int
	// Quota is the maximum size of the journal on disk, in bytes; 0: no quota.
	Quota int64
	// Reserve is the number of bytes that must stay free on the journal's disk. New events are
	// rejected before they use it. 0 means 256 MiB or 5 % of the disk, whichever is less.
	// Negative means none. The storage engine does not survive a full disk and needs space for
	// compactions.
	Reserve int64
	// Logger receives the storage engine's warnings and errors; nil discards them.
	Logger *slog.Logger
	// Now is the clock. Default: time.Now.
	Now func() time.Time
	// Encryption encrypts the stored data of events. The zero value is off.
	Encryption Encryption
	// AnchorEvery is the interval between writes of the anchor while events arrive. The anchor
	// detects damage that removes acknowledged events, except those of the last interval.
	// Default: 250 ms. Negative: only at Open and Close, for tests without a clock.
	AnchorEvery time.Duration
	// Blob is the minimum size of a transaction's rendered payloads, in bytes, for storing them
	// in a blob file; 0 means 16 KiB, negative means never. If the bodies are smaller, the
	// statements of the payloads are stored there from 16 times that size on.
	Blob int
	// UnsafeNoSync acknowledges without waiting for the disk. It is only for tests that show
	// that they detect the loss.
	UnsafeNoSync bool

	idRun int // number of sequences in a run of the id index, for tests
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
	db      *pebble.DB // the database of store; nil if the store is shared
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

	state atomic.Pointer[state] // the durable state

	// The logs of accepted events: see accepted.go.
	logs      []acceptedLog        // oldest first; the last is this incarnation's
	accepted  atomic.Pointer[edge] // the durable edge of the last log
	plainSalt cipher.Block

	// keyMu is held by writers of the keyring.
	keyMu   sync.Mutex
	keyring atomic.Pointer[keyring] // the durable keyring; nil if nothing was ever encrypted
	wrap    cipher.AEAD             // wraps its keys; nil without a master key
	rewrap  bool                    // the master key was changed

	recovering bool // set while Recover has the journal open
	nonces     nonces

	watchMu sync.Mutex
	watch   chan struct{} // nil until the first call of Watch

	// users counts the calls that read db. closeMu orders their start relative to closed. No
	// lock is held while they run, since they may nest.
	closeMu sync.Mutex
	closed  atomic.Bool
	users   sync.WaitGroup
}

// Open opens the journal in dir, or creates it. It checks the journal's integrity without
// reading all of it: it reads the storage engine's log, which has the newest events, to its
// end, and compares it with the anchor. It migrates a journal of format 1.
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
	// Compactions leave the last quarter of the reserve to the log and to flushes.
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

// recover reads the state in the database and compares it with marker and anchor.
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

// Close closes the journal. It waits for running calls. Later calls fail with ErrClosed.
func (j *Journal) Close() error {
	j.closeMu.Lock()
	closed := j.closed.Swap(true)
	j.closeMu.Unlock()
	if closed {
		return ErrClosed
	}
	_, _ = j.Commit(&Tx{bulk: bulkBytes + 1}) // waits for all running commits; later ones see closed
	j.users.Wait()
	j.blobs.close()
	close(j.ids.stop)
	j.ids.done.Wait()
	if err := errors.Join(j.stopAnchor(j.fault.get() == nil), j.release()); err != nil {
		return fmt.Errorf("journal %s: close: %w", j.dir, err)
	}
	return nil
}

// release closes everything that Open opened.
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

// Head returns the durable progress of the journal.
func (j *Journal) Head() Head {
	s := j.state.Load()
	return Head{Next: s.next, Bytes: s.bytes, Events: s.next - 1, Emitted: s.emitted}
}

// Oldest returns the first stored sequence, or Head().Next if none is stored.
func (j *Journal) Oldest() uint64 { return j.state.Load().oldest }

// Scanned returns the number of values that Scan, ScanAll, Outcomes and TreeSize have read
// since Open. Tests use it to check that work is bounded.
func (j *Journal) Scanned() uint64 { return j.scanned.Load() }

// Watch returns a channel that is closed when events are appended. To miss no append, first
// call Watch and then Head.
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

// reading prevents Close from closing the database until done is called.
func (j *Journal) reading() (done func(), err error) {
	j.closeMu.Lock()
	defer j.closeMu.Unlock()
	if j.closed.Load() {
		return nil, ErrClosed
	}
	j.users.Add(1)
	return j.users.Done, nil
}
