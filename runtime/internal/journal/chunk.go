package journal

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"math/bits"
	"slices"
)

// The storage engine's log is a row of blocks of 32 KiB, and a block a row of chunks:
//
//	CRC (4) length (2) type (1) [log number (4)] [offset synced (8)] payload
//
// A record is one full chunk, or a first, any middle and a last one, each in a block of
// its own. See Pebble's package record. This reader exists because Pebble's own takes
// damage for the end of the log (v2.1.7): the offset that would prove it lags behind.

const (
	blockBytes      = 32 << 10
	plainHeader     = 7  // types 1 to 4, in the manifest
	numberedHeader  = 11 // types 5 to 8, with the log's number
	syncHeader      = 19 // types 9 to 12, with the offset synced
	trailerType     = 5  // a numbered full chunk without payload ends a log that was closed
	firstNumbered   = 5
	firstSynced     = 9
	lastType        = 12
	checksumBytes   = 4
	checksummedFrom = 6 // the type and all behind it
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

// chunk is one valid chunk. The payload is the reader's memory until its next call.
type chunk struct {
	part    part
	at      int64 // where its header begins
	end     int64 // where the next one may begin
	payload []byte
}

// seen is what stands at a place in the log.
type seen int

const (
	seenChunk   seen = iota // a valid chunk
	seenBad                 // anything else, zeros included
	seenTrailer             // the mark of a log that was closed
	seenEnd                 // the end of the file
)

// chunks reads chunks of the log with this number; numbered is false for the manifest.
type chunks struct {
	file     io.ReaderAt
	size     int64
	number   uint32
	numbered bool

	block   []byte // the block in memory, at base
	base    int64
	fixed   []byte // a block that was mended, at fixedAt
	fixedAt int64
	buf     [blockBytes]byte
	err     error // the first failed read
}

// load brings the block at offset at into memory, as far as the file goes.
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

// next reads the chunk at or, behind a block's padding, after pos.
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

// parse takes apart what stands at an offset of the block in memory.
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

// extent returns the sizes of header and chunk that the header at an offset tells.
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

// storedSum is the checksum that stands in a header, without Pebble's masking.
func storedSum(b []byte) uint32 {
	return bits.RotateLeft32(binary.LittleEndian.Uint32(b)-0xa282ead8, -17)
}

func maskedSum(sum uint32) uint32 { return bits.RotateLeft32(sum, 17) + 0xa282ead8 }

// walk calls visit for each chunk of the record that begins at pos, and returns where
// it ends. bad is the place of the chunk that breaks it off.
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

// record appends the record that begins at pos to dst.
func (c *chunks) record(dst []byte, pos int64) (record []byte, end int64, s seen) {
	end, s, _ = c.walk(pos, func(payload []byte) { dst = append(dst, payload...) })
	return dst, end, s
}

// find returns the next valid chunk at or after pos, wherever in its block it stands.
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

// mend flips the one bit, if there is one, that makes a valid chunk of what stands at
// pos, in memory alone. What is torn does not become valid by one bit.
func (c *chunks) mend(pos int64) bool {
	c.fixed, c.fixedAt = slices.Clone(c.load(pos)), pos-pos%blockBytes
	c.block = nil
	block := c.load(pos)
	at := int(pos - c.base)
	if at+plainHeader > len(block) {
		return false
	}
	// The type says where the header ends, and the length where the chunk does.
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

// flippedBit returns which one bit of n bytes changes their CRC-32C by difference.
func flippedBit(n int, difference uint32) (bit int, ok bool) {
	// What the last bit changes, moved on by one bit for each before it. The CRC is
	// reflected: a byte's highest bit comes last.
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
