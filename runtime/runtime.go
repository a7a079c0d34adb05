// Package runtime is the engine. It accepts audit events into a durable journal and processes each event to
// an outcome on every callback, asynchronously.
//
//	r, err := runtime.Open(ctx, runtime.Options{Dir: "data", Callbacks: callbacks})
//	results, err := r.Submit(ctx, runtime.Submission{Data: event})
//
// When Submit returns without an error for an event, the event is durable. On each callback it will be
// delivered, filtered, dead-lettered, discarded or skipped, also after a crash of the process. Two runtimes
// in one process share nothing.
//
// The name shadows the standard library's runtime. Import that package under another name if you need both.
package runtime

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"auditrelay"
	"auditrelay/internal/ingest"
	"auditrelay/internal/receipts"
	"auditrelay/runtime/internal/delivery"
	"auditrelay/runtime/internal/journal"
	"auditrelay/runtime/internal/shares"
)

// Runtime accepts events and delivers them. It is safe for concurrent use. Close it with
// Close or Drain.
type Runtime struct {
	journal      *journal.Journal
	onPostgres   bool // whether the journal is on Postgres
	modules      *Modules
	texts        *Texts
	log          *slog.Logger
	taps         taps
	verifying    sync.Mutex                                          // held while a report is stored
	rollout      atomic.Pointer[rollout]                             // nil if none is in progress
	canary       atomic.Pointer[Canary]                              // nil if there is none to watch for
	replaySchema atomic.Pointer[func(auditrelay.Provenance) *Schema] // nil for LiteLLM's schema
	limits       ingest.Limits
	namespaces   namespaces
	workers      int
	retention    Retention
	tombstoneKey []byte
	ingest       atomic.Pointer[ingestFilters] // nil if there are none
	control      string                        // the callback that must get own records; empty if there is none
	controlOnly  bool                          // whether no other callback gets own records
	receiptKey   []byte
	receipts     *receipts.Codec
	quarantine   quarantineRoom
	signing      *signing // nil if nothing is signed
	door         door
	share        shares.Last // use of the journal's quota by sender
	turns        turns
	sharing      sharing
	memory       *memory
	sums         eventSums
	memorySet    bool // by Options.Memory; otherwise it depends on the callbacks
	dead         deadReplays
	approvals    approvals
	shadows      shadows

	ctx    context.Context // ends when the runtime closes
	cancel context.CancelFunc
	wg     sync.WaitGroup

	accepting sync.RWMutex // held for reading during a Submit
	draining  atomic.Bool
	hurry     atomic.Bool // set by drain: chunks close at once
	counters  counters

	mu        sync.Mutex // guards the fields below; never held across I/O of sinks or filters
	callbacks []*callback
	pumps     map[string]*pump // by lane name
	users     users
	histories map[string]*attempts // by lane id
	closed    bool
	changed   chan struct{} // closed when a pump publishes; nil while nobody waits for it
	applying  sync.Mutex    // held during Open, Apply, Replay or Close
}

// counters are totals since start.
type counters struct {
	accepted, duplicates, conflicts, rejected, unknownActions atomic.Uint64
	ingestFiltered, ingestFailed                              atomic.Uint64
	blockedBy                                                 atomic.Pointer[string] // the callback because of which new events are rejected
}

