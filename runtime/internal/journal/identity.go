package journal

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
)

// Identity distinguishes journals. ID is random and is created with the journal. Incarnation is
// random too, and every Restore creates a new one, so that a restored backup never silently
// reuses a position.
type Identity struct {
	ID, Incarnation string // hexadecimal
}

// String returns both in a form that an object key may contain.
func (i Identity) String() string { return i.ID + "." + i.Incarnation }

// identity is an Identity with the secret key of the identity hashes.
type identity struct {
	Identity
	key [16]byte
}

func newIdentity() Identity { return Identity{ID: randomHex(), Incarnation: randomHex()} }

func randomHex() string {
	var b [8]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// hash is a keyed hash, so that nobody outside can make two ids collide.
func (i *identity) hash(namespace, id string) uint64 {
	b := make([]byte, 0, 128)
	b = append(b, i.key[:]...)
	b = appendString(b, namespace)
	b = append(b, id...)
	sum := sha256.Sum256(b)
	return binary.BigEndian.Uint64(sum[:])
}

// Identity returns the journal's identity.
func (j *Journal) Identity() Identity { return j.id.Identity }

const identityVersion = 1

func (i *identity) record() []byte {
	b := []byte{identityVersion}
	b = appendString(b, i.ID)
	b = appendString(b, i.Incarnation)
	return sealRecord(keyIdentity, append(b, i.key[:]...))
}

func decodeIdentity(record []byte) (identity, error) {
	r, err := openRecord(keyIdentity, record)
	if err != nil {
		return identity{}, err
	}
	if r.byte() != identityVersion {
		r.fail()
	}
	i := identity{Identity: Identity{ID: string(r.bytes()), Incarnation: string(r.bytes())}}
	copy(i.key[:], r.take(16))
	if r.err != nil || len(r.b) > 0 {
		return identity{}, errDamaged
	}
	return i, nil
}

// loadIdentity reads the identity, or writes it into a new journal.
func (j *Journal) loadIdentity(expected Identity, least *anchor) (identity, error) {
	record, closer, err := j.store.Get(keyIdentity)
	if errors.Is(err, ErrAbsent) {
		if least.commits > 0 {
			return identity{}, &CorruptError{From: 1, To: least.next, recoverable: true, Err: fmt.Errorf("the database is empty")}
		}
		i := identity{Identity: expected}
		rand.Read(i.key[:])
		b := j.store.Batch(0)
		set(b, keyIdentity, i.record())
		return i, j.apply(b)
	}
	if err != nil {
		return identity{}, j.damaged(0, 0, err)
	}
	defer closer.Close()
	i, err := decodeIdentity(record)
	if err != nil {
		return i, &CorruptError{Err: fmt.Errorf("identity: %w", err)}
	}
	if i.Identity != expected {
		return i, &CorruptError{Err: fmt.Errorf("%s belongs to journal %s, the database to %s", markerName, expected, i.Identity)}
	}
	return i, nil
}
