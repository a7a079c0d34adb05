package proof

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Kind is the first byte of an entry and states the type of the leaf.
type Kind byte

// The kinds of entries.
const (
	KindBegin    Kind = 1 + iota // start of the log; always the first leaf and only that
	KindAccepted                 // an event was accepted
	KindPayload                  // a payload was delivered or may have been; the outcomes of its records follow
	KindOutcome                  // how one event ended
	KindRange                    // how all events of a range ended
	KindClock                    // the time, and how far the callback had progressed
)

// Sizes of entries in bytes.
const (
	AcceptedBytes = 1 + 8 + 8 + 32
	OutcomeBytes  = 3 + 8 + 3*32
	rangeBytes    = 2 + 8 + 8
	clockBytes    = 1 + 4*8 + 32
	beginBytes    = 1 + 8 + 8 + 32 + 2 // followed by the origin
	payloadBytes  = 2 + 8 + 4 + 32 + 2 // followed by the key
	maxText       = 4096               // maximum length of an origin or a key
	maxEntryBytes = payloadBytes + maxText
)

// Begin is the first leaf of every log.
type Begin struct {
	// First is the first sequence whose fate the log states.
	First uint64
	// Previous is the origin of the previous log, under an earlier incarnation, with the size
	// and root at which that log was closed. Empty: there is none, and no log covers what came
	// before First.
	Previous     string
	PreviousSize uint64
	PreviousRoot Hash
}

// Accepted states that an event was accepted.
type Accepted struct {
	Sequence   uint64
	Received   int64 // Unix nanoseconds
	Commitment Hash  // see Commit; zero: the event was not readable when the leaf was made
}

// Payload states that a payload was delivered or, with FlagPossible, that it may have been.
type Payload struct {
	Number  uint64
	Flags   byte
	Records uint32 // number of outcomes of its records that follow immediately, in order
	Digest  Hash   // SHA-256 of the stored bytes
	Key     string // name at the destination, for example an object key
}

// The flags of a payload.
const (
	FlagManifest = 1 << 0 // it is a manifest
	FlagReplay   = 1 << 1 // replay of dead letters that were filtered again
	// FlagPossible means that the relay gave up the payload, and an attempt may have succeeded
	// without the relay's knowledge. The destination has it with exactly these bytes or not at
	// all.
	FlagPossible = 1 << 2
)

// Outcome states how one event ended on a callback. A later leaf of the same sequence replaces
// it.
type Outcome struct {
	Outcome   byte // number of an auditrelay.Outcome; 0: another leaf states it
	Delivered byte
	Sequence  uint64
	Accepted  Hash // the event's leaf in the log of accepted events; zero: none
	Digest    Hash // SHA-256 of the delivered bytes; zero if nothing was delivered or it is unknown
	Receipt   Hash // commitment to its receipt; zero: no receipt
}

// What was delivered for an outcome.
const (
	Nothing   = 0
	Record    = 1
	Tombstone = 2
	// In a payload with FlagPossible: the record was delivered or nothing was.
	PossibleRecord    = 3
	PossibleTombstone = 4
)

// IsPossible reports whether the outcome states a possible delivery.
func (o *Outcome) IsPossible() bool {
	return o.Delivered == PossibleRecord || o.Delivered == PossibleTombstone
}

// Possible returns the value for a record of a payload that may have been delivered.
func Possible(delivered byte) byte {
	switch delivered {
	case Record:
		return PossibleRecord
	case Tombstone:
		return PossibleTombstone
	}
	return delivered
}

// Range states how all events in [From, To) ended. Outcome 0 means that they are not assigned
// to the callback.
type Range struct {
	Outcome  byte
	From, To uint64
}

// Clock states the time. Every event before Floor that is assigned to the callback has an
// outcome in an earlier leaf. Size and root are those of the log of accepted events at that
// time.
type Clock struct {
	Time         int64 // Unix seconds
	Floor        uint64
	First        uint64 // first sequence of the log of accepted events
	AcceptedSize uint64
	AcceptedRoot Hash
}

var (
	errEntry = errors.New("malformed entry")
	be       = binary.BigEndian
)

// Append appends the entry to dst.
func (b Begin) Append(dst []byte) []byte {
	dst = append(dst, byte(KindBegin))
	dst = be.AppendUint64(dst, b.First)
	dst = be.AppendUint64(dst, b.PreviousSize)
	dst = append(dst, b.PreviousRoot[:]...)
	return appendText(dst, b.Previous)
}

// Append appends the entry to dst.
func (a Accepted) Append(dst []byte) []byte {
	dst = append(dst, byte(KindAccepted))
	dst = be.AppendUint64(dst, a.Sequence)
	dst = be.AppendUint64(dst, uint64(a.Received))
	return append(dst, a.Commitment[:]...)
}

