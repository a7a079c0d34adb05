package delivery

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"auditrelay"
	"auditrelay/runtime/internal/journal"
)

// Options are what a lane's owner may change between two runs.
type Options struct {
	Sink        auditrelay.Sink // nil: none
	Concurrency int             // deliveries at a time; 1: in order
	InFlight    int             // sealed chunks that may be undelivered

	// Attest is how often the log of what was delivered is signed; 0: never.
	Attest time.Duration

	Chunk   auditrelay.Chunking
	Backoff auditrelay.Backoff
	Retain  auditrelay.Retain
}

// The pause between attempts while a destination refuses us as a whole: slow and
// steady, since only an operator can mend it.
const stallPause = time.Minute

// Lane is one callback's machine, or one replay's. It is not safe for concurrent
// use, except Load.
type Lane struct {
	journal *journal.Journal
	opts    Options
	random  *rand.Rand
	state   State

	pending []*pending // sealed and not settled, by number
	taking  bool
	blocked bool // holds more than retain allows, and retain says block

	firstSeen time.Time // when the oldest untaken event was seen, zero if none
	takeAfter time.Time // after a failed take
	takeTries int
	dueTo     uint64    // events before it wait for no more, whatever is taken first
	shrink    int       // how often the next chunk is halved, for want of space
	holdUntil time.Time // no delivery before, after a failure of the destination as a whole

	deadQueue []uint64        // dead letters to be judged again
	deadTaken map[uint64]bool // those among them that are being judged

	retained time.Time // when retain last set events aside

	attesting bool // between Clock and Attest
	hurried   bool // see Hurry
	news      bool // the log has more than the time since it was signed

	tree     *journal.Tree                 // the log of what was delivered; nil until it is needed
	resolved map[uint64]auditrelay.Outcome // dead letters resolved since Next: it may not be durable yet

	tried *Tried // nil: no rollout is under way

	condition Condition
	attempts  uint64
	failures  map[string]uint64
}

// pending is one sealed payload that is not settled.
type pending struct {
	payloadMeta
	busy     bool
	failing  bool      // its last attempt failed
	after    time.Time // no attempt before
	attempts int
	stated   bool // what stands beside it is the log's
	fresh    bool // sealed since the lane was opened: attempts are all that there were
}

// tried reports whether there may have been more attempts than so many.
func (p *pending) tried(more int) bool { return !p.fresh || p.attempts > more }

// payloadMeta is what is durable about a sealed payload besides its body.
type payloadMeta struct {
	Number     uint64            `json:"number"`
	Chunk      uint64            `json:"chunk"` // the chunk's From
	Manifest   bool              `json:"manifest,omitempty"`
	Dead       bool              `json:"dead,omitempty"` // replays dead letters
	Key        string            `json:"key"`
	Headers    map[string]string `json:"headers,omitempty"`
	Digest     string            `json:"digest,omitempty"`
	Records    []byte            `json:"records"` // encodeSequences
	First      uint64            `json:"first"`
	Last       uint64            `json:"last"`
	Events     uint64            `json:"events"`
	Tombstones uint64            `json:"tombstones,omitempty"`
	Size       int64             `json:"size"`
	Oldest     time.Time         `json:"oldest"`           // received time of the oldest record
	Origin     uint64            `json:"origin,omitempty"` // the payload that this one replaces
	Of         uint64            `json:"of,omitempty"`     // of a manifest: a sequence of the period that it is about
	// Proof: a bundle of proofs, which is a manifest as far as nothing else is said, of
	// the leaves from ProofFrom on.
	Proof     bool   `json:"proof,omitempty"`
	ProofFrom uint64 `json:"proof_from,omitempty"`
	// Joined is the CRC-32C of a body that is not stored: see joined.go. nil: it is.
	Joined *uint32 `json:"joined,omitempty"`
}

// of returns a sequence of the period that the payload is about.
func (m *payloadMeta) of() uint64 {
	if m.Manifest {
		return m.Of
	}
	return m.First
}

// receipt is what is kept of a payload once it is settled.
type receipt struct {
	Number     uint64    `json:"number"`
	Key        string    `json:"key"`
	Location   string    `json:"location,omitempty"`
	Version    string    `json:"version,omitempty"`
	Duplicate  bool      `json:"duplicate,omitempty"`
	Unverified bool      `json:"unverified,omitempty"`
	Attempts   int       `json:"attempts"`
	At         time.Time `json:"at"`
	First      uint64    `json:"first"`
	Last       uint64    `json:"last"`
	Error      string    `json:"error,omitempty"`    // why it was replaced or given up
	By         []uint64  `json:"by,omitempty"`       // the payloads that replaced it
	GivenUp    bool      `json:"given_up,omitempty"` // undelivered, when the callback was removed or detached
	// Cause of GivenUp; empty in records of before callbacks that are detached gave up
	// anything: operator.
	Cause auditrelay.Cause `json:"cause,omitempty"`
}

