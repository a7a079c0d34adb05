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

// Digest is the keyed digest of a document: HMAC-SHA256 of its SHA-256, cut to 16 bytes.
// Equal documents have equal digests, so that what came in can be told from what went on.
// Earlier programs made the HMAC of the document itself.
type Digest [16]byte

// Digester makes digests under one key. It belongs to one goroutine at a time and
// allocates nothing.
type Digester struct {
	mac     hash.Hash
	in, sum [sha256.Size]byte
}

// NewDigester returns a Digester for the key.
func NewDigester(key []byte) *Digester { return &Digester{mac: hmac.New(sha256.New, key)} }

// Of returns the digest of the document that has this SHA-256.
func (d *Digester) Of(sum [sha256.Size]byte) Digest {
	d.mac.Reset()
	d.in = sum // a copy of ours, so that nothing is allocated
	d.mac.Write(d.in[:])
	return Digest(d.mac.Sum(d.sum[:0])[:len(Digest{})])
}

// Visit is what one filter did with an event.
type Visit struct {
	Filter string
	filter.Description
	Touched []filter.Touch // nothing where the filter failed or only looked
}

// Trail is the visits of an event, in order. Events that went the same way share
// one; it is immutable.
type Trail []Visit

// Receipt is what is kept of one event on one callback.
type Receipt struct {
	Sequence uint64
	Outcome  auditrelay.Outcome // at the seal; Delivered: it was to be delivered
	Cause    auditrelay.Cause
	Filter   string // that decided or failed
	Reason   string
	Emitted  int
	Trail    Trail

	// Input is the digest of the event as accepted, Output that of the document
	// that goes out; zero where nothing was judged, or nothing goes out.
	Input, Output Digest
}

// AppendStatement appends all of a receipt that its commitment is of, but the trail: in
// its place stands trail, the SHA-256 of what AppendTrail makes. The layout is in
// docs/reference/proofs.md.
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

// maxTouches is how many kinds of edits one visit tells apart, and maxText how
// long a text of a visit may be, in bytes.
const (
	maxTouches = 32
	maxText    = 200
)

// bounded keeps what a filter says of itself short.
func bounded(s string) string {
	if len(s) > maxText {
		return s[:maxText]
	}
	return s
}

// clone copies a visit, bounded.
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

// Tracker makes the trails of one worker's events. Most events go one of a few
// ways: what is known already is found without an allocation. It belongs to one
// goroutine at a time.
type Tracker struct {
	key   []byte
	known map[string]Trail
}

// maxKnown bounds how many ways a Tracker remembers.
const maxKnown = 4096

// Trail returns the trail of an event with these visits. It keeps nothing of them.
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

// appendVisit appends what tells one visit from another.
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
