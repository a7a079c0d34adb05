package journal

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
)

// Key is the key of one value of the callbacks' state. Keys sort by kind, then lane, then
// number. A lane is a callback's name or "name@replayid".
type Key []byte

// Kind is the kind of a value in the callbacks' state.
type Kind byte

// The kinds of state. Each has one key function.
const (
	KindLane       Kind = 0x40 + iota // a lane's cursor and counters
	KindChunk                         // a sealed chunk, by its first sequence
	KindPayload                       // a payload's record, by its number
	KindBody                          // a payload's rendered bytes, by its number
	KindReceipt                       // the receipt of a payload, by its number
	KindDeadLetter                    // a dead letter, by its sequence
	KindMeta                          // anything else, by name
	KindModule                        // an uploaded module's record, by its digest
	KindPiece                         // a piece of a module's bytes, by its number
	KindSelection                     // which module a filter runs, by the filter's name
	KindFrame                         // a sealed chunk's receipts of events, by its first sequence
	KindDeadFrame                     // receipts of replayed dead letters, by their number
	KindQuarantine                    // an item in quarantine; see runtime/internal/quarantine
	KindText                          // a text that receipts name by its digest; see runtime.Texts
	KindLeaf                          // hashes of a log's leaves, by the index of the first
	KindNode                          // hashes of a log's full tiles, by level and index
	KindEntry                         // entries of a log's leaves, by the index of the first
	KindStatement                     // the entries of a sealed payload's records, by its number
	KindResolved                      // a resolved dead letter, without its event, by its sequence
	KindSpan                          // which events' outcomes a write of a log contains: see spans.go
	kindEnd
)

// aboutEvents reports whether values of this kind contain data about events, and are therefore
// encrypted with them. docs/operators/encryption.md has the table.
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

// LaneKey is the key of a lane's state.
func LaneKey(lane string) Key { return appendName(nil, KindLane, lane) }

// ChunkKey is the key of the sealed chunk that starts at sequence from.
func ChunkKey(lane string, from uint64) Key { return numbered(KindChunk, lane, from) }

// PayloadKey is the key of the record of a lane's payload.
func PayloadKey(lane string, number uint64) Key { return numbered(KindPayload, lane, number) }

// BodyKey is the key of the rendered bytes of a lane's payload.
func BodyKey(lane string, number uint64) Key { return numbered(KindBody, lane, number) }

// ReceiptKey is the key of the receipt of a lane's payload.
func ReceiptKey(lane string, number uint64) Key { return numbered(KindReceipt, lane, number) }

// DeadLetterKey is the key of a callback's dead letter for the event at sequence.
func DeadLetterKey(callback string, sequence uint64) Key {
	return numbered(KindDeadLetter, callback, sequence)
}

// ResolvedKey is the key of a callback's resolved dead letter. Older programs stored it under
// DeadLetterKey.
func ResolvedKey(callback string, sequence uint64) Key {
	return numbered(KindResolved, callback, sequence)
}

// FrameKey is the key of the receipts of a sealed chunk's events; the chunk starts at sequence
// from.
func FrameKey(lane string, from uint64) Key { return numbered(KindFrame, lane, from) }

// DeadFrameKey is the key of the receipts of dead letters that were replayed together.
func DeadFrameKey(lane string, number uint64) Key { return numbered(KindDeadFrame, lane, number) }

// QuarantineKey is the key of a value of the quarantine, by its kind there and its number.
func QuarantineKey(what string, number uint64) Key { return numbered(KindQuarantine, what, number) }

// LeafKey is the key of the hashes of a log's leaves from an index on.
func LeafKey(log string, index uint64) Key { return numbered(KindLeaf, log, index) }

// NodeKey is the key of the hash of a full tile of a log. index counts in the level above the
// tile.
func NodeKey(log string, level int, index uint64) Key {
	return numbered(KindNode, log, uint64(level)<<56|index)
}

// EntryKey is the key of the entries of a log's leaves from an index on.
func EntryKey(log string, index uint64) Key { return numbered(KindEntry, log, index) }

// StatementKey is the key of the log entries of a sealed payload's records.
func StatementKey(lane string, number uint64) Key { return numbered(KindStatement, lane, number) }

// SpanKey is the key of the span of a write to a log. The write starts at an index and touches
// a block of sequences.
func SpanKey(log string, level int, block, index uint64) Key {
	name := append([]byte(log), 0, byte(level)) // a log's name has no zero byte
	return numbered(KindSpan, string(binary.BigEndian.AppendUint64(name, block)), index)
}

// SpanMarkKey is the key of the mark that says which leaves of a log have spans.
func SpanMarkKey(log string) Key { return numbered(KindSpan, log, 0) }

// MetaKey is the key of a named value outside all lanes.
func MetaKey(name string) Key { return appendName(nil, KindMeta, name) }

// ModuleKey is the key of the record of an uploaded module.
func ModuleKey(digest string) Key { return appendName(nil, KindModule, digest) }

// PieceKey is the key of a piece of an uploaded module's bytes.
func PieceKey(digest string, number uint64) Key { return numbered(KindPiece, digest, number) }

// SelectionKey is the key of the module selection of a filter.
func SelectionKey(filter string) Key { return appendName(nil, KindSelection, filter) }

// TextKey is the key of a text by its digest.
func TextKey(digest string) Key { return appendName(nil, KindText, digest) }

// TextsFrom returns the half-open range of the texts whose digest, in hexadecimal, starts with
// prefix.
func TextsFrom(prefix string) (from, to Key) {
	from = append(Key{byte(KindText)}, prefix...)
	return from, append(slices.Clone(from), 0xff)
}

// All returns the half-open range of all keys of a kind.
func All(kind Kind) (from, to Key) { return Key{byte(kind)}, Key{byte(kind) + 1} }

// AllOf returns the half-open range of a lane's numbered keys of a kind, from a number on.
func AllOf(kind Kind, lane string, from uint64) (first, end Key) {
	first = numbered(kind, lane, from)
	return first, append(numbered(kind, lane, math.MaxUint64), 0)
}

// Split returns the parts of a key. number is 0 for a key without one. ok is false if no key
// function made k.
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

// valid reports whether k is in the callbacks' key space, including the bounds of All.
func (k Key) valid() bool {
	return len(k) > 0 && k[0] >= byte(KindLane) && (k[0] < byte(kindEnd) || len(k) == 1 && k[0] == byte(kindEnd))
}

func numbered(kind Kind, lane string, number uint64) Key {
	return binary.BigEndian.AppendUint64(appendName(nil, kind, lane), number)
}

// A name ends with 0x00 0x01, and each zero byte in it becomes 0x00 0xff. So the keys of two
// names never mix.
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

// alsoKey is the key of the ordinal-th further provenance of an event.
func alsoKey(sequence uint64, ordinal int) []byte {
	return append(sequenceKey(spaceAlso, sequence), byte(ordinal))
}

// keySequence returns the sequence in one of the journal's own keys.
func keySequence(k []byte) uint64 {
	if len(k) < 9 {
		return 0
	}
	return binary.BigEndian.Uint64(k[1:9])
}
