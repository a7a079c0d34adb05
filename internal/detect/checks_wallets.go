package detect

import (
	"bytes"
	"crypto/sha256"
)

const base58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

// base58Check reports whether the last four bytes of what base58 encodes are the beginning
// of the rest's double SHA-256: addresses of Bitcoin and its like.
func base58Check(b []byte) bool {
	const most = 40
	if len(b) > 56 {
		return false
	}
	var bin [most]byte
	for _, c := range b {
		carry := bytes.IndexByte([]byte(base58), c)
		if carry < 0 {
			return false
		}
		for i := most - 1; i >= 0; i-- {
			carry += 58 * int(bin[i])
			bin[i] = byte(carry)
			carry >>= 8
		}
		if carry != 0 {
			return false
		}
	}
	start := most - 25 // an address: a version, 20 bytes and the check
	if len(b) > 36 {
		return false
	}
	if len(bytes.TrimLeft(bin[:start], "\x00")) > 0 {
		return false
	}
	first := sha256.Sum256(bin[start : most-4])
	second := sha256.Sum256(first[:])
	return bytes.Equal(second[:4], bin[most-4:])
}

const bech32Letters = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"

// bech32 reports whether b, of one case, has the checksum of Bech32 or Bech32m.
func bech32(b []byte) bool {
	if len(b) > 90 {
		return false
	}
	split := bytes.LastIndexByte(b, '1')
	if split < 1 || len(b)-split < 8 {
		return false
	}
	seen, _ := classes(b)
	if seen&lower != 0 && seen&upper != 0 {
		return false
	}
	state := uint32(1)
	feed := func(v byte) {
		top := state >> 25
		state = state&0x1ffffff<<5 ^ uint32(v)
		for i, g := range [5]uint32{0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3} {
			if top>>i&1 != 0 {
				state ^= g
			}
		}
	}
	for _, c := range b[:split] {
		feed(fold(c) >> 5)
	}
	feed(0)
	for _, c := range b[:split] {
		feed(fold(c) & 31)
	}
	for _, c := range b[split+1:] {
		v := bytes.IndexByte([]byte(bech32Letters), fold(c))
		if v < 0 {
			return false
		}
		feed(byte(v))
	}
	return state == 1 || state == 0x2bc830a3
}

// ethereum takes 20 bytes in hexadecimal that are neither one digit nor a small number.
func ethereum(b []byte) bool {
	digits := b[2:]
	return len(bytes.TrimLeft(digits, "0")) > 8 && len(bytes.Trim(digits, string(digits[:1]))) > 0
}
