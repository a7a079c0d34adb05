package proof

import (
	"crypto/sha256"

	"golang.org/x/mod/sumdb/tlog"
)

// Hash is a hash of the tree.
type Hash = tlog.Hash

// LeafHash returns the hash of a leaf: SHA-256 of a zero byte and the entry. It
// allocates nothing for entries of ordinary size.
func LeafHash(entry []byte) Hash {
	var small [OutcomeBytes + 1]byte
	if len(entry) < len(small) {
		n := copy(small[1:], entry)
		return sha256.Sum256(small[:n+1])
	}
	return tlog.RecordHash(entry)
}

// NodeHash returns the hash of a node: SHA-256 of a byte 1 and its two children.
func NodeHash(left, right Hash) Hash {
	var b [1 + 2*sha256.Size]byte
	b[0] = 1
	copy(b[1:], left[:])
	copy(b[1+sha256.Size:], right[:])
	return sha256.Sum256(b[:])
}
