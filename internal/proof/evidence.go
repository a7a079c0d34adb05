package proof

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math"
)

// Evidence is the extra data of a proof file for one event's outcome: everything that the log
// entry commits to, and the proof that the event was accepted. The extra data itself is not
// authenticated; a verifier must check it against the entry in the log.
type Evidence struct {
	Entry []byte // of the outcome

	// Of the receipt. Empty if there is none or it is not disclosed.
	ReceiptSalt Salt
	Statement   []byte // the receipt without its trail
	Trail       []byte

	// Of the accepted event. Empty if it is in no log.
	Accepted       []byte // the entry
	AcceptedSalt   Salt
	Head           []byte // the part of the committed body before the event's data
	AcceptedIndex  uint64
	AcceptedHashes []Hash
	AcceptedHead   []byte // the signed checkpoint

	// Of the last possible delivery of the event, in the log of the outcome and under its
	// checkpoint: something else may have been delivered as well. Empty if the log states none.
	Possible       []byte // the entry
	PossibleIndex  uint64
	PossibleHashes []Hash
}

// Versions of evidence. The second appends the fields of a possible delivery.
const (
	evidenceVersion  = 1
	evidencePossible = 2

	evidenceFields = 10
	possibleFields = 3
)

// Append appends the evidence to dst.
func (e *Evidence) Append(dst []byte) []byte {
	version := byte(evidenceVersion)
	fields := [][]byte{e.Entry, e.ReceiptSalt[:], e.Statement, e.Trail, e.Accepted, e.AcceptedSalt[:], e.Head,
		be.AppendUint64(nil, e.AcceptedIndex), joined(e.AcceptedHashes), e.AcceptedHead}
	if len(e.Possible) > 0 {
		version = evidencePossible
		fields = append(fields, e.Possible, be.AppendUint64(nil, e.PossibleIndex), joined(e.PossibleHashes))
	}
	dst = append(dst, version)
	for _, field := range fields {
		dst = append(be.AppendUint32(dst, uint32(len(field))), field...)
	}
	return dst
}

func joined(hashes []Hash) []byte {
	out := make([]byte, 0, len(hashes)*sha256.Size)
	for _, h := range hashes {
		out = append(out, h[:]...)
	}
	return out
}

// parted is the inverse of joined. It accepts at most one hash for each level of a tree.
func parted(text []byte) (hashes []Hash, ok bool) {
	if len(text)%sha256.Size != 0 || len(text) > 64*sha256.Size {
		return nil, false
	}
	for ; len(text) > 0; text = text[sha256.Size:] {
		hashes = append(hashes, Hash(text[:sha256.Size]))
	}
	return hashes, true
}

var errEvidence = errors.New("malformed evidence in the proof")

// ParseEvidence is the inverse of Append.
func ParseEvidence(extra []byte) (*Evidence, error) {
	r := reader{b: extra}
	fields := make([][]byte, evidenceFields)
	switch r.byte() {
	case evidenceVersion:
	case evidencePossible:
		fields = make([][]byte, evidenceFields+possibleFields)
	default:
		return nil, errEvidence
	}
	for i := range fields {
		n := r.uint32()
		if n > math.MaxInt32 {
			return nil, errEvidence
		}
		fields[i] = r.take(int(n))
	}
	e := &Evidence{Entry: fields[0], Statement: fields[2], Trail: fields[3], Accepted: fields[4], Head: fields[6], AcceptedHead: fields[9]}
	if r.failed || len(r.b) > 0 || copy(e.ReceiptSalt[:], fields[1]) != len(fields[1]) || len(fields[1]) != len(e.ReceiptSalt) ||
		copy(e.AcceptedSalt[:], fields[5]) != len(fields[5]) || len(fields[5]) != len(e.AcceptedSalt) ||
		len(fields[7]) != 8 {
		return nil, errEvidence
	}
	e.AcceptedIndex = be.Uint64(fields[7])
	var ok bool
	if e.AcceptedHashes, ok = parted(fields[8]); !ok {
		return nil, errEvidence
	}
	if possible := fields[evidenceFields:]; len(possible) > 0 {
		if len(possible[0]) == 0 || len(possible[1]) != 8 {
			return nil, errEvidence
		}
		e.Possible, e.PossibleIndex = possible[0], be.Uint64(possible[1])
		if e.PossibleHashes, ok = parted(possible[2]); !ok {
			return nil, errEvidence
		}
	}
	return e, nil
}

