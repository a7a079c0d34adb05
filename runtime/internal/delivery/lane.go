package delivery

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"auditrelay"
	"auditrelay/runtime/internal/journal"
)

// Options are the parameters that a lane's owner may change between two runs.
type Options struct {
	Sink        auditrelay.Sink // nil if there is none
	Concurrency int             // maximum parallel deliveries; 1: in order
	InFlight    int             // maximum number of sealed, undelivered chunks

	// Attest is the interval between signatures of the log of delivered records; 0: never.
	Attest time.Duration

	Chunk   auditrelay.Chunking
	Backoff auditrelay.Backoff
	Retain  auditrelay.Retain
}

// The pause between attempts while a destination rejects everything. It is long and constant,
// since only an operator can fix the cause.
const stallPause = time.Minute

// Lane is the state machine of one callback or one replay. It is not safe for concurrent use,
// except Load.
type Lane struct {
	journal *journal.Journal
	opts    Options
	random  *rand.Rand
	state   State

	pending []*pending // sealed and not settled, by number
	taking  bool
	blocked bool // the lane exceeds retain, and retain says block

	firstSeen time.Time // when the oldest event of the next chunk was seen; zero if there is none
	takeAfter time.Time // no take before this time, after a failed take
	takeTries int
	dueTo     uint64    // events before it are taken without further waiting
	shrink    int       // number of times that the next chunk is halved, since space is short
	holdUntil time.Time // no delivery before this time, after a failure of the whole destination

	deadQueue []uint64        // dead letters to process again
	deadTaken map[uint64]bool // those of them that are being processed

	retained time.Time // when retain last dead-lettered events

	attesting bool      // between Clock and Attest
	signAfter time.Time // after a failure to sign
	signTries int       // number of consecutive failures to sign
	hurried   bool      // see Hurry
	news      bool      // the log has new leaves, other than times, since it was signed

	tree     *journal.Tree                 // the log of delivered records; nil until it is needed
	resolved map[uint64]auditrelay.Outcome // dead letters resolved since Next, which may not be durable yet

	tried *Tried // nil if no rollout is in progress

	condition Condition
	attempts  uint64
	failures  map[string]uint64
}

// pending is one sealed, unsettled payload.
type pending struct {
	payloadMeta
	busy     bool
	failing  bool      // its last attempt failed
	after    time.Time // no attempt before this time
	attempts int
	stated   bool // the log owns the payload's stored statement
	fresh    bool // sealed since the lane was opened, so attempts counts all attempts
}

// tried reports whether there may have been more attempts than the given number.
func (p *pending) tried(more int) bool { return !p.fresh || p.attempts > more }

// payloadMeta is the durable state of a sealed payload besides its body.
type payloadMeta struct {
	Number     uint64            `json:"number"`
	Chunk      uint64            `json:"chunk"` // the chunk's From
	Manifest   bool              `json:"manifest,omitempty"`
	Dead       bool              `json:"dead,omitempty"` // contains replayed dead letters
	Key        string            `json:"key"`
	Headers    map[string]string `json:"headers,omitempty"`
	Digest     string            `json:"digest,omitempty"`
	Records    []byte            `json:"records"` // written by encodeSequences
	First      uint64            `json:"first"`
	Last       uint64            `json:"last"`
	Events     uint64            `json:"events"`
	Tombstones uint64            `json:"tombstones,omitempty"`
	Size       int64             `json:"size"`
	Oldest     time.Time         `json:"oldest"`           // when the relay received the oldest record
	Origin     uint64            `json:"origin,omitempty"` // the payload that this one replaces
	Of         uint64            `json:"of,omitempty"`     // for a manifest: a sequence in its period
	// Proof: the payload is a bundle of proofs of the leaves from ProofFrom on. Unless stated
	// otherwise, it is handled like a manifest.
	Proof     bool   `json:"proof,omitempty"`
	ProofFrom uint64 `json:"proof_from,omitempty"`
	// Joined is the CRC-32C of a body that is not stored (see joined.go); nil: the body is
	// stored.
	Joined *uint32 `json:"joined,omitempty"`
}

