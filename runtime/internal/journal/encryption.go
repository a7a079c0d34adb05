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

// Encryption encrypts the stored data of events. Each key is used for one period of time, so
// that destroying a key erases its period. The zero value is off.
//
// The keyring stores the period keys, wrapped with a key that is derived from Key.
type Encryption struct {
	// Key is the master key: at least 32 bytes from an unpredictable source. If it is empty,
	// nothing is encrypted, and a journal with encrypted data cannot be opened.
	Key []byte
	// Previous is the master key that Key replaces. If Previous opens the keyring and Key does
	// not, Open wraps the keyring again with Key.
	Previous []byte
	// Period is how long one key is used; 0 means 24 hours. Periods end at multiples of it in
	// UTC. Each takes about 300 bytes of the keyring, which is always written as a whole.
	Period time.Duration
	// Off: encrypted data stays readable, and new data is not encrypted.
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

// wrapping derives from a master key the key that wraps this keyring's keys.
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

// nonces never returns the same nonce twice. A plain counter would repeat nonces under one key:
// after a crash it counts lost numbers again, and a restored backup counts in parallel to its
// original. So each Open draws 64 random bits for the counter, and draws again when the counter
// is used up. Two of n draws under one period's key are equal with a probability of n²/2^65;
// with a restart every second of a day that is 2^-32. Unlike with 96 random bits, the number of
// records does not matter.
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

// A box is number(uvarint) nonce(12) ciphertext tag(16): data encrypted with the key of the
// period with that number. The additional data, mainly its key in the database, is
// authenticated too.

func boxSize(number uint64, plain int) int {
	return len(binary.AppendUvarint(nil, number)) + nonceBytes + plain + 16
}

// maxBoxOverhead is the maximum difference between the sizes of a box and its content.
const maxBoxOverhead = binary.MaxVarintLen64 + nonceBytes + 16

func (j *Journal) appendBox(dst []byte, p *period, bound, plain []byte) []byte {
	dst = binary.AppendUvarint(dst, p.Number)
	dst = j.nonces.append(dst)
	return p.aead.Seal(dst, dst[len(dst)-nonceBytes:], plain, bound)
}

// boxPeriod returns the number of a box's period, and the rest of the box.
func boxPeriod(box []byte) (number uint64, rest []byte, err error) {
	r := reader{b: box}
	number = r.uvarint()
	if r.err != nil || len(r.b) < nonceBytes+16 {
		return 0, nil, errDamaged
	}
	return number, r.b, nil
}

// openBox appends the content of a box to dst. It returns *ErasedError if the key was
// destroyed.
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
