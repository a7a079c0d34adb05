package redaction

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash"
	"hash/crc32"

	"auditrelay"
	"auditrelay/internal/detect"
)

// An encrypted value is "enc:", the key's label, ":" and lower-case hexadecimal digits of:
//
//	nonce       12 bytes
//	ciphertext  AES-256-GCM of the padded value, with the label as additional data, and
//	            its tag of 16 bytes
//	checksum    CRC-32 (IEEE) of what is before it
//
// The value is padded with 0x80 and zeros to a multiple of 16 bytes. The nonce is the
// beginning of an HMAC of label, place and padded value, so that equal values under one label
// give equal texts: a policy does the same to an event each time, and a change stays visible.
// It is drawn again where the bytes spell a text by chance (detect.Spells): what does so is
// not taken for an encrypted value.
const (
	encryptedPrefix = "enc:"
	nonceBytes      = 12
	tagBytes        = 16
	blockBytes      = 16
	checkBytes      = 4
)

// Cipher encrypts values with one version of a key, and decrypts those of a secret key. It is
// not safe for concurrent use.
type Cipher struct {
	label   string
	aead    cipher.AEAD
	nonces  hash.Hash
	public  *sealer // replaces both for a public key
	err     error   // reason why nothing of this document is encrypted to the public key
	plain   []byte
	sealed  []byte
	place   []byte
	scratch []byte
}

// NewCipher returns the Cipher for a key and its name. A public key must be valid.
func NewCipher(name string, key auditrelay.Key) *Cipher {
	if key.Public() {
		public, err := publicKey(key)
		if err != nil {
			panic(err) // New has checked it
		}
		return &Cipher{label: key.Label(name), public: &sealer{key: public}}
	}
	derive := func(use string) []byte {
		b, err := hkdf.Key(sha256.New, []byte(key.Secret.Reveal()), nil, "auditrelay encrypt v1: "+use, 32)
		if err != nil {
			panic(err) // 32 bytes can be derived from any secret
		}
		return b
	}
	block, err := aes.NewCipher(derive("cipher"))
	if err != nil {
		panic(err) // of 32 bytes
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // of AES
	}
	return &Cipher{label: key.Label(name), aead: aead, nonces: hmac.New(sha256.New, derive("nonces"))}
}

// Reset begins a new document. With a public key each document has its own secret.
func (c *Cipher) Reset() {
	c.err = nil
	if c.public != nil {
		c.public.cipher = nil
	}
}

// Err returns the reason why values of the document could not be encrypted and became Mask, or
// nil.
func (c *Cipher) Err() error { return c.err }

// Append appends value encrypted. An empty value stays empty. See Err.
func (c *Cipher) Append(dst, value []byte) []byte { return c.append(dst, value, nil) }

// AppendAt is like Append for a value at one place. Equal values give different texts at
// different places.
func (c *Cipher) AppendAt(dst, value []byte, at Place) []byte {
	c.place = at.append(append(c.place[:0], "place"...))
	return c.append(dst, value, c.place)
}

func (c *Cipher) append(dst, value, place []byte) []byte {
	if len(value) == 0 {
		return dst
	}
	if c.public == nil {
		return c.draw(dst, nil, value, place)
	}
	if c.public.cipher == nil && c.err == nil {
		c.err = c.public.begin(c.label)
	}
	if c.err != nil {
		return append(dst, Mask...)
	}
	return c.public.cipher.draw(dst, c.public.encapsulated, value, place)
}

// maxDraws is far more than needed: one text in twenty must be drawn again.
const maxDraws = 64

// draw appends the encrypted form of value, which starts with head. It appends Mask if no nonce
// is suitable.
func (c *Cipher) draw(dst, head, value, place []byte) []byte {
	c.plain = append(append(c.plain[:0], value...), 0x80)
	for len(c.plain)%blockBytes != 0 {
		c.plain = append(c.plain, 0)
	}
	for turn := range uint32(maxDraws) {
		nonce := c.nonce(turn, place)
		c.sealed = append(append(c.sealed[:0], head...), nonce...)
		c.sealed = c.aead.Seal(c.sealed, nonce, c.plain, []byte(c.label))
		c.sealed = binary.BigEndian.AppendUint32(c.sealed, crc32.ChecksumIEEE(c.sealed))
		if !detect.Spells(c.sealed) {
			dst = append(append(append(dst, encryptedPrefix...), c.label...), ':')
			return hex.AppendEncode(dst, c.sealed)
		}
	}
	return append(dst, Mask...)
}

// nonce returns the nonce of plain. Labels (as additional data), places and turns all give
// different nonces.
func (c *Cipher) nonce(turn uint32, place []byte) []byte {
	c.scratch = append(append(c.scratch[:0], c.label...), 0)
	c.scratch = binary.BigEndian.AppendUint32(c.scratch, turn)
	c.scratch = binary.BigEndian.AppendUint32(c.scratch, uint32(len(place)))
	c.nonces.Reset()
	c.nonces.Write(c.scratch)
	c.nonces.Write(place)
	c.nonces.Write(c.plain)
	c.scratch = c.nonces.Sum(c.scratch[:0])[:nonceBytes]
	return c.scratch
}

// ErrNotDecrypted means that a text is no encrypted value, was changed, or has another key.
var ErrNotDecrypted = errors.New("no encrypted value of this key")

// Decrypt returns the value of a text that Append made with the same secret. The label may
// differ.
func (c *Cipher) Decrypt(text []byte) ([]byte, error) {
	label, sealed, ok := splitEncrypted(text, 0)
	if !ok || c.public != nil {
		return nil, ErrNotDecrypted
	}
	return c.open(label, sealed)
}

// open decrypts a nonce followed by the ciphertext.
func (c *Cipher) open(label, sealed []byte) ([]byte, error) {
	plain, err := c.aead.Open(nil, sealed[:nonceBytes], sealed[nonceBytes:], label)
	if err != nil {
		return nil, ErrNotDecrypted
	}
	for len(plain) > 0 && plain[len(plain)-1] == 0 {
		plain = plain[:len(plain)-1]
	}
	if len(plain) == 0 || plain[len(plain)-1] != 0x80 {
		return nil, ErrNotDecrypted
	}
	return plain[:len(plain)-1], nil
}

// splitEncrypted returns the label of an encrypted value and its decoded bytes without the
// checksum. head is the number of bytes before the nonce.
func splitEncrypted(text []byte, head int) (label, sealed []byte, ok bool) {
	rest, ok := bytes.CutPrefix(text, []byte(encryptedPrefix))
	at := bytes.LastIndexByte(rest, ':')
	if !ok || at < 1 {
		return nil, nil, false
	}
	all, err := hex.AppendDecode(nil, rest[at+1:])
	if err != nil || len(all) < head+nonceBytes+blockBytes+tagBytes+checkBytes || (len(all)-nonceBytes-tagBytes-checkBytes)%blockBytes != 0 {
		return nil, nil, false
	}
	sealed = all[:len(all)-checkBytes]
	return rest[:at], sealed, binary.BigEndian.Uint32(all[len(sealed):]) == crc32.ChecksumIEEE(sealed)
}
