package delivery_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"auditrelay"
	"auditrelay/filter"
	"auditrelay/internal/receipts"
	"auditrelay/runtime/internal/delivery"
	"auditrelay/runtime/internal/journal"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// world is one history: the durable state outside the machine, and the truth to compare with.
type world struct {
	random *rand.Rand
	logf   func(string, ...any)
	noSync bool

	fs      *vfs.MemFS
	server  func() (journal.Shared, error) // replaces fs; nil: the journal is embedded
	store   journal.Shared                 // of an open journal on a server
	journal *journal.Journal
	codec   *receipts.Codec
	now     time.Time
	lanes   []*simLane
	acked   map[string]uint64 // id -> sequence of acknowledged events
	faults  bool              // false after all faults have stopped
	replays int
	nextID  int

	erasures   int
	encryption journal.Encryption
	blob       int // see journal.Options: every second history stores its payloads in files
	erased     map[uint64]auditrelay.Event
	rolledBack bool // the new version of the filter judges no more events
}

// simLane is a lane with its destination.
type simLane struct {
	name    string // the callback's current name
	origin  string // its first name: its filter's decisions depend on it
	begin   delivery.State
	start   uint64
	opts    delivery.Options
	sink    *simSink
	machine *delivery.Lane
	state   *delivery.State
	// requested work that has not been reported back: a crash may come between.
	works []func(w *world) error
	place delivery.Place
	// Acts of operators that may have determined outcomes of its events.
	detached, discarded, removed bool
	gone                         map[uint64]delivery.Ending // outcomes of events erased since
}

// playHistory plays the history of a seed, and returns the final world.
func playHistory(seed uint64, logf func(string, ...any), noSync bool) (*world, error) {
	w := newWorld(seed, logf, noSync)
	return w, w.play()
}

func newWorld(seed uint64, logf func(string, ...any), noSync bool) *world {
	w := &world{random: rand.New(rand.NewPCG(seed, 7)), logf: logf, noSync: noSync, fs: vfs.NewCrashableMem(), blob: int(seed % 2),
		now: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), acked: map[string]uint64{}, faults: true, erased: map[uint64]auditrelay.Event{}}
	if seed%3 == 0 {
		w.encryption = journal.Encryption{Key: bytes.Repeat([]byte{1}, 32), Period: time.Minute}
	}
	return w
}

func (w *world) play() (err error) {
	if w.codec, err = receipts.NewCodec(); err != nil {
		return err
	}
	defer func() {
		if w.journal != nil {
			w.journal.Close()
		}
	}()
	for i := range 1 + w.random.IntN(3) {
		w.lanes = append(w.lanes, w.newLane(fmt.Sprint("lane", i)))
	}
	alerts := w.newLane(alertsName)
	alerts.begin.Receives = auditrelay.ReceivesEmitted
	w.lanes = append(w.lanes, alerts)
	if err := w.open(); err != nil {
		return fmt.Errorf("first open: %w", err)
	}
	for range 30 + w.random.IntN(50) {
		if err := w.step(); err != nil {
			return err
		}
	}
	if len(w.encryption.Key) > 0 {
		if err := w.eraseAndGoOn(); err != nil {
			return err
		}
	}
	w.faults = false
	if err := w.quiesce(); err != nil {
		return err
	}
	return w.check()
}

// alertsName is the lane that receives the records emitted by the first one.
const alertsName = "alerts"

func (w *world) newLane(name string) *simLane {
	l := &simLane{name: name, origin: name, start: 1, gone: map[uint64]delivery.Ending{}}
	l.sink = &simSink{w: w, objects: map[string]auditrelay.Payload{}, seen: map[string]string{}, bad: func(uint64) bool { return false }}
	if w.random.IntN(3) == 0 {
		bad := uint64(3 + w.random.IntN(9))
		l.sink.picky, l.sink.partial = true, w.random.IntN(3) == 0
		l.sink.bad = func(seq uint64) bool { return seq%bad == 0 }
	}
	l.sink.plain = w.random.IntN(2) == 0
	var sink auditrelay.Sink = l.sink
	if w.random.IntN(3) > 0 {
		sink = splittingSink{l.sink}
	}
	l.opts = delivery.Options{Sink: sink, Concurrency: 1 + w.random.IntN(3), InFlight: 1 + w.random.IntN(3),
		Chunk: auditrelay.Chunking{Events: 1 + w.random.IntN(8), Age: time.Duration(1+w.random.IntN(2000)) * time.Millisecond}}
	if w.random.IntN(3) > 0 {
		l.opts.Attest = time.Minute
	}
	if w.random.IntN(4) == 0 {
		l.opts.Retain.Then = auditrelay.RetainDeadLetter
		if l.opts.Retain.Age = time.Minute; w.random.IntN(2) == 0 {
			l.opts.Retain.Age, l.opts.Retain.Bytes = 0, 100
		}
	}
	return l
}