// Open starts a runtime. It locks the data directory, recovers the journal and starts all callbacks. ctx
// limits only Open; the runtime continues after ctx ends.
//
// The runtime owns the sinks and filters of o and closes them, also if Open fails.
//
// Errors: *RemovalError; *NewCallbackError; ErrNoKey or ErrWrongKey for an encrypted journal; an error that
// locates the damage of a journal (see Examine and Recover); the error of Options.Opened; all errors in the
// callbacks, joined.
func Open(ctx context.Context, o Options) (*Runtime, error) {
	r := &Runtime{log: o.Logger, workers: o.Workers, retention: o.Journal.Retention, control: o.Control.Callback, controlOnly: o.Control.Only,
		limits: ingest.Limits{EventBytes: int64(o.Limits.EventBytes), Depth: o.Limits.Depth, IDBytes: o.Limits.IDBytes, Events: o.Limits.Events},
		pumps:  map[string]*pump{}, users: users{}, histories: map[string]*attempts{}}
	if r.log == nil {
		r.log = slog.Default()
	}
	r.door.log, r.door.now = r.log, time.Now
	r.memorySet = o.Memory > 0
	r.memory = newMemory(cmp.Or(max(int64(o.Memory), 0), defaultMemory))
	if r.workers <= 0 {
		r.workers = goruntime.GOMAXPROCS(0)
	}
	if r.limits.Events <= 0 {
		r.limits.Events = 10_000
	}
	r.limits.Events = min(r.limits.Events, auditrelay.MaxAtomic)
	if r.retention.Age == 0 {
		r.retention.Age = 7 * 24 * time.Hour
	}
	jo := journal.Options{Window: o.Journal.Window, Quota: int64(o.Journal.Quota), Reserve: int64(o.Journal.Reserve),
		Logger: r.log, UnsafeNoSync: o.Journal.UnsafeNoSync, Encryption: o.Journal.Encryption.options()}
	r.onPostgres = o.Journal.Postgres.on()
	owned := append(slices.Clone(o.Callbacks), Callback{Steps: o.Ingest})
	var err error
	if r.journal, err = openJournal(ctx, o, jo); err != nil {
		return nil, errors.Join(err, r.closeUnused(owned))
	}
	r.ctx, r.cancel = context.WithCancel(context.WithoutCancel(ctx))
	r.modules = &Modules{journal: r.journal}
	if r.texts, err = openTexts(r.journal); err == nil {
		err = r.modules.sweep()
	}
	if err == nil && o.Opened != nil {
		err = o.Opened(ctx, r.modules, r.texts)
	}
	if err != nil {
		return nil, errors.Join(err, r.closeUnused(owned), r.Close())
	}
	if r.tombstoneKey, err = ownKey(r.journal, "tombstone-key"); err == nil {
		r.receiptKey, err = ownKey(r.journal, "receipt-key")
	}
	if err == nil {
		r.receipts, err = receipts.NewCodec()
	}
	if err == nil {
		err = r.namespaces.load(r.journal)
	}
	if err == nil {
		r.signing, err = r.openSigning(o.Proofs)
	}
	if err == nil {
		err = r.quarantine.open(r.journal, o.Quarantine)
	}
	if err == nil {
		r.journal.DigestWith(r.receivedDigest)
		r.SetIngest(o.Ingest)
		err = r.begun(ctx, o)
	} else {
		err = errors.Join(err, r.closeUnused(owned))
	}
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	if err = errors.Join(r.openJobs(), r.openApprovals(o.Approvals)); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	r.wg.Go(r.maintain)
	return r, nil
}

// Limits returns the limits of Submit.
func (r *Runtime) Limits() Limits {
	return Limits{EventBytes: auditrelay.ByteSize(r.limits.EventBytes), Depth: r.limits.Depth, IDBytes: r.limits.IDBytes}
}

// begun records the acts that happened while the journal was closed, and starts the callbacks.
func (r *Runtime) begun(ctx context.Context, o Options) error {
	if err := errors.Join(r.resolve(), r.recordKept(o.Dir)); err != nil {
		return errors.Join(err, r.closeUnused(o.Callbacks))
	}
	r.applying.Lock()
	defer r.applying.Unlock()
	if err := r.known(o.Known); err != nil {
		return errors.Join(err, r.closeUnused(o.Callbacks))
	}
	if err := r.openRollout(ctx, o.OpenRollout); err != nil {
		return errors.Join(err, r.closeUnused(o.Callbacks))
	}
	err := r.apply(o.Callbacks, o.Removed, o.Changes)
	if errors.Is(err, journal.ErrFull) && len(o.Changes) > 0 {
		// Only a running relay can free disk space, so the start continues.
		r.log.Error("the start is not on record: there is no room for it", "error", err)
		err = r.apply(o.Callbacks, o.Removed, nil)
	} else if err == nil && o.Recorded != nil {
		o.Recorded()
	}
	if err != nil {
		return errors.Join(err, r.closeUnused(o.Callbacks))
	}
	r.resumeRollout()
	r.blocking()
	return nil
}

// judging returns the options that the judges of all callbacks share.
func (r *Runtime) judging() judging {
	return judging{workers: r.workers, receiptKey: r.receiptKey, sums: &r.sums, record: r.Limits().record(), log: r.log, journal: r.journal.Identity().String()}
}

// Modules returns the store of uploaded modules. It is valid until Close.
func (r *Runtime) Modules() *Modules { return r.modules }

// Texts returns the store of the texts that receipts name by digest. It is valid until Close.
func (r *Runtime) Texts() *Texts { return r.texts }

func journalDir(dataDir string) string { return filepath.Join(dataDir, "journal") }

