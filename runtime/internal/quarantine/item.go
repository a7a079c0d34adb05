// Package quarantine stores invalid input whose sender cannot see an error. It keeps the whole
// input with the reason in the journal's database, until an operator replays or deletes it.
//
// # On disk
//
// There are three kinds of values, by journal.QuarantineKey. Each starts with a CRC-32C over
// key and rest ("uvar" and "var" are varints):
//
//	item N    the input
//	+---------+-------------+-----------+------------+-------------+-------------+
//	| crc (4) | version (1) | flags (1) | first time | size (uvar) | digest (16) | ...
//	|         |             | 1: no data| (var, ns)  |             | keyed       |
//	+---------+-------------+-----------+------------+-------------+-------------+
//	... source, principal, address, reason, detail [, namespace] (each: length, bytes), data
//
//	again N   the repetitions of the same input
//	+---------+--------------+--------------------+
//	| crc (4) | times (uvar) | last time (var, ns)|
//	+---------+--------------+--------------------+
//
//	head 0    the next number
//	+---------+-------------+
//	| crc (4) | next (uvar) |
//	+---------+-------------+
//
// With encryption an item's value is encrypted in the period in which it arrived; see package
// journal.
package quarantine

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"

	"auditrelay"
	"auditrelay/runtime/internal/journal"
)

// Item is one item in quarantine.
type Item struct {
	Number uint64 // unique, from 1, never reused

	First, Last time.Time // when the input first and last arrived
	Times       uint64    // number of times that the input arrived

	Provenance auditrelay.Provenance
	Namespace  string // namespace of its events; empty: the default one
	Reason     string
	Detail     string   // without event data
	Size       int64    // size of the input in bytes
	Digest     [16]byte // keyed digest of reason, source and input

	// Bare: only the digest is stored, without Data.
	Bare bool
	Data []byte

	stored int // size of the record
}

// The kinds of values under journal.QuarantineKey, by number.
const (
	whatItem  = "item"  // the items
	whatAgain = "again" // the repetitions of an item
	whatHead  = "head"  // number 0: the number of the next item
)

// An item's record is
//
//	crc(4) version(1) flags(1) first(varint, Unix ns) size(uvarint) digest(16)
//	source principal address reason detail [namespace] (each: length, bytes) data
//
// The crc is over the rest and the key. Version 2 has the namespace. An item without one has
// version 1.
const (
	itemVersion      = 1
	namespaceVersion = 2
	flagBare         = 1
)

// texts are the item's texts, in the order of its record.
func (it *Item) texts(version byte) []*string {
	all := []*string{&it.Provenance.Source, &it.Provenance.Principal, &it.Provenance.Address, &it.Reason, &it.Detail}
	if version == namespaceVersion {
		all = append(all, &it.Namespace)
	}
	return all
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seal and open encode and decode all text that a sender wrote; no other code does. If the
// journal encrypts events, it encrypts this too, in the period in which the item arrived.
func seal(key journal.Key, it *Item) []byte {
	b := make([]byte, 4, 128+len(it.Detail)+len(it.Data))
	flags := byte(0)
	if it.Bare {
		flags |= flagBare
	}
	version := byte(itemVersion)
	if it.Namespace != "" {
		version = namespaceVersion
	}
	b = append(b, version, flags)
	b = binary.AppendVarint(b, it.First.UnixNano())
	b = binary.AppendUvarint(b, uint64(it.Size))
	b = append(b, it.Digest[:]...)
	for _, s := range it.texts(version) {
		b = binary.AppendUvarint(b, uint64(len(*s)))
		b = append(b, *s...)
	}
	b = append(b, it.Data...)
	binary.BigEndian.PutUint32(b, sum(key, b[4:]))
	return b
}

// open decodes an item's record. Data is part of value.
func open(key journal.Key, value []byte) (Item, error) {
	_, _, number, ok := key.Split()
	if !ok || len(value) < 6 || binary.BigEndian.Uint32(value) != sum(key, value[4:]) {
		return Item{}, damaged(number)
	}
	if value[4] != itemVersion && value[4] != namespaceVersion {
		return Item{}, fmt.Errorf("item %d in quarantine has format %d, expected %d; use the program that wrote it", number, value[4], namespaceVersion)
	}
	r := reader{b: value[6:]}
	it := Item{Number: number, Bare: value[5]&flagBare != 0, stored: len(value)}
	it.First = time.Unix(0, r.varint()).UTC()
	it.Size = int64(r.uvarint())
	copy(it.Digest[:], r.take(uint64(len(it.Digest))))
	for _, s := range it.texts(value[4]) {
		*s = string(r.take(r.uvarint()))
	}
	if r.failed {
		return Item{}, damaged(number)
	}
	it.Last, it.Times = it.First, 1
	if !it.Bare {
		it.Data = r.b
	}
	return it, nil
}

func damaged(number uint64) error {
	return fmt.Errorf("item %d in quarantine is damaged: %w", number, journal.ErrCorrupt)
}

func sum(key journal.Key, body []byte) uint32 {
	return crc32.Update(crc32.Checksum(body, castagnoli), castagnoli, key)
}

// again counts the repetitions of an item.
type again struct {
	times uint64
	last  time.Time
}

func (a again) record(key journal.Key) []byte {
	b := binary.AppendUvarint(make([]byte, 4, 24), a.times)
	b = binary.AppendVarint(b, a.last.UnixNano())
	binary.BigEndian.PutUint32(b, sum(key, b[4:]))
	return b
}

func decodeAgain(key journal.Key, value []byte) (again, error) {
	_, _, number, _ := key.Split()
	if len(value) < 4 || binary.BigEndian.Uint32(value) != sum(key, value[4:]) {
		return again{}, damaged(number)
	}
	r := reader{b: value[4:]}
	a := again{times: r.uvarint(), last: time.Unix(0, r.varint()).UTC()}
	if r.failed {
		return again{}, damaged(number)
	}
	return a, nil
}

// reader parses a record. After the first error it returns zero values.
type reader struct {
	b      []byte
	failed bool
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.b, r.failed = nil, true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.b, r.failed = nil, true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.b, r.failed = nil, true
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}