// of returns a sequence in the payload's period.
func (m *payloadMeta) of() uint64 {
	if m.Manifest {
		return m.Of
	}
	return m.First
}

// receipt is what is stored about a settled payload.
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
	Error      string    `json:"error,omitempty"`    // why the payload was replaced or given up
	By         []uint64  `json:"by,omitempty"`       // the payloads that replaced it
	GivenUp    bool      `json:"given_up,omitempty"` // given up when the callback was removed or detached
	// Cause is the cause of GivenUp. Records of older versions lack it; it is then operator.
	Cause auditrelay.Cause `json:"cause,omitempty"`
}

// chunkRecord is the durable state of a sealed chunk.
type chunkRecord struct {
	From     uint64    `json:"from"`
	To       uint64    `json:"to"`
	At       time.Time `json:"at"`
	Number   uint64    `json:"number"` // number of its first payload
	Payloads int       `json:"payloads"`
	Runs     []byte    `json:"runs,omitempty"`
	// Skipped: the whole range was given up when the callback was removed.
	Skipped bool `json:"skipped,omitempty"`
}

// Create puts the state of a new lane that starts at start into tx.
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

// freeID returns an id that no lane has. A name may be in use as an id: a callback that was
// renamed keeps its old id, and its old name can be used again.
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

// Revive restores the lane of a removed callback whose name is configured again. Its dead
// letters, accounts and payload numbers continue. It starts at start, but not before the point
// where it was given up, since earlier events have an outcome. Replay can process those again.
func (s *State) Revive(j *journal.Journal, tx *journal.Tx, start uint64, receives auditrelay.Receives, digest string, now time.Time) error {
	s.Removed, s.Paused, s.Detached, s.DetachedFrom, s.Changed = false, "", "", 0, now
	s.Receives, s.Digest = receives, digest
	if start > s.Cursor { // events in between are not assigned
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

// rebase sets Base so that the number of assigned events equals taken events plus backlog.
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

// Configure adapts a stored state to the current configuration.
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

// end returns where the lane's events end while the journal's head is at next.
func (s *State) end(next uint64) uint64 {
	if s.Replay != nil {
		return min(s.Replay.To, next)
	}
	return next
}

// Open loads a lane from its durable state. random is the source of jitter for retries.
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
		// An erased dead letter does not wait for processing.
		if len(value) > 0 && value[0] == 1 {
			_, _, sequence, _ := k.Split()
			l.deadQueue = append(l.deadQueue, sequence)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	// The next step determines whether the alert still applies.
	l.condition = Condition{State: l.resting(s.Leaked), Reason: l.restingReason(s.Leaked), Since: s.Created}
	if !s.Changed.IsZero() {
		l.condition.Since = s.Changed
	}
	return l, l.readLog()
}

// readLog determines whether a replay's log has unsigned outcomes. The replay may have ended
// just before the program, and nothing else would sign its last outcomes.
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

// Reopen loads the lane from its durable state after a failed transaction. It keeps what is
// counted since the start: the attempts, and the number of failed takes.
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

// State returns a copy of the lane's durable state.
func (l *Lane) State() State { return l.state }

// Floor returns the first sequence that the lane may still need. Nothing from there on may be
// removed.
func (l *Lane) Floor() uint64 {
	floor := l.state.Cursor
	for _, p := range l.pending {
		if !p.Manifest && !p.Dead {
			floor = min(floor, p.First)
		}
	}
	return floor
}

// Blocked reports whether the lane exceeds its limit, so that new events must be rejected.
func (l *Lane) Blocked() bool { return l.blocked }

// Done reports whether all events of a replay have an outcome.
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

// Load reads a sealed payload as it must be sent. It is safe for concurrent use with the lane's
// other methods. The caller owns the result.
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
