package journal

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
)

// Key is the place of one value of the callbacks' state. Keys order by kind,
// then lane, then number. A lane is a callback's name, or "name@replayid".
type Key []byte

// Kind tells apart what the callbacks' state holds.
type Kind byte

// The kinds of state, one key function each.
const (
	KindLane       Kind = 0x40 + iota // a lane's cursor and counters
	KindChunk                         // a sealed chunk, by its first sequence
	KindPayload                       // a payload's record, by its number
	KindBody                          // a payload's rendered bytes, by its number
	KindReceipt                       // what became of a payload, by its number
	KindDeadLetter                    // an event set aside, by its sequence
	KindMeta                          // anything else, by name
	KindModule                        // an uploaded module's record, by its digest
	KindPiece                         // a piece of its bytes, by its number
	KindSelection                     // which module a filter runs, by the filter's name
	KindFrame                         // a sealed chunk's receipts of events, by its first sequence
	KindDeadFrame                     // those of dead letters that were judged again, by their number
	KindQuarantine                    // what came in and could not be taken as an event; see runtime/internal/quarantine
	KindText                          // a text that receipts name by its digest; see runtime.Texts
	KindLeaf                          // hashes of a log's leaves, by the index of the first
	KindNode                          // hashes of its full tiles, by level and index
	KindEntry                         // the entries of its leaves, by the index of the first
	KindStatement                     // the entries of a sealed payload's records, by its number
	KindResolved                      // a dead letter that ended, without its event, by its sequence
	KindSpan                          // which events a write of a log states outcomes of: see spans.go
	kindEnd
)

// aboutEvents reports whether values of this kind tell of events, and so are encrypted
// where events are. docs/operators/encryption.md has the table.
func (k Kind) aboutEvents() bool {
	switch k {
	case KindChunk, KindPayload, KindBody, KindReceipt, KindDeadLetter, KindFrame, KindDeadFrame, KindEntry, KindStatement, KindResolved:
		return true
	}
	return false
}

// The journal's own key spaces, all below the kinds of state.
const (
	spaceOwn   = 0x01 // the head and the identity
	spaceEvent = 0x02 // sequence -> event
	spaceFrame = 0x03 // first sequence of a shared write -> index frame
	spaceAlso  = 0x04 // sequence, ordinal -> a further provenance
	// 0x05 is spaceIDs: see idIndex
)

var (
	keyHead     = []byte{spaceOwn, 'h'}
	keyIdentity = []byte{spaceOwn, 'i'}
)

// LaneKey is a lane's own record.
func LaneKey(lane string) Key { return appendName(nil, KindLane, lane) }

// ChunkKey is the sealed chunk that begins at sequence from.
func ChunkKey(lane string, from uint64) Key { return numbered(KindChunk, lane, from) }

// PayloadKey is the record of a lane's payload.
func PayloadKey(lane string, number uint64) Key { return numbered(KindPayload, lane, number) }

// BodyKey is the rendered bytes of a lane's payload.
func BodyKey(lane string, number uint64) Key { return numbered(KindBody, lane, number) }

// ReceiptKey is what became of a lane's payload.
func ReceiptKey(lane string, number uint64) Key { return numbered(KindReceipt, lane, number) }

// DeadLetterKey is a callback's dead letter for the event at sequence.
func DeadLetterKey(callback string, sequence uint64) Key {
	return numbered(KindDeadLetter, callback, sequence)
}

// ResolvedKey is what is kept of a callback's dead letter that ended. Programs before it
// kept that under DeadLetterKey.
func ResolvedKey(callback string, sequence uint64) Key {
	return numbered(KindResolved, callback, sequence)
}

// FrameKey is the receipts of the events of the sealed chunk that begins at
// sequence from.
func FrameKey(lane string, from uint64) Key { return numbered(KindFrame, lane, from) }

// DeadFrameKey is the receipts of dead letters that were judged again together.
func DeadFrameKey(lane string, number uint64) Key { return numbered(KindDeadFrame, lane, number) }

// QuarantineKey is a value of the quarantine by its kind there and its number.
func QuarantineKey(what string, number uint64) Key { return numbered(KindQuarantine, what, number) }

// LeafKey is where the hashes of a log's leaves stand from an index on.
func LeafKey(log string, index uint64) Key { return numbered(KindLeaf, log, index) }

// NodeKey is the hash of a full tile of a log: index counts in the level above it.
func NodeKey(log string, level int, index uint64) Key {
	return numbered(KindNode, log, uint64(level)<<56|index)
}

// EntryKey is where the entries of a log's leaves stand from an index on.
func EntryKey(log string, index uint64) Key { return numbered(KindEntry, log, index) }

