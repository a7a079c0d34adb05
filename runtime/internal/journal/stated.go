package journal

import (
	"encoding/binary"
	"fmt"
	"slices"

	"auditrelay/internal/proof"
)

// The value under EntryKey is
//
//	uvarint(the greatest sequence) entries
//
// or, if the entries are stored under a StatementKey,
//
//	uvarint(the greatest sequence) 0xffff version(1) uvarint(how many) key
//
// No entry is that long, so a program that does not know the second form reports damage.

const statedVersion = 1

var statedMark = [2]byte{0xff, 0xff}

// statedAt says where the entries of one write are. key is nil if they are in the value.
type statedAt struct {
	last, count uint64
	key         Key
	entries     [][]byte
}

func (s statedAt) record() []byte {
	b := binary.AppendUvarint(make([]byte, 0, 2*binary.MaxVarintLen64+3+len(s.key)), s.last)
	b = append(append(b, statedMark[:]...), statedVersion)
	return append(binary.AppendUvarint(b, s.count), s.key...)
}

// parseKept parses the value under an EntryKey. The result, except key, refers to v.
func parseKept(v []byte) (s statedAt, err error) {
	last, n := binary.Uvarint(v)
	if n <= 0 {
		return s, errDamaged
	}
	s.last, v = last, v[n:]
	if len(v) < len(statedMark) || [2]byte(v) != statedMark {
		if s.entries, err = proof.SplitEntries(v); err != nil {
			return s, errDamaged
		}
		s.count = uint64(len(s.entries))
		return s, nil
	}
	if v = v[len(statedMark):]; len(v) == 0 || v[0] != statedVersion {
		return s, errDamaged
	}
	count, n := binary.Uvarint(v[1:])
	if n <= 0 {
		return s, errDamaged
	}
	s.count, s.key = count, slices.Clone(Key(v[1+n:]))
	if kind, _, _, ok := s.key.Split(); !ok || kind != KindStatement {
		return s, errDamaged
	}
	return s, nil
}

// splitEntries returns the entries of the value v under k. There are none if they were pruned
// since v was read. It returns ErrErased if their period's key was destroyed.
func (j *Journal) splitEntries(k Key, v []byte) ([][]byte, error) {
	at, err := parseKept(v)
	if err != nil || at.key == nil {
		return at.entries, err
	}
	value, ok, err := j.Get(at.key)
	if err != nil {
		return nil, err
	}
	if !ok {
		if _, still, err := j.Get(k); err != nil || !still {
			return nil, err
		}
		return nil, fmt.Errorf("the entries of a log are missing: %w", ErrCorrupt)
	}
	entries, err := proof.SplitEntries(value)
	if err != nil || uint64(len(entries)) != at.count {
		return nil, fmt.Errorf("the entries of a log are not those that it was made of: %w", ErrCorrupt)
	}
	return entries, nil
}

// Lends reports whether a log may refer to the value under k. If not, the log copies it. Values
// in a blob file are copied, since the file is removed with its values. Values on a server are
// copied, since each reference costs a reader a query, and older programs of the same fleet do
// not know references.
func (j *Journal) Lends(k Key) bool {
	if j.shared != nil {
		return false
	}
	if j.blobs == nil {
		return true
	}
	j.blobs.mu.Lock()
	defer j.blobs.mu.Unlock()
	_, ok := j.blobs.live[string(k)]
	return !ok
}