// chunkRecord is what is durable about a sealed chunk.
type chunkRecord struct {
	From     uint64    `json:"from"`
	To       uint64    `json:"to"`
	At       time.Time `json:"at"`
	Number   uint64    `json:"number"` // of its first payload
	Payloads int       `json:"payloads"`
	Runs     []byte    `json:"runs,omitempty"`
	// Skipped: all of the range was given up when the callback was removed.
	Skipped bool `json:"skipped,omitempty"`
}

// Create makes the state of a new lane that begins at start and puts it into tx.
func Create(j *journal.Journal, tx *journal.Tx, s State, start uint64, now time.Time) (*State, error) {
	s.Version = stateVersion
	s.Start, s.Cursor, s.Created = start, start, now
	if s.ID == "" {
		id, err := freeID(j, s.LaneName())
		if err != nil {
			return nil, err
		}
		s.ID = id
	}
	s.Bytes = bytesAt(j.Head(), start)
	if err := s.rebase(j); err != nil {
		return nil, err
	}
	return &s, s.put(tx)
}

// freeID finds an id that no lane has: a callback that took over another's lane
// has that one's id, and the name may be given anew.
func freeID(j *journal.Journal, name string) (string, error) {
	states, err := States(j)
	if err != nil {
		return "", err
	}
	taken := map[string]bool{}
	for _, s := range states {
		taken[s.ID] = true
	}
	id := name
	for n := 2; taken[id]; n++ {
		id = fmt.Sprintf("%s+%d", name, n)
	}
	return id, nil
}

// Revive makes a removed callback's lane its own again when the name is
// configured once more. Its dead letters, its accounts and the numbers of its
// payloads go on; it starts at start, but not before where it was given up, since
// what is before has an outcome. Replay gives that again.
func (s *State) Revive(j *journal.Journal, tx *journal.Tx, start uint64, receives auditrelay.Receives, digest string, now time.Time) error {
	s.Removed, s.Paused, s.Detached, s.DetachedFrom, s.Changed = false, "", "", 0, now
	s.Receives, s.Digest = receives, digest
	if start > s.Cursor { // what came in between is not assigned
		l := Lane{journal: j, state: *s}
		if err := l.stateRange(tx, s.Cursor, start, auditrelay.Pending); err != nil {
			return err
		}
		s.Log = l.state.Log
	}
	s.Cursor = max(s.Cursor, start)
	s.Bytes = bytesAt(j.Head(), s.Cursor)
	if err := s.rebase(j); err != nil {
		return err
	}
	return s.put(tx)
}

// bytesAt estimates the journal's count of bytes at a sequence.
func bytesAt(head journal.Head, sequence uint64) uint64 {
	if head.Next <= 1 {
		return 0
	}
	return uint64(float64(head.Bytes) * float64(sequence-1) / float64(head.Next-1))
}

// rebase sets Base so that what is assigned equals what was taken and what waits.
func (s *State) rebase(j *journal.Journal) error {
	head := j.Head()
	waiting, err := j.Count(s.Cursor, s.end(head.Next))
	if err != nil {
		return fmt.Errorf("count the events that wait for callback %s: %w", s.LaneName(), err)
	}
	backlog := s.class(waiting.Events, waiting.Emitted)
	if s.Replay != nil {
		s.Base = -int64(s.Taken + backlog)
		return nil
	}
	s.Base = int64(s.class(head.Events, head.Emitted)) - int64(s.Taken+backlog)
	return nil
}

// Configure adapts a stored state to the configuration that it is run with now.
func (s *State) Configure(j *journal.Journal, tx *journal.Tx, receives auditrelay.Receives, digest string) error {
	if s.Receives == receives && s.Digest == digest {
		return nil
	}
	s.Digest = digest
	if s.Receives != receives {
		s.Receives = receives
		if err := s.rebase(j); err != nil {
			return err
		}
	}
	return s.put(tx)
}

// end is where the lane's events end while the journal's head is at next.
func (s *State) end(next uint64) uint64 {
	if s.Replay != nil {
		return min(s.Replay.To, next)
	}
	return next
}