// ownKey reads a random key from the journal, or creates it on first use.
func ownKey(j *journal.Journal, name string) ([]byte, error) {
	key, ok, err := j.Get(journal.MetaKey(name))
	if err != nil || ok {
		return key, err
	}
	key = make([]byte, 32)
	rand.Read(key) // never fails
	tx := new(journal.Tx)
	tx.Set(journal.MetaKey(name), key)
	_, err = j.Commit(tx)
	return key, err
}

// Close stops at once. It cancels running deliveries; the next start retries them. It returns after all
// goroutines of the runtime have ended. Further calls do nothing.
func (r *Runtime) Close() error {
	r.draining.Store(true)
	r.applying.Lock()
	defer r.applying.Unlock()
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil
	}
	r.closed = true
	callbacks := r.callbacks
	r.mu.Unlock()
	r.cancel()
	r.wg.Wait()
	r.signAccepted(true)
	r.publish() // wakes waiters, which then see that the runtime is closed
	// No Submit may use the journal when it closes.
	r.accepting.Lock()
	defer r.accepting.Unlock()
	var errs []error
	for _, c := range callbacks {
		c.close(r)
		errs = append(errs, r.release(c.Callback))
	}
	if o := r.rollout.Load(); o != nil {
		errs = append(errs, o.filter.Close())
	}
	errs = append(errs, r.closeIngest(r.ingest.Swap(nil)))
	return errors.Join(append(errs, r.journal.Close())...)
}

// Drain finishes the work and closes the runtime. It waits until all events accepted before the call have
// an outcome on every working callback (see Settled), or until ctx ends. Until then senders can still
// submit, so a destination that is down does not lock senders out. Drain then stops accepting events,
// delivers the events that arrived meanwhile for at most 2 s, and closes. Undelivered events stay in the
// journal. If events are still pending, it returns ctx's error.
func (r *Runtime) Drain(ctx context.Context) error {
	r.hurry.Store(true)
	r.eachPump(func(p *pump) { p.poke() })
	waitErr := r.Settled(ctx)
	r.draining.Store(true)
	if waitErr == nil {
		last, cancel := context.WithTimeout(ctx, lastDeliveries)
		waitErr = r.Settled(last)
		cancel()
	}
	return errors.Join(waitErr, r.Close())
}

// lastDeliveries is how long Drain, after it stopped accepting, waits for events that arrived during its
// first wait.
const lastDeliveries = 2 * time.Second

// Settled waits until nothing is pending on any working callback: no event accepted before the call, no
// record emitted from one, no dead letter under replay. It does not wait for paused or detached callbacks.
// It returns an error that wraps ctx's if ctx ends first, or ErrClosed.
func (r *Runtime) Settled(ctx context.Context) error {
	r.mu.Lock()
	rounds := 1 // one more round for each step of an emission chain; chains have no cycles
	for _, c := range r.callbacks {
		if c.emits() {
			rounds++
		}
	}
	r.mu.Unlock()
	for range rounds {
		if err := r.settled(ctx, r.journal.Head().Next); err != nil {
			return err
		}
	}
	return nil
}

// settled waits for the events before head.
func (r *Runtime) settled(ctx context.Context, head uint64) error {
	for {
		r.mu.Lock()
		if r.changed == nil {
			r.changed = make(chan struct{})
		}
		changed, closed := r.changed, r.closed
		waiting := ""
		for name, p := range r.pumps {
			if s := p.seen.Load(); !settled(s, head, r.hurry.Load()) {
				waiting = name
				break
			}
		}
		r.mu.Unlock()
		if waiting == "" {
			return nil
		}
		if closed {
			return ErrClosed
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("events are still pending on callback %s: %w", waiting, ctx.Err())
		}
	}
}

func settled(s *delivery.Snapshot, head uint64, hurried bool) bool {
	if s.State.Paused != "" && s.State.Detached == "" || s.State.Removed || s.Done {
		return true
	}
	if s.Unproved && hurried {
		return false // a checkpoint is not signed yet
	}
	end := head
	if s.State.Replay != nil {
		end = min(end, s.State.Replay.To)
	}
	if s.State.Detached != "" {
		return s.State.Cursor >= end && s.InFlight == 0
	}
	return s.State.Cursor >= end && s.InFlight == 0 && s.Queued == 0
}

func (r *Runtime) eachPump(fn func(*pump)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.pumps {
		fn(p)
	}
}

// publish wakes the goroutines that wait for a pump's progress.
func (r *Runtime) publish() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
}

// forget drops the pump of a finished replay.
func (r *Runtime) forget(p *pump) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pumps[p.name] == p {
		delete(r.pumps, p.name)
		delete(r.histories, p.laneID)
	}
}
