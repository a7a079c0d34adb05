package proof

import "crypto/sha256"

// Salt makes a commitment say nothing to who does not have it.
type Salt [16]byte

// Commit returns the commitment to a body: SHA-256 of the salt and of the body's
// SHA-256.
func Commit(salt Salt, body [sha256.Size]byte) Hash {
	var b [len(salt) + sha256.Size]byte
	copy(b[:], salt[:])
	copy(b[len(salt):], body[:])
	return sha256.Sum256(b[:])
}