// open opens the journal and all lanes from the durable state.
func (w *world) open() error {
	o := journal.Options{FS: w.fs, Window: 4096, AnchorEvery: -1, Now: func() time.Time { return w.now }, UnsafeNoSync: w.noSync, Encryption: w.encryption, Blob: w.blob}
	var err error
	if w.server == nil {
		w.journal, err = journal.Open("journal", o)
	} else if w.store, err = w.server(); err == nil {
		w.journal, err = journal.OpenShared(w.store, "", o)
	}
	if err != nil {
		w.journal = nil
		return err
	}
	for _, l := range w.lanes {
		if err := w.openLane(l); err != nil {
			return err
		}
	}
	return nil
}

// openLane opens a lane from the durable state, or creates it. Work in progress is forgotten.
func (w *world) openLane(l *simLane) (err error) {
	l.works = nil
	l.begin.Callback = l.name
	if l.state, err = delivery.LoadState(w.journal, l.begin.LaneName()); err != nil {
		return err
	}
	if l.state == nil {
		tx := new(journal.Tx)
		if l.state, err = delivery.Create(w.journal, tx, l.begin, l.start, w.now); err != nil {
			return err
		}
		if _, err := w.journal.Commit(tx); err != nil {
			return err
		}
	}
	if l.machine, err = delivery.Open(w.journal, l.state, l.opts, w.random); err != nil {
		return err
	}
	l.place = delivery.Place{Callback: l.name, Journal: w.journal.Identity().String(), Sink: l.opts.Sink, TombstoneKey: []byte("key"), Receipts: w.codec,
		Proofs: w.journal, Lane: l.state.ID}
	if l.begin.Replay != nil {
		l.place.Replay = l.begin.Replay.ID
	}
	return nil
}

// crash drops the process and all or part of the unsynced data.
func (w *world) crash() error {
	w.logf("crash")
	keep := w.random.IntN(101)
	clone := w.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: keep, RNG: w.random})
	if w.store != nil {
		w.store.Close() // interrupts work in progress
	}
	w.journal.Close()
	w.journal = nil
	w.fs = clone
	if err := w.open(); err != nil {
		return fmt.Errorf("open after a crash: %w", err)
	}
	for id, sequence := range w.acked {
		e, err := w.journal.Event(sequence)
		if _, erased := w.erased[sequence]; erased && errors.Is(err, journal.ErrErased) {
			continue
		}
		if err != nil || e.ID != id {
			return fmt.Errorf("event %s was acknowledged at sequence %d and is lost after a crash: %w", id, sequence, err)
		}
	}
	return w.balanced()
}

// balanced checks the accounts of lanes, or of all lanes: of one after each of its commits, of
// all after every crash and after events arrived.
func (w *world) balanced(lanes ...*simLane) error {
	if len(lanes) == 0 {
		lanes = w.lanes
	}
	for _, l := range lanes {
		a, err := l.machine.Snapshot().Account(w.journal)
		if err == nil {
			err = a.Check()
		}
		if err != nil {
			return fmt.Errorf("account of %s: %w", l.name, err)
		}
	}
	return nil
}

func (w *world) step() error {
	switch w.random.IntN(12) {
	case 0, 1, 2:
		return w.submit()
	case 3:
		w.now = w.now.Add(time.Duration(w.random.Int64N(int64(3 * time.Minute))))
	case 4:
		if w.random.IntN(4) == 0 { // a clock that jumps back
			w.now = w.now.Add(-time.Duration(w.random.Int64N(int64(time.Hour))))
		}
	case 5:
		if w.random.IntN(2) == 0 {
			return w.crash()
		}
	case 6:
		return w.operate()
	default:
		l := w.lanes[w.random.IntN(len(w.lanes))]
		return w.advance(l)
	}
	return nil
}

