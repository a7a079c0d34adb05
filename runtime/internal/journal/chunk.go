package journal

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"math/bits"
	"slices"
)

// The storage engine's log consists of blocks of 32 KiB, and a block of chunks:
//
//	CRC (4) length (2) type (1) [log number (4)] [offset synced (8)] payload
//
// A record is one full chunk, or a first chunk, middle chunks and a last chunk, each in a
// different block. See Pebble's package record. This file has its own reader because Pebble's
// (v2.1.7) takes damage for the end of the log: the offset that would prove the damage lags
// behind.

const (
	blockBytes      = 32 << 10
	plainHeader     = 7  // types 1 to 4, in the manifest
	numberedHeader  = 11 // types 5 to 8, with the log's number
	syncHeader      = 19 // types 9 to 12, with the synced offset
	trailerType     = 5  // a numbered full chunk without payload is the end of a closed log
	firstNumbered   = 5
	firstSynced     = 9
	lastType        = 12
	checksumBytes   = 4
	checksummedFrom = 6 // covers the type and all bytes after it
)

// part says which part of a record a chunk is.
type part int

const (
	partFull part = iota
	partFirst
	partMiddle
	partLast
)

func (p part) begins() bool { return p == partFull || p == partFirst }
func (p part) ends() bool   { return p == partFull || p == partLast }

// chunk is one valid chunk. The reader owns the payload, which is valid until its next call.
type chunk struct {
	part    part
	at      int64 // start of its header
	end     int64 // where the next chunk may start
	payload []byte
}

// seen is the kind of content at a position in the log.
type seen int

const (
	seenChunk   seen = iota // a valid chunk
	seenBad                 // anything else, including zeros
	seenTrailer             // the end mark of a closed log
	seenEnd                 // the end of the file
)

// chunks reads the chunks of the log with a number. numbered is false for the manifest.
type chunks struct {
	file     io.ReaderAt
	size     int64
	number   uint32
	numbered bool

	block   []byte // the block in memory, which starts at base
	base    int64
	fixed   []byte // a repaired block, which starts at fixedAt
	fixedAt int64
	buf     [blockBytes]byte
	err     error // the first read error
}

// load reads the block at offset at into memory, up to the end of the file.
func (c *chunks) load(at int64) []byte {
	base := at - at%blockBytes
	if c.block != nil && c.base == base {
		return c.block
	}
	if c.fixed != nil && base == c.fixedAt {
		c.block, c.base = c.fixed, base
		return c.block
	}
	n := min(blockBytes, c.size-base)
	if n <= 0 {
		c.block, c.base = c.buf[:0], base
		return c.block
	}
	if _, err := c.file.ReadAt(c.buf[:n], base); err != nil && err != io.EOF && c.err == nil {
		c.err = err
	}
	c.block, c.base = c.buf[:n], base
	return c.block
}

// next reads the chunk at pos, or after pos if a block's padding is there.
func (c *chunks) next(pos int64) (chunk, seen) {
	for {
		block := c.load(pos)
		at := int(pos - c.base)
		if at >= len(block) {
			return chunk{at: pos}, seenEnd
		}
		if rest := block[at:]; len(block) == blockBytes && len(rest) < c.header() && zero(rest) {
			pos = c.base + blockBytes
			continue
		}
		return c.parse(block, at)
	}
}

func (c *chunks) header() int {
	if c.numbered {
		return syncHeader
	}
	return plainHeader
}

func zero(b []byte) bool { return len(bytes.TrimLeft(b, "\x00")) == 0 }

// parse parses the content at an offset of the block in memory.
func (c *chunks) parse(block []byte, at int) (chunk, seen) {
	here := chunk{at: c.base + int64(at)}
	h, size, ok := c.extent(block, at)
	if !ok {
		return here, seenBad
	}
	b := block[at : at+size]
	if b[6] >= firstNumbered {
		switch number := binary.LittleEndian.Uint32(b[7:]); {
		case number == c.number:
		case number == c.number+1 && b[6] == trailerType && size == numberedHeader && zero(b[:6]):
			return here, seenTrailer
		default:
			return here, seenBad
		}
	}
	if crc32.Checksum(b[checksummedFrom:], castagnoli) != storedSum(b) {
		return here, seenBad
	}
	here.part, here.end, here.payload = part((b[6]-1)%4), here.at+int64(size), b[h:]
	return here, seenChunk
}

