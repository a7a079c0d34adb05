// Package redaction has the primitives that make a value unreadable. The host functions
// of guests and the native filter share them, so that the same policy gives the same
// bytes.
package redaction

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"unicode/utf8"

	"auditrelay"
	"auditrelay/internal/keyname"
)

// Mask is what a masked value becomes, whatever it was: neither its length nor
// its first characters show, since a known prefix is a lookup.
const Mask = "***"

// pseudonymBytes is how much of the HMAC a pseudonym shows: 128 bits, enough
// that two values do not meet by chance, short enough to read.
const pseudonymBytes = 16

// Pseudonymiser turns values into keyed pseudonyms. The same value and key give the same
// pseudonym. Without the key, a pseudonym reveals neither the value nor whether a guess
// is right. It is not safe for concurrent use.
type Pseudonymiser struct {
	prefix  string
	mac     hash.Hash
	apart   hash.Hash // of a key derived for pseudonyms of one place
	sum     [sha256.Size]byte
	scratch []byte
}

// Place is what pseudonyms are separated by: a callback, empty before the journal, and a
// field, the name of the nearest key. Names that differ in style only are one.
type Place struct {
	Callback string
	Field    []byte
}

// NewPseudonymiser returns a Pseudonymiser for the key of that name. Name and version
// stand in every pseudonym, so that one made with an older key is known as such.
func NewPseudonymiser(name string, key auditrelay.Key) *Pseudonymiser {
	secret := []byte(key.Secret.Reveal())
	derived, err := hkdf.Key(sha256.New, secret, nil, "auditrelay pseudonym v1: callback and field", sha256.Size)
	if err != nil {
		panic(err) // 32 bytes can be derived from any secret
	}
	return &Pseudonymiser{prefix: "hmac:" + key.Label(name) + ":", mac: hmac.New(sha256.New, secret), apart: hmac.New(sha256.New, derived)}
}

// AppendAt is Append of a value at one place: the same value has another pseudonym in
// another field, and on another callback.
func (p *Pseudonymiser) AppendAt(dst, value []byte, at Place) []byte {
	if len(value) == 0 {
		return dst
	}
	p.apart.Reset()
	p.scratch = at.append(p.scratch[:0])
	p.apart.Write(p.scratch)
	p.apart.Write(value)
	sum := p.apart.Sum(p.sum[:0])
	return hex.AppendEncode(append(dst, p.prefix...), sum[:pseudonymBytes])
}

// append writes the place so that no two are alike.
func (at Place) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(at.Callback)))
	dst = append(dst, at.Callback...)
	from := len(dst)
	dst = binary.BigEndian.AppendUint32(dst, 0)
	start := len(dst)
	joined := keyname.Join(keyname.AppendSnake(dst, at.Field)[start:])
	binary.BigEndian.PutUint32(dst[from:start], uint32(len(joined)))
	return append(dst[:start], joined...)
}

// Append appends value's pseudonym, "hmac:", the key's label, ":" and 32
// lower-case hexadecimal digits of HMAC-SHA-256. The empty value stays empty:
// that there is nothing is no secret, and is often the point.
func (p *Pseudonymiser) Append(dst, value []byte) []byte {
	if len(value) == 0 {
		return dst
	}
	p.mac.Reset()
	p.mac.Write(value)
	sum := p.mac.Sum(p.sum[:0])
	return hex.AppendEncode(append(dst, p.prefix...), sum[:pseudonymBytes])
}

// Shorten returns the first n characters (code points) of s, all of it where
// it is shorter, nothing where n is not positive. The result shares s.
func Shorten(s []byte, n int) []byte {
	end := 0
	for ; n > 0 && end < len(s); n-- {
		_, size := utf8.DecodeRune(s[end:])
		end += size
	}
	return s[:end]
}

// AppendPartial appends Mask and the last n characters (code points) of s, but
// never more than half of them: what is short is no less a value. What was made so
// before stays as it is. look, nil for nobody's, is called again and again while it works.
func AppendPartial(dst, s []byte, n int, look func()) []byte {
	const often = 64 << 10
	count := 0
	for i := range s {
		if utf8.RuneStart(s[i]) {
			count++
		}
		if look != nil && i%often == often-1 {
			look()
		}
	}
	if rest, ok := bytes.CutPrefix(s, []byte(Mask)); ok {
		s, n = rest, min(n, count-utf8.RuneCountInString(Mask))
	} else {
		n = min(n, count/2)
	}
	start := len(s)
	for ; n > 0; n-- {
		if look != nil && n%often == 0 {
			look()
		}
		_, size := utf8.DecodeLastRune(s[:start])
		start -= size
	}
	return append(append(dst, Mask...), s[start:]...)
}