// Open loads a lane from what is durable. random paces retries.
func Open(j *journal.Journal, s *State, o Options, random *rand.Rand) (*Lane, error) {
	l := &Lane{journal: j, opts: o, random: random, state: *s, failures: map[string]uint64{}}
	l.opts.defaults()
	if next := j.Head().Next; s.Cursor > next {
		return nil, fmt.Errorf("callback %s stands at sequence %d, but the journal ends before %d: %w",
			s.LaneName(), s.Cursor, next, journal.ErrCorrupt)
	}
	from, to := journal.PayloadKey(s.ID, 0), journal.PayloadKey(s.ID, ^uint64(0))
	err := j.Scan(from, to, func(_ journal.Key, value []byte) error {
		p := new(pending)
		if err := json.Unmarshal(value, &p.payloadMeta); err != nil {
			return fmt.Errorf("decode a sealed payload of callback %s: %w", s.LaneName(), err)
		}
		l.pending = append(l.pending, p)
		return nil
	})
	if err != nil {
		return nil, err
	}
	l.order()
	first, end := journal.DeadLetterKey(s.ID, s.DeadFloor), journal.DeadLetterKey(s.ID, ^uint64(0))
	err = j.ScanAll(first, end, func(k journal.Key, value []byte, _ bool) error {
		// What is erased waits for nothing.
		if len(value) > 0 && value[0] == 1 {
			_, _, sequence, _ := k.Split()
			l.deadQueue = append(l.deadQueue, sequence)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	// Whether the alert still stands is found out at the next step.
	l.condition = Condition{State: l.resting(s.Leaked), Reason: l.restingReason(s.Leaked), Since: s.Created}
	if !s.Changed.IsZero() {
		l.condition.Since = s.Changed
	}
	return l, l.readLog()
}

// readLog finds out whether a replay's log tells more than is signed. It may have ended just
// before the program: nothing else would have the last of it signed.
func (l *Lane) readLog() error {
	if l.state.Replay == nil || l.opts.Attest <= 0 || l.state.Log != l.journal.Identity().Incarnation {
		return nil
	}
	size, err := l.journal.TreeSize(journal.DeliveredName(l.state.Log, l.state.ID))
	if err != nil {
		return fmt.Errorf("read the log of callback %s: %w", l.state.LaneName(), err)
	}
	l.news = size != l.state.Attested.Size
	return nil
}

func (o *Options) defaults() {
	o.Concurrency = max(o.Concurrency, 1)
	if o.InFlight <= 0 {
		o.InFlight = 4
	}
	o.Chunk, o.Backoff = o.Chunk.WithDefaults(), o.Backoff.WithDefaults()
}

// Reopen loads the lane anew from what is durable, after a transaction that was
// not committed. What is known since start stays: the counts of attempts, and how
// often a take has failed.
func (l *Lane) Reopen() (*Lane, error) {
	s, err := LoadState(l.journal, l.state.LaneName())
	if err != nil {
		return nil, err
	}
	if s == nil {
		return nil, fmt.Errorf("the state of callback %s is gone: %w", l.state.LaneName(), journal.ErrCorrupt)
	}
	fresh, err := Open(l.journal, s, l.opts, l.random)
	if err != nil {
		return nil, err
	}
	fresh.attempts, fresh.failures, fresh.takeTries, fresh.shrink = l.attempts, l.failures, l.takeTries, l.shrink
	return fresh, nil
}

// State returns a copy of what is durable about the lane.
func (l *Lane) State() State { return l.state }

// Floor is the first sequence that the lane may still need: nothing from here on
// may be forgotten.
func (l *Lane) Floor() uint64 {
	floor := l.state.Cursor
	for _, p := range l.pending {
		if !p.Manifest && !p.Dead {
			floor = min(floor, p.First)
		}
	}
	return floor
}

// Blocked reports whether the lane holds more than it may and new events are to
// be refused.
func (l *Lane) Blocked() bool { return l.blocked }

// Done reports whether a replay has brought all its events to an outcome.
func (l *Lane) Done() bool { return l.ended() && !l.Unattested() }

func (l *Lane) ended() bool {
	return l.state.Replay != nil && l.state.Cursor >= l.state.Replay.To && len(l.pending) == 0 && !l.taking && len(l.deadQueue) == 0
}

func (l *Lane) find(number uint64) *pending {
	for _, p := range l.pending {
		if p.Number == number {
			return p
		}
	}
	return nil
}

func (l *Lane) remove(number uint64) {
	for i, p := range l.pending {
		if p.Number == number {
			l.pending = append(l.pending[:i], l.pending[i+1:]...)
			return
		}
	}
}

// Load reads a sealed payload as it is to be sent. Safe for concurrent use with
// the lane's other methods; the caller owns the result.
func Load(j *journal.Journal, laneID string, number uint64) (auditrelay.Payload, error) {
	value, ok, err := j.Get(journal.PayloadKey(laneID, number))
	if err == nil && !ok {
		err = journal.ErrCorrupt
	}
	if err != nil {
		return auditrelay.Payload{}, fmt.Errorf("read sealed payload %d of callback %s: %w", number, laneID, err)
	}
	var meta payloadMeta
	if err := json.Unmarshal(value, &meta); err != nil {
		return auditrelay.Payload{}, fmt.Errorf("decode sealed payload %d of callback %s: %w", number, laneID, err)
	}
	sequences, _, err := decodeSequences(meta.Records)
	if err != nil {
		return auditrelay.Payload{}, err
	}
	body, err := loadBody(j, laneID, &meta, sequences)
	if err != nil {
		return auditrelay.Payload{}, fmt.Errorf("read the body of sealed payload %d of callback %s: %w", number, laneID, err)
	}
	return auditrelay.Payload{Number: number, Key: meta.Key, Body: body, Headers: meta.Headers,
		Sequences: sequences, Digest: meta.Digest}, nil
}

func loadBody(j *journal.Journal, laneID string, meta *payloadMeta, sequences []uint64) ([]byte, error) {
	if meta.Joined != nil {
		return joinEvents(j, meta, sequences)
	}
	body, ok, err := j.Get(journal.BodyKey(laneID, meta.Number))
	if err == nil && !ok {
		err = journal.ErrCorrupt
	}
	return body, err
}