// extent returns the sizes of header and chunk according to the header at an offset.
func (c *chunks) extent(block []byte, at int) (header, size int, ok bool) {
	if at+plainHeader > len(block) {
		return 0, 0, false
	}
	switch kind := block[at+6]; {
	case kind == 0 || kind > lastType || kind < firstNumbered == c.numbered:
		return 0, 0, false
	case kind < firstNumbered:
		header = plainHeader
	case kind < firstSynced:
		header = numberedHeader
	default:
		header = syncHeader
	}
	size = header + int(binary.LittleEndian.Uint16(block[at+4:]))
	return header, size, at+size <= len(block)
}

// storedSum returns the checksum in a header, without Pebble's masking.
func storedSum(b []byte) uint32 {
	return bits.RotateLeft32(binary.LittleEndian.Uint32(b)-0xa282ead8, -17)
}

func maskedSum(sum uint32) uint32 { return bits.RotateLeft32(sum, 17) + 0xa282ead8 }

// walk calls visit for each chunk of the record that starts at pos, and returns where the
// record ends. bad is the position of the chunk at which it breaks off.
func (c *chunks) walk(pos int64, visit func(payload []byte)) (end int64, s seen, bad int64) {
	within := false
	for {
		k, s := c.next(pos)
		switch {
		case s != seenChunk:
			return 0, s, k.at
		case k.part.begins() == within:
			return 0, seenBad, k.at
		}
		visit(k.payload)
		if pos = k.end; k.part.ends() {
			return pos, seenChunk, 0
		}
		within = true
	}
}

// record appends the record that starts at pos to dst.
func (c *chunks) record(dst []byte, pos int64) (record []byte, end int64, s seen) {
	end, s, _ = c.walk(pos, func(payload []byte) { dst = append(dst, payload...) })
	return dst, end, s
}

// find returns the next valid chunk at or after pos, at any offset in its block.
func (c *chunks) find(pos int64) (chunk, bool) {
	number := binary.LittleEndian.AppendUint32(nil, c.number)
	for pos < c.size && c.err == nil {
		block := c.load(pos)
		for at := int(pos - c.base); ; at++ {
			i := bytes.Index(block[min(at+plainHeader, len(block)):], number)
			if i < 0 {
				break
			}
			at += i
			if k, s := c.parse(block, at); s == seenChunk && block[at+6] >= firstNumbered {
				return k, true
			}
		}
		pos = c.base + blockBytes
	}
	return chunk{}, false
}

// mend flips the one bit, if there is one, that makes the content at pos a valid chunk. It
// changes only the memory. A torn write cannot become valid by one bit.
func (c *chunks) mend(pos int64) bool {
	c.fixed, c.fixedAt = slices.Clone(c.load(pos)), pos-pos%blockBytes
	c.block = nil
	block := c.load(pos)
	at := int(pos - c.base)
	if at+plainHeader > len(block) {
		return false
	}
	// The type determines where the header ends, and the length where the chunk ends.
	for bit := range 8 * 3 {
		i, mask := at+4+bit/8, byte(1)<<(bit%8)
		block[i] ^= mask
		if _, s := c.parse(block, at); s == seenChunk {
			return true
		}
		block[i] ^= mask
	}
	_, size, ok := c.extent(block, at)
	if !ok {
		return false
	}
	b := block[at : at+size]
	want := crc32.Checksum(b[checksummedFrom:], castagnoli)
	if wrong := maskedSum(want) ^ binary.LittleEndian.Uint32(b); bits.OnesCount32(wrong) == 1 {
		binary.LittleEndian.PutUint32(b, maskedSum(want))
	} else if bit, ok := flippedBit(len(b)-checksummedFrom, want^storedSum(b)); ok {
		b[checksummedFrom+bit/8] ^= 1 << (bit % 8)
	}
	_, s := c.parse(block, at)
	return s == seenChunk
}

// flippedBit returns which single bit of n bytes changes their CRC-32C by difference.
func flippedBit(n int, difference uint32) (bit int, ok bool) {
	// The effect of the last bit, moved by one bit for each earlier bit. The CRC is reflected:
	// the highest bit of a byte comes last.
	effect := castagnoli[0x80]
	for at := n*8 - 1; at >= 0; at-- {
		if effect == difference {
			return at, true
		}
		if effect&1 != 0 {
			effect = effect>>1 ^ crc32.Castagnoli
		} else {
			effect >>= 1
		}
	}
	return 0, false
}
