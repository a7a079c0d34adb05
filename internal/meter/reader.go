package meter

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"
)

// A reader reads one part of the module strictly. It keeps its first error. After it, the
// reader returns only zeros and has no bytes left, so that loops over the rest end.
type reader struct {
	module  []byte
	at, end int
	what    string // for errors
	err     *Error
}

func (r *reader) fail(at int, format string, args ...any) {
	if r.err == nil {
		r.err = &Error{Offset: at, What: r.what, Reason: fmt.Sprintf(format, args...)}
	}
	r.at = r.end
}

func (r *reader) left() int { return r.end - r.at }

func (r *reader) byte() byte {
	if r.at >= r.end {
		r.fail(r.at, "unexpected end")
		return 0
	}
	b := r.module[r.at]
	r.at++
	return b
}

// bytes returns the next n bytes. They alias the module.
func (r *reader) bytes(n uint32) []byte {
	if uint64(n) > uint64(r.left()) {
		r.fail(r.at, "unexpected end: %d bytes announced, %d left", n, r.left())
		return nil
	}
	b := r.module[r.at : r.at+int(n)]
	r.at += int(n)
	return b
}

func (r *reader) u32() uint32 {
	if r.at < r.end && r.module[r.at] < 0x80 {
		r.at++
		return uint32(r.module[r.at-1])
	}
	return uint32(r.unsigned(32))
}

func (r *reader) unsigned(bits uint) uint64 {
	start := r.at
	var v uint64
	for shift := uint(0); ; shift += 7 {
		b := r.byte()
		if r.err != nil {
			return 0
		}
		if room := bits - shift; room < 7 && b>>room != 0 {
			r.fail(start, "integer of more than %d bits", bits)
			return 0
		}
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return v
		}
	}
}

func (r *reader) signed(bits uint) int64 {
	start := r.at
	var v int64
	for shift := uint(0); ; shift += 7 {
		b := r.byte()
		if r.err != nil {
			return 0
		}
		if room := bits - shift; room < 7 {
			// The last byte: the bits beyond the sign bit must repeat it.
			if rest := int8(b<<1) >> room; b >= 0x80 || (rest != 0 && rest != -1) {
				r.fail(start, "integer of more than %d bits", bits)
				return 0
			}
		}
		v |= int64(b&0x7f) << shift
		if b < 0x80 {
			if s := shift + 7; s < 64 && b&0x40 != 0 {
				v |= -1 << s
			}
			return v
		}
	}
}

// count reads the number of items that follow. Each item takes at least one byte, so a count
// above the number of remaining bytes is refused before any allocation.
func (r *reader) count(limit int, items string) int {
	at := r.at
	n := r.u32()
	switch {
	case uint64(n) > uint64(limit):
		r.fail(at, "%d %s, the limit is %d", n, items, limit)
	case uint64(n) > uint64(r.left()):
		r.fail(at, "%d %s announced in %d bytes", n, items, r.left())
	default:
		return int(n)
	}
	return 0
}

func (r *reader) name(limit int) string {
	at := r.at
	n := r.u32()
	if uint64(n) > uint64(limit) && n <= uint32(r.left()) {
		r.fail(at, "name of %d bytes, the limit is %d", n, limit)
	}
	b := r.bytes(n)
	if !utf8.Valid(b) {
		r.fail(at, "name is not UTF-8")
		return ""
	}
	return string(b)
}

func appendUnsigned(dst []byte, v uint64) []byte { return binary.AppendUvarint(dst, v) }

func appendSigned(dst []byte, v int64) []byte {
	for {
		b := byte(v & 0x7f)
		v >>= 7
		if (v == 0 && b&0x40 == 0) || (v == -1 && b&0x40 != 0) {
			return append(dst, b)
		}
		dst = append(dst, b|0x80)
	}
}

func appendName(dst []byte, s string) []byte {
	return append(appendUnsigned(dst, uint64(len(s))), s...)
}
