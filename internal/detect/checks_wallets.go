package detect

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
)

const base58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

// base58Check reports whether the last four bytes encoded in base58 are the beginning of the
// double SHA-256 of the other bytes, as in addresses of Bitcoin and similar currencies.
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
	start := most - 25 // an address: version, 20 bytes, check sum
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

// bech32 reports whether b, in one case, has the check sum of Bech32 or Bech32m.
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

// ethereum accepts 20 bytes in hexadecimal, except one repeated digit or a small number. If
// letters of both cases occur, their case must be the check sum of EIP-55.
func ethereum(b []byte) bool {
	digits := b[2:]
	if len(bytes.TrimLeft(digits, "0")) <= 8 || len(bytes.Trim(digits, string(digits[:1]))) == 0 {
		return false
	}
	seen, _ := classes(digits)
	return seen&lower == 0 || seen&upper == 0 || len(digits) == 40 && eip55(digits)
}

// eip55 reports whether the case of 40 hexadecimal digits is the check sum of EIP-55: a letter
// is a capital if the same digit of the Keccak-256 of the lower-case digits is over 7. Source:
// https://eips.ethereum.org/EIPS/eip-55.
func eip55(digits []byte) bool {
	var small [40]byte
	for i := range small {
		small[i] = fold(digits[i])
	}
	sum := keccak256(small[:])
	for i, c := range digits {
		nibble := sum[i/2] >> 4
		if i%2 == 1 {
			nibble = sum[i/2] & 15
		}
		if classOf[c] != digit && (nibble > 7) != (classOf[c] == upper) {
			return false
		}
	}
	return true
}

// keccak256 is Ethereum's Keccak-256, with the padding used before SHA-3. text must be under
// 136 bytes.
func keccak256(text []byte) (sum [32]byte) {
	var block [200]byte
	copy(block[:], text)
	block[len(text)] ^= 1
	block[135] ^= 0x80
	var a [25]uint64
	for i := range 17 {
		a[i] = binary.LittleEndian.Uint64(block[8*i:])
	}
	keccak(&a)
	for i := range 4 {
		binary.LittleEndian.PutUint64(sum[8*i:], a[i])
	}
	return sum
}

// keccak is the permutation Keccak-f[1600]. Source: FIPS 202, section 3.
func keccak(a *[25]uint64) {
	lfsr := byte(1)
	for range 24 {
		var c [5]uint64
		for x := range 5 {
			c[x] = a[x] ^ a[x+5] ^ a[x+10] ^ a[x+15] ^ a[x+20]
		}
		for x := range 5 {
			d := c[(x+4)%5] ^ bits.RotateLeft64(c[(x+1)%5], 1)
			for y := 0; y < 25; y += 5 {
				a[x+y] ^= d
			}
		}
		x, y, last := 1, 0, a[1]
		for t := range 24 {
			x, y = y, (2*x+3*y)%5
			last, a[x+5*y] = a[x+5*y], bits.RotateLeft64(last, (t+1)*(t+2)/2)
		}
		for y := 0; y < 25; y += 5 {
			copy(c[:], a[y:y+5])
			for x := range 5 {
				a[x+y] = c[x] ^ ^c[(x+1)%5]&c[(x+2)%5]
			}
		}
		for j := range 7 { // the round's constant
			if lfsr&1 != 0 {
				a[0] ^= 1 << (1<<j - 1)
			}
			carry := lfsr >> 7
			lfsr = lfsr<<1 ^ carry*0x71
		}
	}
}
