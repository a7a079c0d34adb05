// Package redaction makes values unreadable. The host functions of guests and the native filter
// share it, so the same policy gives the same bytes.
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

// Mask replaces a masked value of any kind. It shows neither length nor first characters,
// because a known prefix makes a lookup possible.
const Mask = "***"

// pseudonymBytes is how much of the HMAC a pseudonym contains: 128 bits, enough to avoid
// collisions and short enough to read.
const pseudonymBytes = 16

// Pseudonymiser turns values into keyed pseudonyms. The same value and key give the same
// pseudonym. Without the key, a pseudonym reveals neither the value nor whether a guess
// is right. It is not safe for concurrent use.
type Pseudonymiser struct {
	prefix  string
	mac     hash.Hash
	apart   hash.Hash // of a key derived for the pseudonyms of one place
	sum     [sha256.Size]byte
	scratch []byte
}

// Place is what separates pseudonyms: a callback, empty before the journal, and a field, the
// name of the nearest key. Names that differ only in style are equal.
type Place struct {
	Callback string
	Field    []byte
}

// NewPseudonymiser returns a Pseudonymiser for a key and its name. Every pseudonym contains
// name and version, so a pseudonym made with an older key is recognisable.
func NewPseudonymiser(name string, key auditrelay.Key) *Pseudonymiser {
	secret := []byte(key.Secret.Reveal())
	derived, err := hkdf.Key(sha256.New, secret, nil, "auditrelay pseudonym v1: callback and field", sha256.Size)
	if err != nil {
		panic(err) // 32 bytes can be derived from any secret
	}
	return &Pseudonymiser{prefix: "hmac:" + key.Label(name) + ":", mac: hmac.New(sha256.New, secret), apart: hmac.New(sha256.New, derived)}
}

// AppendAt is like Append for a value at one place. The same value has different pseudonyms in
// other fields and on other callbacks.
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

// append writes the place so that different places give different bytes.
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

// Append appends value's pseudonym: "hmac:", the key's label, ":" and 32 lower-case hexadecimal
// digits of HMAC-SHA-256. An empty value stays empty, since its absence is no secret and often
// matters.
func (p *Pseudonymiser) Append(dst, value []byte) []byte {
	if len(value) == 0 {
		return dst
	}
	p.mac.Reset()
	p.mac.Write(value)
	sum := p.mac.Sum(p.sum[:0])
	return hex.AppendEncode(append(dst, p.prefix...), sum[:pseudonymBytes])
}

// Shorten returns the first n characters (code points) of s, all of s if it is shorter, and
// nothing if n is not positive. The result shares memory with s.
func Shorten(s []byte, n int) []byte {
	end := 0
	for ; n > 0 && end < len(s); n-- {
		_, size := utf8.DecodeRune(s[end:])
		end += size
	}
	return s[:end]
}

// AppendPartial appends Mask and the last n characters (code points) of s, but at most half of
// them, since a short value is not less secret. A value that already has this form stays
// unchanged. If look is not nil, it is called repeatedly during the work.
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
