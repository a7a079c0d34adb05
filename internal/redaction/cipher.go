package redaction

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"hash/crc32"

	"auditrelay"
)

// An encrypted value is "enc:", the key's label, ":" and lower-case hexadecimal digits of:
//
//	nonce       12 bytes
//	ciphertext  AES-256-GCM of the padded value, with the label as additional data, and
//	            its tag of 16 bytes
//	checksum    CRC-32 (IEEE) of what is before it
//
// The value is padded with 0x80 and zeros to a multiple of 16 bytes. The nonce is the
// beginning of an HMAC of the label, a zero and the padded value, so that equal values under
// one label give equal texts: a policy does the same to an event each time, and a change stays visible.
const (
	encryptedPrefix = "enc:"
	nonceBytes      = 12
	tagBytes        = 16
	blockBytes      = 16
	checkBytes      = 4
)

// Cipher encrypts values under one version of a key, and decrypts them. It is not safe for
// concurrent use.
type Cipher struct {
	label  string
	aead   cipher.AEAD
	nonces hash.Hash
	plain  []byte
	sealed []byte
	place  []byte
}

// NewCipher returns the Cipher for the key of that name.
func NewCipher(name string, key auditrelay.Key) *Cipher {
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

// Append appends value encrypted. The empty value stays empty.
func (c *Cipher) Append(dst, value []byte) []byte { return c.append(dst, value, nil) }

// AppendAt is Append of a value at one place: equal values give other texts elsewhere.
func (c *Cipher) AppendAt(dst, value []byte, at Place) []byte {
	c.place = at.append(append(c.place[:0], "place"...))
	return c.append(dst, value, c.place)
}

func (c *Cipher) append(dst, value, place []byte) []byte {
	if len(value) == 0 {
		return dst
	}
	c.plain = append(append(c.plain[:0], value...), 0x80)
	for len(c.plain)%blockBytes != 0 {
		c.plain = append(c.plain, 0)
	}
	c.nonces.Reset()
	c.nonces.Write([]byte(c.label)) // no nonce serves two labels, which are additional data
	c.nonces.Write([]byte{0})
	c.nonces.Write(place)
	c.nonces.Write(c.plain)
	c.sealed = c.nonces.Sum(c.sealed[:0])[:nonceBytes]
	c.sealed = c.aead.Seal(c.sealed, c.sealed, c.plain, []byte(c.label))
	sum := crc32.ChecksumIEEE(c.sealed)
	c.sealed = append(c.sealed, byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum))
	dst = append(append(append(dst, encryptedPrefix...), c.label...), ':')
	return hex.AppendEncode(dst, c.sealed)
}

// ErrNotDecrypted: a text is no encrypted value, was changed, or has another key.
var ErrNotDecrypted = errors.New("no encrypted value of this key")

// Decrypt returns the value of a text that Append made with the same secret, under
// whatever label.
func (c *Cipher) Decrypt(text []byte) ([]byte, error) {
	label, sealed, ok := splitEncrypted(text)
	if !ok {
		return nil, ErrNotDecrypted
	}
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

// splitEncrypted returns the label of an encrypted value, and its nonce and ciphertext.
func splitEncrypted(text []byte) (label, sealed []byte, ok bool) {
	if len(text) < len(encryptedPrefix) || string(text[:len(encryptedPrefix)]) != encryptedPrefix {
		return nil, nil, false
	}
	rest := text[len(encryptedPrefix):]
	at := len(rest) - 1
	for at >= 0 && rest[at] != ':' {
		at--
	}
	if at < 1 {
		return nil, nil, false
	}
	all, err := hex.AppendDecode(nil, rest[at+1:])
	if err != nil || len(all) < nonceBytes+blockBytes+tagBytes+checkBytes || (len(all)-nonceBytes-tagBytes-checkBytes)%blockBytes != 0 {
		return nil, nil, false
	}
	sealed = all[:len(all)-checkBytes]
	sum := crc32.ChecksumIEEE(sealed)
	end := all[len(sealed):]
	return rest[:at], sealed, uint32(end[0])<<24|uint32(end[1])<<16|uint32(end[2])<<8|uint32(end[3]) == sum
}
