package journal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"sync"
	"time"
)

// Encryption has what is stored of events encrypted under keys that each serve for
// a period of time, so that destroying one erases its period. The zero value is off.
//
// The period keys stand in the keyring, wrapped under a key that is derived from Key.
type Encryption struct {
	// Key is the master key: at least 32 bytes, from a source that cannot be guessed.
	// Empty: nothing is encrypted, and a journal that holds what is cannot be opened.
	Key []byte
	// Previous is the master key before Key. A keyring that Key does not open and
	// Previous does is wrapped anew under Key.
	Previous []byte
	// Period is how long one key serves; 0 is 24 hours. Periods end at multiples of it
	// in UTC. Each takes some 300 bytes of the keyring, which is written whole.
	Period time.Duration
	// Off: what is encrypted stays readable, and what is new is not encrypted.
	Off bool
}

const (
	defaultPeriod  = 24 * time.Hour
	minMasterBytes = 32
)

func (e *Encryption) check() error {
	for _, key := range [][]byte{e.Key, e.Previous} {
		if len(key) > 0 && len(key) < minMasterBytes {
			return fmt.Errorf("the master key has %d bytes, at least %d are needed", len(key), minMasterBytes)
		}
	}
	if e.Period < 0 {
		return fmt.Errorf("a period of %v", e.Period)
	}
	if len(e.Key) == 0 && len(e.Previous) > 0 {
		return fmt.Errorf("a previous master key is given, and no key")
	}
	return nil
}

func (e *Encryption) period() time.Duration {
	if e.Period == 0 {
		return defaultPeriod
	}
	return e.Period
}

// encrypts reports whether new records are encrypted.
func (e *Encryption) encrypts() bool { return len(e.Key) > 0 && !e.Off }

// wrapping derives from a master key the one that wraps this keyring's keys.
func wrapping(master, salt []byte, journal string) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, master, salt, "auditrelay keyring 1 "+journal, periodKeyBytes)
	if err != nil {
		return nil, err
	}
	return newAEAD(key)
}

const periodKeyBytes = 32

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// nonces never gives the same nonce twice. A counter alone would, under one key: what
// a crash takes back is counted once more, and a restored backup counts beside its
// original. So the counter stands behind 64 random bits that are drawn anew by every
// Open, and when the counter is used up. That two of n draws under one period's key
// meet has a probability of n²/2^65: with a restart every second of a day, 2^-32.
// Unlike 96 random bits it gets no worse with the number of records.
type nonces struct {
	mu    sync.Mutex
	drawn bool
	next  [12]byte
}

const nonceBytes = 12

func (n *nonces) append(dst []byte) []byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	count := binary.BigEndian.Uint32(n.next[8:])
	if !n.drawn || count == math.MaxUint32 {
		rand.Read(n.next[:8]) // never fails
		n.drawn, count = true, 0
	}
	binary.BigEndian.PutUint32(n.next[8:], count+1)
	return append(dst, n.next[:]...)
}

// A box is number(uvarint) nonce(12) ciphertext tag(16): something encrypted under the
// key of the period with that number. What it is bound to, its place in the
// database above all, is authenticated along with it.

func boxSize(number uint64, plain int) int {
	return len(binary.AppendUvarint(nil, number)) + nonceBytes + plain + 16
}

// maxBoxOverhead is by how much a box is larger than what is in it, at most.
const maxBoxOverhead = binary.MaxVarintLen64 + nonceBytes + 16

func (j *Journal) appendBox(dst []byte, p *period, bound, plain []byte) []byte {
	dst = binary.AppendUvarint(dst, p.Number)
	dst = j.nonces.append(dst)
	return p.aead.Seal(dst, dst[len(dst)-nonceBytes:], plain, bound)
}

// boxPeriod returns the number of the period under which something is encrypted, and
// the rest of the box.
func boxPeriod(box []byte) (number uint64, rest []byte, err error) {
	r := reader{b: box}
	number = r.uvarint()
	if r.err != nil || len(r.b) < nonceBytes+16 {
		return 0, nil, errDamaged
	}
	return number, r.b, nil
}

// openBox appends what is in a box to dst. *ErasedError where the key is destroyed.
func (j *Journal) openBox(dst, bound, box []byte) ([]byte, error) {
	number, rest, err := boxPeriod(box)
	if err != nil {
		return dst, err
	}
	p, err := j.keyring.Load().numbered(number)
	if err != nil {
		return dst, err
	}
	if p.aead == nil {
		return dst, errDamaged
	}
	out, err := p.aead.Open(dst, rest[:nonceBytes], rest[nonceBytes:], bound)
	if err != nil {
		return dst, fmt.Errorf("%w: it is not what was encrypted for this place", errDamaged)
	}
	return out, nil
}
