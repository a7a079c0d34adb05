package journal

import (
	"crypto/sha256"
	"fmt"
	"hash/crc32"
	"slices"
	"time"

	"auditrelay"
)

// The bounds of one transaction. They guard the process. What a request, a chunk or
// one event's seal may hold is bounded lower by those who make it; see the maxima in
// the root package.
const (
	maxTxEvents = 1 << 18
	maxTxBytes  = 512 << 20
)

// Tx collects what one Commit writes: all of it or nothing. The zero value is
// empty and ready; a Tx is committed once, and is not safe for concurrent use.
type Tx struct {
	events       []pending
	ops          []op
	bytes        int // of all that is to be written
	bulk         int // of them, those of ops
	apart        int // beside bytes: what is to be written to a blob file
	allOrNothing bool
	now          bool // it has a value of the period in which it is committed
	fromOutside  bool
	makesRoom    bool
	trim         uint64 // forget events below, 0 for none
	err          error  // the first thing refused
}

// pending is an event on its way in, encoded where it was handed over.
type pending struct {
	namespace, id string
	target        string
	provenance    auditrelay.Provenance
	hash          uint64
	body          []byte
	sum           uint32            // of body
	digest        [sha256.Size]byte // likewise
	data          int               // len(Data), the end of body
	emitted       bool
	time          time.Time // its own, zero where it has none
	ingest        *auditrelay.Ingest
}

func (p *pending) Data() []byte { return p.body[len(p.body)-p.data:] }

type op struct {
	kind     opKind
	of       opPeriod
	key, arg []byte
	about    uint64
}

// opPeriod says to which period a value belongs.
type opPeriod uint8

const (
	ofNone   opPeriod = iota
	ofEvents          // that of the sequence about
	ofNow             // that in which it is committed
)

type opKind uint8

const (
	opSet opKind = iota
	opDelete
	opDeleteRange
)

// Expect makes room for n events more.
func (t *Tx) Expect(n int) { t.events = slices.Grow(t.events, n) }

// Append adds an event. It copies what it needs. Sequence and Received are set
// by Commit, and Time too where TimeFrom says that the event has none.
func (t *Tx) Append(e auditrelay.Event) {
	p := pending{namespace: e.Namespace, id: e.ID, provenance: e.Provenance, data: len(e.Data), ingest: e.Ingest}
	if ownTime(e.TimeFrom) {
		p.time = e.Time
	}
	if e.Emission != nil {
		p.emitted, p.target = true, e.Emission.Target
	}
	p.body = appendBody(make([]byte, 0, 256+len(e.Data)), &e)
	p.sum = crc32.Checksum(p.body, castagnoli)
	p.digest = sha256.Sum256(p.body)
	t.bytes += len(p.body) + recordPrefix + maxBoxOverhead + 32 + 2*sha256.Size
	t.events = append(t.events, p)
}

// AllOrNothing makes a conflict in any appended event fail the whole
// transaction with a *ConflictError.
func (t *Tx) AllOrNothing() { t.allOrNothing = true }

// FromOutside has the transaction refused where new events are refused: what it sets
// does not follow from accepted ones, and may not touch quota or reserve.
func (t *Tx) FromOutside() { t.fromOutside = true }

// MakesRoom has the transaction pass where new events are refused, and, up to 64 KiB, use
// most of the reserve: it deletes more than it adds, or leads to that, the own record of
// it included.
func (t *Tx) MakesRoom() { t.makesRoom = true }

// Set writes v, which holds nothing of any event, under k. Both must stay as they are
// until Commit returns. The kinds that are about events have SetAbout, or SetPlain.
func (t *Tx) Set(k Key, v []byte) {
	if len(k) > 0 && Kind(k[0]).aboutEvents() {
		t.refuse("a value about events without its period: use SetAbout")
		return
	}
	t.SetPlain(k, v)
}

// SetAbout writes v, which is about the event at sequence, or about several events of
// its period, under k. Where events are encrypted it is encrypted along with them, and
// erased along with them.
func (t *Tx) SetAbout(sequence uint64, k Key, v []byte) {
	t.op(op{kind: opSet, key: k, arg: v, of: ofEvents, about: sequence})
}

// SetNow writes v under k, which is kept as new events are: where they are encrypted it
// belongs to the period in which it is committed.
func (t *Tx) SetNow(k Key, v []byte) {
	t.now = true
	t.op(op{kind: opSet, key: k, arg: v, of: ofNow})
}

// SetPlain writes v under k and never encrypts it: for what a kind that is about events
// holds although it tells nothing of any.
func (t *Tx) SetPlain(k Key, v []byte) { t.op(op{kind: opSet, key: k, arg: plainValue(v)}) }

// Delete removes k, if it is there. k must stay as it is until Commit returns.
func (t *Tx) Delete(k Key) { t.op(op{kind: opDelete, key: k}) }

// DeleteRange removes all keys in [from, to). Both must stay as they are until
// Commit returns.
func (t *Tx) DeleteRange(from, to Key) {
	if !to.valid() {
		t.refuse(outside)
		return
	}
	t.op(op{kind: opDeleteRange, key: from, arg: to})
}

const outside = "a key outside the callbacks' state; make keys with the key functions"

func (t *Tx) op(o op) {
	if !Key(o.key).valid() {
		t.refuse(outside)
		return
	}
	t.ops = append(t.ops, o)
	t.bytes += len(o.key) + len(o.arg) + 16
	t.bulk += len(o.key) + len(o.arg)
	if o.of != ofNone {
		t.bytes += maxValueOverhead
	}
}

func (t *Tx) refuse(why string) {
	if t.err == nil {
		t.err = fmt.Errorf("journal: %s", why)
	}
}

// check returns why the transaction cannot be committed by any journal.
func (t *Tx) check() error {
	switch {
	case t.err != nil:
		return t.err
	case len(t.events) > maxTxEvents:
		return fmt.Errorf("%w: %d events, at most %d", ErrTooLarge, len(t.events), maxTxEvents)
	case t.bytes > maxTxBytes:
		return fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, t.bytes, maxTxBytes)
	}
	return nil
}

// Status says what became of an appended event.
type Status uint8

const (
	// Stored: accepted, durable, with a sequence of its own.
	Stored Status = iota + 1
	// Duplicate: an equal event is stored already, at Sequence; where it came
	// from this time is recorded beside it.
	Duplicate
	// Conflict: another event with this identity is stored, at Sequence; this one
	// was not written.
	Conflict
)

func (s Status) String() string {
	switch s {
	case Stored:
		return "stored"
	case Duplicate:
		return "duplicate"
	case Conflict:
		return "conflict"
	}
	return fmt.Sprintf("status(%d)", uint8(s))
}

// Appended is what became of one Append, in their order. Received belongs to
// the event at Sequence.
type Appended struct {
	Sequence uint64
	Received time.Time
	Status   Status
}