// StatementKey is what is to be stated of a sealed payload's records once it is settled.
func StatementKey(lane string, number uint64) Key { return numbered(KindStatement, lane, number) }

// SpanKey is the span of the write of a log that begins at an index, under a block of
// sequences that it touches.
func SpanKey(log string, level int, block, index uint64) Key {
	name := append([]byte(log), 0, byte(level)) // no log's name has a zero byte
	return numbered(KindSpan, string(binary.BigEndian.AppendUint64(name, block)), index)
}

// SpanMarkKey says which leaves of a log have spans.
func SpanMarkKey(log string) Key { return numbered(KindSpan, log, 0) }

// MetaKey is a value by name, outside all lanes.
func MetaKey(name string) Key { return appendName(nil, KindMeta, name) }

// ModuleKey is the record of an uploaded module.
func ModuleKey(digest string) Key { return appendName(nil, KindModule, digest) }

// PieceKey is a piece of an uploaded module's bytes.
func PieceKey(digest string, number uint64) Key { return numbered(KindPiece, digest, number) }

// SelectionKey is what was selected for a filter.
func SelectionKey(filter string) Key { return appendName(nil, KindSelection, filter) }

// TextKey is a text by its digest.
func TextKey(digest string) Key { return appendName(nil, KindText, digest) }

// TextsFrom returns the half-open range of the texts whose digest, in hexadecimal, begins
// with prefix.
func TextsFrom(prefix string) (from, to Key) {
	from = append(Key{byte(KindText)}, prefix...)
	return from, append(slices.Clone(from), 0xff)
}

// All returns the half-open range of every key of a kind.
func All(kind Kind) (from, to Key) { return Key{byte(kind)}, Key{byte(kind) + 1} }

// AllOf returns the half-open range of a lane's numbered keys of a kind, from
// the number on.
func AllOf(kind Kind, lane string, from uint64) (first, end Key) {
	first = numbered(kind, lane, from)
	return first, append(numbered(kind, lane, math.MaxUint64), 0)
}

// Split takes a key apart. The number is 0 for a key that has none; ok is false
// if k was not made by a key function.
func (k Key) Split() (kind Kind, lane string, number uint64, ok bool) {
	if !k.valid() {
		return 0, "", 0, false
	}
	kind = Kind(k[0])
	name, rest, ok := cutName(k[1:])
	switch {
	case !ok:
		return 0, "", 0, false
	case kind == KindLane, kind == KindMeta, kind == KindModule, kind == KindSelection, kind == KindText:
		return kind, name, 0, len(rest) == 0
	case len(rest) != 8:
		return 0, "", 0, false
	}
	return kind, name, binary.BigEndian.Uint64(rest), true
}

// valid reports whether k lies in the callbacks' key space, the range bounds of
// All included.
func (k Key) valid() bool {
	return len(k) > 0 && k[0] >= byte(KindLane) && (k[0] < byte(kindEnd) || len(k) == 1 && k[0] == byte(kindEnd))
}

func numbered(kind Kind, lane string, number uint64) Key {
	return binary.BigEndian.AppendUint64(appendName(nil, kind, lane), number)
}

// A name ends with 0x00 0x01 and has 0x00 0xff for each zero byte, so that no
// name's keys stand among another's.
func appendName(dst Key, kind Kind, name string) Key {
	dst = append(dst, byte(kind))
	for i := range len(name) {
		dst = append(dst, name[i])
		if name[i] == 0 {
			dst = append(dst, 0xff)
		}
	}
	return append(dst, 0, 1)
}

func cutName(b []byte) (name string, rest []byte, ok bool) {
	var out []byte
	for {
		i := bytes.IndexByte(b, 0)
		if i < 0 || i+1 == len(b) {
			return "", nil, false
		}
		out = append(out, b[:i]...)
		switch b[i+1] {
		case 1:
			return string(out), b[i+2:], true
		case 0xff:
			out = append(out, 0)
		default:
			return "", nil, false
		}
		b = b[i+2:]
	}
}

func eventKey(sequence uint64) []byte { return sequenceKey(spaceEvent, sequence) }
func frameKey(sequence uint64) []byte { return sequenceKey(spaceFrame, sequence) }

func sequenceKey(space byte, sequence uint64) []byte {
	k := make([]byte, 1, 9)
	k[0] = space
	return binary.BigEndian.AppendUint64(k, sequence)
}

// alsoKey is the place of the ordinal-th further provenance of an event.
func alsoKey(sequence uint64, ordinal int) []byte {
	return append(sequenceKey(spaceAlso, sequence), byte(ordinal))
}

// keySequence returns the sequence in a key of the journal's own spaces.
func keySequence(k []byte) uint64 {
	if len(k) < 9 {
		return 0
	}
	return binary.BigEndian.Uint64(k[1:9])
}