func (w *world) submit() error {
	tx := new(journal.Tx)
	var ids []string
	first := w.nextID
	for range 1 + w.random.IntN(6) {
		id := fmt.Sprintf("e%d", w.nextID)
		if w.random.IntN(10) == 0 && first > 0 {
			id = fmt.Sprintf("e%d", w.random.IntN(first))
		} else {
			w.nextID++
		}
		ids = append(ids, id)
		tx.Append(auditrelay.Event{Namespace: "sim", ID: id, Action: "created", Time: w.now, Data: fmt.Appendf(nil, `{"id":%q}`, id)})
	}
	appended, err := w.journal.Commit(tx)
	if err != nil {
		return fmt.Errorf("append: %w", err)
	}
	for i, a := range appended {
		if before, ok := w.acked[ids[i]]; ok && before != a.Sequence {
			return fmt.Errorf("event %s has two sequences, %d and %d", ids[i], before, a.Sequence)
		}
		w.acked[ids[i]] = a.Sequence
	}
	w.logf("submitted %v", ids)
	return w.balanced()
}

func (w *world) commit(l *simLane, fn func(tx *journal.Tx) error) error {
	tx := new(journal.Tx)
	if err := fn(tx); err != nil {
		return fmt.Errorf("%s: %w", l.name, err)
	}
	if tx.Empty() {
		return nil
	}
	if _, err := w.journal.Commit(tx); err != nil {
		return fmt.Errorf("%s: commit: %w", l.name, err)
	}
	return w.balanced(l)
}

// advance asks a lane what to do, or reports back one result.
func (w *world) advance(l *simLane) error {
	if n := len(l.works); n > 0 && w.random.IntN(2) == 0 {
		i := w.random.IntN(n)
		work := l.works[i]
		l.works = slices.Delete(l.works, i, i+1)
		return work(w)
	}
	var oldest time.Time
	if e, err := w.journal.Event(l.machine.State().Cursor); err == nil {
		oldest = e.Received
	}
	action := l.machine.Next(w.now, w.journal.Head(), oldest)
	switch action.Kind {
	case delivery.Wait:
		if !w.faults && len(l.works) == 0 && !action.Until.IsZero() && action.Until.After(w.now) {
			w.now = action.Until
		}
	case delivery.GiveUp:
		return w.commit(l, func(tx *journal.Tx) error { return l.machine.GiveUp(tx, w.now) })
	case delivery.Attest:
		return w.attest(l)
	case delivery.Amend:
		return w.commit(l, func(tx *journal.Tx) error { return l.machine.SealAmendments(tx, w.now, l.place) })
	case delivery.Deliver:
		return w.deliver(l, action.Number)
	default:
		return w.take(l, action)
	}
	return nil
}

