package journal

import (
	"crypto/sha256"
	"fmt"
	"hash/crc32"
	"slices"
	"time"

	"auditrelay"
)

// The limits of one transaction. They protect the process. Requests, chunks and the seal of one
// event have lower limits; see the maxima in the root package.
const (
	maxTxEvents = 1 << 18
	maxTxBytes  = 512 << 20
)

// Tx collects the changes of one Commit, which writes all or nothing. The zero value is empty
// and ready. Commit a Tx only once. It is not safe for concurrent use.
type Tx struct {
	events       []pending
	ops          []op
	bytes        int // size of all data to write
	bulk         int // the part of bytes that belongs to ops
	apart        int // bytes for a blob file, not included in bytes
	allOrNothing bool
	now          bool // has a value of the period in which it is committed
	fromOutside  bool
	makesRoom    bool
	trim         uint64 // remove events below it; 0: none
	err          error  // the first rejected change
}

// pending is an event that is being appended, encoded by Append.
type pending struct {
	namespace, id string
	target        string
	provenance    auditrelay.Provenance
	hash          uint64
	body          []byte
	sum           uint32            // checksum of body
	digest        [sha256.Size]byte // digest of body
	data          int               // len(Data); Data is the end of body
	emitted       bool
	time          time.Time // the event's own time; zero if it has none
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
	ofEvents          // the period of the sequence about
	ofNow             // the period in which it is committed
)

type opKind uint8

const (
	opSet opKind = iota
	opDelete
	opDeleteRange
)

// Expect reserves room for n more events.
func (t *Tx) Expect(n int) { t.events = slices.Grow(t.events, n) }

// Append adds an event and copies what it needs. Commit sets Sequence and Received, and Time if
// TimeFrom says that the event has none.
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

// AllOrNothing makes a conflict in any appended event fail the whole transaction with a
// *ConflictError.
func (t *Tx) AllOrNothing() { t.allOrNothing = true }

// FromOutside marks the transaction as new input, so that it is rejected when new events are.
// It may not use quota or reserve.
func (t *Tx) FromOutside() { t.fromOutside = true }

// MakesRoom marks a transaction that deletes more than it adds, or leads to that, including its
// own record. It passes when new events are rejected, and may use most of the reserve, up to 64
// KiB.
func (t *Tx) MakesRoom() { t.makesRoom = true }

// Set writes v under k. v must not contain event data. Do not change k or v until Commit
// returns. Kinds that are about events need SetAbout or SetPlain.
func (t *Tx) Set(k Key, v []byte) {
	if len(k) > 0 && Kind(k[0]).aboutEvents() {
		t.refuse("a value about events without its period: use SetAbout")
		return
	}
	t.SetPlain(k, v)
}

// SetAbout writes v under k. v is about the event at sequence, or about several events of its
// period. It is encrypted and erased together with these events.
func (t *Tx) SetAbout(sequence uint64, k Key, v []byte) {
	t.op(op{kind: opSet, key: k, arg: v, of: ofEvents, about: sequence})
}

// SetNow writes v under k like data of a new event: if events are encrypted, v belongs to the
// period in which it is committed.
func (t *Tx) SetNow(k Key, v []byte) {
	t.now = true
	t.op(op{kind: opSet, key: k, arg: v, of: ofNow})
}

// SetPlain writes v under k and never encrypts it. It is for values without event data of a
// kind that is about events.
func (t *Tx) SetPlain(k Key, v []byte) { t.op(op{kind: opSet, key: k, arg: plainValue(v)}) }

// Delete removes k if it exists. Do not change k until Commit returns.
func (t *Tx) Delete(k Key) { t.op(op{kind: opDelete, key: k}) }

// DeleteRange removes all keys in [from, to). Do not change from or to until Commit returns.
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

// check returns an error if no journal can commit the transaction.
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

// Status is the result of appending an event.
type Status uint8

const (
	// Stored: the event is accepted and durable, with a new sequence.
	Stored Status = iota + 1
	// Duplicate: an equal event is already stored at Sequence. Its provenance is recorded in
	// addition.
	Duplicate
	// Conflict: a different event with this identity is stored at Sequence. This one was not
	// written.
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

// Appended is the result of one Append; results are in the order of the calls. Received belongs
// to the event at Sequence.
type Appended struct {
	Sequence uint64
	Received time.Time
	Status   Status
}
