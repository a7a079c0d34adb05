// Package objects is shared by the sinks that store records as objects under keys. It decides
// which records go into one object, what the object's key is, and which other objects exist.
//
//	{prefix}/dt=2006-01-02/hour=15/{journal}-{from}-{to}-{sha256:12}.ndjson.gz
//
// A key contains the digest of its content, so an existing object under a key has the same
// content.
package objects

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"auditrelay"
)

// The sink's own folders under its prefix.
const (
	ManifestFolder = "_manifests"
	ProofFolder    = "_proofs"
	ProbeFolder    = "_auditrelay"
	ReplayFolder   = "replay="
)

// The time on which a key's partition is based.
const (
	ByEvent    = "event"    // the events' own time
	ByReceived = "received" // the time of receipt, since the events' own time is missing, unreadable or too far off
)

// maxSegmentBytes limits a callback's, journal's or replay's name in a key, so that prefix and
// three names fit in the 1024 bytes that stores allow.
const maxSegmentBytes = 96

// BatchKey returns the key of an object with several records. The range is that of its own
// records, so that no two payloads of a chunk, or halves of a payload, have equal keys even if
// their content is equal. Numbers are padded so that a listing is in the journal's order.
func BatchKey(dir, journal string, sequences []uint64, digest, extension string) string {
	return fmt.Sprintf("%s%s-%012d-%012d-%s%s", dir, Segment(journal),
		sequences[0], sequences[len(sequences)-1]+1, digest[:12], extension)
}

// Segment turns a name that the operator or the relay chose into one path segment.
func Segment(s string) string {
	name := ReplaceUnsafe(s)
	if name == s && len(name) <= maxSegmentBytes && name != "" && name != "." && name != ".." {
		return name
	}
	sum := sha256.Sum256([]byte(s))
	return Cut(name, 64) + "!" + hex.EncodeToString(sum[:8])
}

// ReplaceUnsafe replaces characters that would start a folder or harm a listing by "_".
func ReplaceUnsafe(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '/' || r == ':' || r == '\\' || r == utf8.RuneError || unicode.IsControl(r) || r == '\uFFFE' || r == '\uFFFF' {
			return '_'
		}
		return r
	}, s)
}

// Cut shortens s to at most n bytes of complete characters.
func Cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// InCalendar reports whether t's year has four digits, like a key's date.
func InCalendar(t time.Time) bool {
	year := t.UTC().Year()
	return year >= 1 && year <= 9999
}

// Batching groups records into objects.
type Batching struct {
	// MaxAge and MaxAhead limit how far a record's own time may be before and after its
	// receipt. Beyond that the time of receipt is used.
	MaxAge, MaxAhead time.Duration
	// MaxBytes limits an object before compression. A larger record has its own object.
	MaxBytes int64
}

// Group has the records of one object, in order.
type Group struct {
	Folder  string // the hour's folder, ending in "/"
	By      string // ByEvent or ByReceived
	Records []auditrelay.Record
}

// Groups groups records by hour and size, with the hours in the order of their first
// appearance. It is pure.
func (b Batching) Groups(records []auditrelay.Record) []Group {
	type partition struct{ folder, by string }
	parts := map[partition][]auditrelay.Record{}
	var order []partition
	for _, r := range records {
		p := partition{}
		p.folder, p.by = b.partition(r)
		if parts[p] == nil {
			order = append(order, p)
		}
		parts[p] = append(parts[p], r)
	}
	var groups []Group
	for _, p := range order {
		records, start, size := parts[p], 0, int64(0)
		for i, r := range records {
			n := int64(len(r.Data)) + 1
			if i > start && size+n > b.MaxBytes {
				groups = append(groups, Group{p.folder, p.by, records[start:i]})
				start, size = i, 0
			}
			size += n
		}
		groups = append(groups, Group{p.folder, p.by, records[start:]})
	}
	return groups
}

// partition returns the folder of a record: the hour of its own time. It is the hour of receipt
// if the record has no time, or one so far off that the clock must be wrong.
func (b Batching) partition(r auditrelay.Record) (folder, by string) {
	usable := r.TimeFrom == auditrelay.TimeOfEvent || r.TimeFrom == auditrelay.TimeNaive
	// Compared as times, since a difference of many years overflows a Duration.
	if usable && InCalendar(r.Time) && !r.Time.Before(r.Received.Add(-b.MaxAge)) && !r.Time.After(r.Received.Add(b.MaxAhead)) {
		return hourFolder(r.Time), ByEvent
	}
	return hourFolder(r.Received), ByReceived
}

func hourFolder(t time.Time) string { return t.UTC().Format("dt=2006-01-02/hour=15/") }