// Append appends the entry to dst.
func (p Payload) Append(dst []byte) []byte {
	dst = append(dst, byte(KindPayload), p.Flags)
	dst = be.AppendUint64(dst, p.Number)
	dst = be.AppendUint32(dst, p.Records)
	dst = append(dst, p.Digest[:]...)
	return appendText(dst, p.Key)
}

// Append appends the entry, OutcomeBytes long, to dst.
func (o Outcome) Append(dst []byte) []byte {
	dst = append(dst, byte(KindOutcome), o.Outcome, o.Delivered)
	dst = be.AppendUint64(dst, o.Sequence)
	dst = append(dst, o.Accepted[:]...)
	dst = append(dst, o.Digest[:]...)
	return append(dst, o.Receipt[:]...)
}

// OutcomeSequence returns the sequence of an entry if the entry is an outcome.
func OutcomeSequence(entry []byte) (sequence uint64, ok bool) {
	if len(entry) != OutcomeBytes || Kind(entry[0]) != KindOutcome {
		return 0, false
	}
	return be.Uint64(entry[3:]), true
}

// Append appends the entry to dst.
func (r Range) Append(dst []byte) []byte {
	dst = append(dst, byte(KindRange), r.Outcome)
	dst = be.AppendUint64(dst, r.From)
	return be.AppendUint64(dst, r.To)
}

// Append appends the entry to dst.
func (c Clock) Append(dst []byte) []byte {
	dst = append(dst, byte(KindClock))
	for _, v := range [...]uint64{uint64(c.Time), c.Floor, c.First, c.AcceptedSize} {
		dst = be.AppendUint64(dst, v)
	}
	return append(dst, c.AcceptedRoot[:]...)
}

// appendText truncates a text that is too long, so that the entry can still be written.
func appendText(dst []byte, s string) []byte {
	s = s[:min(len(s), maxText)]
	return append(be.AppendUint16(dst, uint16(len(s))), s...)
}

// ParseEntry returns an entry as one of the types above. If there is no error, Append of the
// result gives entry again.
func ParseEntry(entry []byte) (any, error) {
	if len(entry) == 0 {
		return nil, errEntry
	}
	r := reader{b: entry[1:]}
	var out any
	switch Kind(entry[0]) {
	case KindBegin:
		b := Begin{First: r.uint64(), PreviousSize: r.uint64(), PreviousRoot: r.hash()}
		b.Previous = r.text()
		out = b
	case KindAccepted:
		out = Accepted{Sequence: r.uint64(), Received: int64(r.uint64()), Commitment: r.hash()}
	case KindPayload:
		p := Payload{Flags: r.byte(), Number: r.uint64(), Records: r.uint32(), Digest: r.hash()}
		p.Key = r.text()
		out = p
	case KindOutcome:
		out = Outcome{Outcome: r.byte(), Delivered: r.byte(), Sequence: r.uint64(), Accepted: r.hash(), Digest: r.hash(), Receipt: r.hash()}
	case KindRange:
		g := Range{Outcome: r.byte(), From: r.uint64(), To: r.uint64()}
		r.failed = r.failed || g.From >= g.To
		out = g
	case KindClock:
		out = Clock{Time: int64(r.uint64()), Floor: r.uint64(), First: r.uint64(), AcceptedSize: r.uint64(), AcceptedRoot: r.hash()}
	default:
		return nil, fmt.Errorf("%w: kind %d is not known", errEntry, entry[0])
	}
	if r.failed || len(r.b) > 0 {
		return nil, errEntry
	}
	return out, nil
}

// AppendEntries appends entries in the format of a bundle, each preceded by its length.
func AppendEntries(dst []byte, entries ...[]byte) []byte {
	for _, e := range entries {
		dst = append(be.AppendUint16(dst, uint16(len(e))), e...)
	}
	return dst
}

// SplitEntries returns the entries of a bundle. They share its memory.
func SplitEntries(bundle []byte) ([][]byte, error) {
	entries := make([][]byte, 0, len(bundle)/(OutcomeBytes+2)+1)
	for len(bundle) > 0 {
		if len(bundle) < 2 {
			return nil, errEntry
		}
		n := int(be.Uint16(bundle)) + 2
		if n > len(bundle) || n > maxEntryBytes+2 {
			return nil, errEntry
		}
		entries = append(entries, bundle[2:n:n])
		bundle = bundle[n:]
	}
	return entries, nil
}

type reader struct {
	b      []byte
	failed bool
}

func (r *reader) take(n int) []byte {
	if n > len(r.b) {
		r.b, r.failed = nil, true
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint16() uint16 {
	if b := r.take(2); b != nil {
		return be.Uint16(b)
	}
	return 0
}

func (r *reader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return be.Uint32(b)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return be.Uint64(b)
	}
	return 0
}

func (r *reader) hash() (h Hash) {
	copy(h[:], r.take(len(h)))
	return h
}

func (r *reader) text() string {
	n := int(r.uint16())
	if n > maxText {
		r.failed = true
		return ""
	}
	return string(r.take(n))
}