// EventHead is the part before the event's data in the body that its leaf commits to.
type EventHead struct {
	Namespace, ID              string
	Action                     string
	Source, Principal, Address string
}

// timeFromOwn reports whether a head has the event's own time.
func timeFromOwn(flags byte) bool {
	from := flags & 0x0f
	return from != 2 && from != 3 // auditrelay.TimeMissing, TimeUnreadable
}

// SplitBody returns the part of an event's body before the data.
func SplitBody(body []byte) (head []byte, err error) {
	if len(body) == 0 {
		return nil, errEvidence
	}
	n, used := binary.Uvarint(body[1:])
	if used <= 0 || n > uint64(len(body)-1-used) {
		return nil, errEvidence
	}
	return body[:1+used+int(n)], nil
}

// ParseHead parses the identity in the result of SplitBody.
func ParseHead(head []byte) (EventHead, error) {
	whole, err := SplitBody(head)
	if err != nil || len(whole) != len(head) {
		return EventHead{}, errEvidence
	}
	_, used := binary.Uvarint(head[1:])
	r := textReader{b: head[1+used:]}
	h := EventHead{Namespace: r.text(), ID: r.text()}
	if flags := r.byte(); timeFromOwn(flags) {
		r.varint()
		r.uvarint()
	}
	h.Action, h.Source, h.Principal, h.Address = r.text(), r.text(), r.text(), r.text()
	if r.failed {
		return EventHead{}, errEvidence
	}
	return h, nil
}

// ReceiptText is the part of a receipt that its commitment covers.
type ReceiptText struct {
	Outcome               byte
	Cause, Filter, Reason string
	Emitted               uint64
	Config                string
	Filters               []FilterText
}

// FilterText describes what one filter did.
type FilterText struct {
	Name, Kind, Digest, Version string
	Edits                       []EditText
}

// EditText counts edits of one kind.
type EditText struct {
	Path, Operation string
	Count           uint64
}

// ParseReceipt parses a receipt's statement and its trail. It fails unless they belong
// together.
func ParseReceipt(statement, trail []byte) (ReceiptText, error) {
	r := textReader{b: statement}
	if r.byte() != 1 {
		return ReceiptText{}, errEvidence
	}
	out := ReceiptText{Outcome: r.byte(), Cause: r.text(), Filter: r.text(), Reason: r.text(), Emitted: r.uvarint()}
	r.take(32) // the keyed digests, which are useless without the key
	sum := sha256.Sum256(trail)
	if string(r.take(sha256.Size)) != string(sum[:]) || r.failed || len(r.b) > 0 {
		return ReceiptText{}, errEvidence
	}
	r = textReader{b: trail}
	out.Config = r.text()
	for n := r.count(5); n > 0; n-- {
		f := FilterText{Name: r.text(), Kind: r.text(), Digest: r.text(), Version: r.text()}
		for n := r.count(3); n > 0; n-- {
			f.Edits = append(f.Edits, EditText{Path: r.text(), Operation: r.text(), Count: r.uvarint()})
		}
		out.Filters = append(out.Filters, f)
	}
	if r.failed || len(r.b) > 0 {
		return ReceiptText{}, errEvidence
	}
	return out, nil
}

// textReader reads texts and numbers with uvarint lengths.
type textReader struct {
	b      []byte
	failed bool
}

func (r *textReader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.b, r.failed = nil, true
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *textReader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *textReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.b, r.failed = nil, true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *textReader) varint() {
	if _, n := binary.Varint(r.b); n > 0 {
		r.b = r.b[n:]
		return
	}
	r.b, r.failed = nil, true
}

func (r *textReader) text() string { return string(r.take(r.uvarint())) }

func (r *textReader) count(size uint64) uint64 {
	n := r.uvarint()
	if n > uint64(len(r.b))/size {
		r.failed = true
		return 0
	}
	return n
}
