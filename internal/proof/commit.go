package proof

import "crypto/sha256"

// Salt makes a commitment reveal nothing to anyone who does not have the salt.
type Salt [16]byte

// Commit returns the commitment to a body: SHA-256 of the salt and of the body's SHA-256.
func Commit(salt Salt, body [sha256.Size]byte) Hash {
	var b [len(salt) + sha256.Size]byte
	copy(b[:], salt[:])
	copy(b[len(salt):], body[:])
	return sha256.Sum256(b[:])
}
