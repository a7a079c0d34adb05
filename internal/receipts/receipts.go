// Package receipts records, for every event and callback, what was done to it: the
// filters with their versions, what they edited, the outcome, and keyed digests of
// input and output. The receipts of a chunk are one compressed frame.
//
// A receipt contains nothing of the event: no key, no value, not even its id, which
// the journal has by its sequence. The digests are keyed with the relay's own key and
// useless without it.
//
// # On disk
//
// A frame ("uvar" is an unsigned varint):
//
//	+-------------+----------------+----------+----------+----------+-------------+--------+
//	| version (1) | CRC-32C of the | time, ms | first    | last     | size of the | body   |
//	|             | rest (4)       | (uvar)   | sequence | sequence | body (uvar) | (zstd) |
//	+-------------+----------------+----------+----------+----------+-------------+--------+
//
// The body refers to its own tables, so that events that went the same way share an
// entry:
//
//	+-------+---------------+--------+------+--------+---------+
//	| texts | configuration | visits | ways | events | digests |
//	+-------+---------------+--------+------+--------+---------+
//	  visits: filter, kind, digest, version, edits   (indices of texts)
//	  ways:   outcome, cause, filter, reason, visits
//	  events: distance to the previous sequence, way
package receipts

import (
	"crypto/hmac"
	"crypto/sha256"
	"hash"

	"auditrelay"
	"auditrelay/filter"
)

// Digest is the keyed digest of a document: HMAC-SHA256 of its SHA-256, truncated to 16 bytes.
// Equal documents have equal digests, so the digests show whether the output differs from the
// input. Earlier programs computed the HMAC of the document itself.
type Digest [16]byte

// Digester computes digests with one key. Only one goroutine at a time may use it. It allocates
// nothing.
type Digester struct {
	mac     hash.Hash
	in, sum [sha256.Size]byte
}

// NewDigester returns a Digester for the key.
func NewDigester(key []byte) *Digester { return &Digester{mac: hmac.New(sha256.New, key)} }

// Of returns the digest of the document with this SHA-256.
func (d *Digester) Of(sum [sha256.Size]byte) Digest {
	d.mac.Reset()
	d.in = sum // copied into our own memory to avoid an allocation
	d.mac.Write(d.in[:])
	return Digest(d.mac.Sum(d.sum[:0])[:len(Digest{})])
}

// Visit is what one filter did with an event.
type Visit struct {
	Filter string
	filter.Description
	Touched []filter.Touch // empty if the filter failed or only read
}

// Trail is the visits of an event in order. It is immutable, and events with equal visits share
// one.
type Trail []Visit

// Receipt is the record of one event on one callback.
type Receipt struct {
	Sequence uint64
	Outcome  auditrelay.Outcome // when the chunk was sealed; Delivered: it was to be delivered
	Cause    auditrelay.Cause
	Filter   string // the filter that decided or failed
	Reason   string
	Emitted  int
	Trail    Trail

	// Input is the digest of the event as accepted, Output that of the outgoing document. They
	// are zero if nothing was filtered or nothing goes out.
	Input, Output Digest
}

// AppendStatement appends everything that a receipt's commitment covers except the trail.
// trail, the SHA-256 of AppendTrail's output, takes its place. docs/reference/proofs.md
// specifies the layout.
func (r *Receipt) AppendStatement(dst []byte, trail [sha256.Size]byte) []byte {
	dst = append(dst, statementVersion, byte(r.Outcome))
	dst = appendText(dst, string(r.Cause))
	dst = appendText(dst, r.Filter)
	dst = appendText(dst, r.Reason)
	dst = appendUvarint(dst, uint64(max(r.Emitted, 0)))
	dst = append(dst, r.Input[:]...)
	dst = append(dst, r.Output[:]...)
	return append(dst, trail[:]...)
}

const statementVersion = 1

// AppendTrail appends the digest of a callback's configuration and an event's visits.
func AppendTrail(dst []byte, config string, t Trail) []byte {
	dst = appendUvarint(appendText(dst, config), uint64(len(t)))
	for i := range t {
		dst = appendVisit(dst, &t[i])
	}
	return dst
}

// maxTouches limits how many kinds of edits one visit distinguishes, maxText the length in
// bytes of a text of a visit.
const (
	maxTouches = 32
	maxText    = 200
)

// bounded truncates a text from a filter.
func bounded(s string) string {
	if len(s) > maxText {
		return s[:maxText]
	}
	return s
}

// clone copies a visit with its texts truncated.
func (v *Visit) clone() Visit {
	out := Visit{Filter: v.Filter, Description: filter.Description{Kind: bounded(v.Kind), Digest: bounded(v.Digest), Version: bounded(v.Version)}}
	for i, t := range v.Touched {
		if i == maxTouches {
			rest := filter.Touch{Path: "**", Operation: "edit"}
			for _, t := range v.Touched[i:] {
				rest.Count += t.Count
			}
			out.Touched = append(out.Touched, rest)
			break
		}
		out.Touched = append(out.Touched, filter.Touch{Path: bounded(t.Path), Operation: bounded(t.Operation), Count: max(t.Count, 0)})
	}
	return out
}

// Tracker makes the trails of one worker's events. Most events share a few trails, and finding
// a known trail allocates nothing. Only one goroutine at a time may use it.
type Tracker struct {
	key   []byte
	known map[string]Trail
}

// maxKnown limits how many trails a Tracker stores.
const maxKnown = 4096

// Trail returns the trail of an event with these visits. It does not keep visits.
func (t *Tracker) Trail(visits []Visit) Trail {
	if len(visits) == 0 {
		return nil
	}
	t.key = t.key[:0]
	for i := range visits {
		t.key = appendVisit(t.key, &visits[i])
	}
	if trail, ok := t.known[string(t.key)]; ok {
		return trail
	}
	trail := make(Trail, 0, len(visits))
	for i := range visits {
		trail = append(trail, visits[i].clone())
	}
	if t.known == nil || len(t.known) >= maxKnown {
		t.known = map[string]Trail{}
	}
	t.known[string(t.key)] = trail
	return trail
}

// appendVisit appends a visit's identifying data.
func appendVisit(dst []byte, v *Visit) []byte {
	dst = appendText(dst, v.Filter)
	dst = appendText(dst, v.Kind)
	dst = appendText(dst, v.Digest)
	dst = appendText(dst, v.Version)
	dst = appendUvarint(dst, uint64(len(v.Touched)))
	for _, t := range v.Touched {
		dst = appendText(dst, t.Path)
		dst = appendText(dst, t.Operation)
		dst = appendUvarint(dst, uint64(max(t.Count, 0)))
	}
	return dst
}