func (w *world) take(l *simLane, a delivery.Action) error {
	w.logf("%s takes from %d (kind %d)", l.name, a.From, a.Kind)
	batch := delivery.Batch{}
	var events []auditrelay.Event
	var err error
	if a.Kind == delivery.TakeDead {
		var handled int
		events, handled, err = delivery.DeadEvents(w.journal, l.state.ID, a.Sequences, a.Bytes)
		batch.Dead = a.Sequences[:handled]
	} else {
		limit := min(uint64(a.Events), a.To-a.From)
		batch.From = a.From
		events, batch.To, err = w.journal.Read(a.From, int(limit), a.Bytes)
	}
	if erased, ok := errors.AsType[*journal.ErasedError](err); ok {
		l.works = append(l.works, func(w *world) error {
			return w.commit(l, func(tx *journal.Tx) error { return l.machine.SkipErased(tx, w.now, erased.To) })
		})
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: read: %w", l.name, err)
	}
	state := l.machine.State()
	asAccepted := l.sink.plain && w.random.IntN(2) == 0 // only the events to store are stated
	for i := range events {
		e := &events[i]
		if !a.Before.IsZero() && !e.Received.Before(a.Before) {
			batch.To = e.Sequence
			break
		}
		batch.Bytes += uint64(len(e.Data))
		if !state.Assigned(e) {
			continue
		}
		j := delivery.Judged{Event: e, Outcome: fate(l.origin, e.ID), Filter: "f"}
		version := oldVersion
		if !w.rolledBack && tries(e) {
			version = newVersion
		}
		j.Trail = receipts.Trail{{Filter: "f", Description: filter.Description{Kind: "wasm", Digest: version}}}
		if l.origin == "lane0" && a.Kind == delivery.Take && emits(e.ID) {
			j.Emitted = []delivery.Emitted{{Target: alertsName, Filter: "f", Data: []byte(`{}`)}}
		}
		if a.Kind == delivery.TakeUnjudged {
			j.Trail = nil
			j.Outcome, j.Cause, j.Err = auditrelay.DeadLettered, auditrelay.CauseRetention, errors.New("held too long")
			if a.Unjudged == delivery.Skip {
				j.Outcome, j.Cause, j.Err = auditrelay.Skipped, auditrelay.CauseDetached, nil
			}
			batch.Judged = append(batch.Judged, j)
			continue
		}
		switch j.Outcome {
		case auditrelay.Delivered:
			// Not a function of the event alone: if a filter ran twice for one delivery, two
			// contents would appear.
			j.Data = fmt.Appendf(nil, `{"id":%q,"nonce":%d}`, e.ID, w.random.Uint64())
			if asAccepted {
				j.Data = e.Data
			}
		case auditrelay.Filtered:
			j.Cause = auditrelay.CauseDrop
		default:
			j.Cause, j.Err = auditrelay.CauseTrap, errors.New("trap")
		}
		batch.Judged = append(batch.Judged, j)
	}
	assembled, err := delivery.Assemble(batch, l.place)
	if err != nil {
		return fmt.Errorf("%s: assemble: %w", l.name, err)
	}
	l.works = append(l.works, func(w *world) error {
		if w.faults && w.random.IntN(10) == 0 {
			l.machine.Untake(w.now, errors.New("filter had no memory"))
			return nil
		}
		return w.commit(l, func(tx *journal.Tx) error {
			l.machine.SetTried(&delivery.Tried{ID: "rollout", Filter: "f", Digest: newVersion, Chosen: tries})
			return l.machine.Seal(tx, w.now, assembled, l.place)
		})
	})
	return nil
}

func (w *world) deliver(l *simLane, number uint64) error {
	w.logf("%s delivers %d", l.name, number)
	p, err := delivery.Load(w.journal, l.state.ID, number)
	if err != nil {
		return err
	}
	receipt, err := l.opts.Sink.Deliver(context.Background(), p)
	if err != nil && bytes.HasPrefix([]byte(err.Error()), []byte("BROKEN")) {
		return err
	}
	sent, err := delivery.Classify(w.journal, l.state.ID, p, receipt, err, l.place)
	if err != nil {
		return fmt.Errorf("%s: judge: %w", l.name, err)
	}
	l.works = append(l.works, func(w *world) error {
		return w.commit(l, func(tx *journal.Tx) error {
			l.machine.SetTried(w.tried())
			_, err := l.machine.Settle(tx, w.now, sent)
			return err
		})
	})
	return nil
}

// quiesce works until nothing is pending.
func (w *world) quiesce() error {
	for _, l := range w.lanes {
		if err := w.commit(l, func(tx *journal.Tx) error {
			return errors.Join(l.machine.SetPaused(tx, w.now, ""), l.machine.SetDetached(tx, w.now, ""))
		}); err != nil {
			return err
		}
	}
	for range 20_000 {
		busy := false
		for _, l := range w.lanes {
			s := l.machine.Snapshot()
			end := w.journal.Head().Next
			if r := l.begin.Replay; r != nil {
				end = r.To
			}
			if s.State.Cursor < end || s.InFlight > 0 || s.Queued > 0 || len(l.works) > 0 {
				busy = true
				if err := w.advance(l); err != nil {
					return err
				}
			}
		}
		if !busy {
			return nil
		}
	}
	return errors.New("the lanes do not come to rest")
}
