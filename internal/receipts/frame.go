package receipts

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"sync"
	"time"

	"auditrelay/filter"

	"github.com/klauspost/compress/zstd"
)

// A frame, version 1:
//
//	version             one byte
//	checksum            CRC-32C of all that follows, 4 bytes
//	at                  Unix milliseconds of the seal, uvarint
//	first, last         the range of its sequences, uvarints
//	size                of the body before compression, uvarint
//	body                zstd
//
// and its body:
//
//	texts               a table: n, then length and bytes of each
//	configuration       the callback's digest, a text
//	visits              a table: n, then of each filter, kind, digest, version,
//	                    and n of path, operation, count
//	ways                a table: n, then of each outcome (a byte), cause, filter,
//	                    reason, emitted, digests (a byte), n visits
//	events              n, then of each the distance to the last sequence and the way
//	digests             of each event, in order, as its way says
//
// Texts, visits and ways are named by their place in their tables. A text that is
// a lower-case hexadecimal digest stands as its bytes.
const frameVersion = 1

// The digests present for an event.
const (
	hasInput  = 1 << 0
	hasOutput = 1 << 1
	unchanged = 1 << 2 // the output's digest equals the input's
)

// maxBody limits a frame's body and maxDecoded its size in memory, both in bytes. Both are well
// above what a chunk needs. If filters edit something else in every event of a chunk, its frame
// leaves out what they edited.
const (
	maxBody    = 32 << 20
	maxDecoded = 512 << 20
)

// Header is the part of a frame that needs no decompression.
type Header struct {
	At          time.Time
	First, Last uint64 // sequences; 0 if the frame is empty
}

// Frame is the receipts of one seal.
type Frame struct {
	Header
	Config   string // digest of the callback's configuration, if known
	Receipts []Receipt
}

// ErrDamaged means that a frame is not what was written.
var ErrDamaged = errors.New("damaged frame of receipts")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Codec encodes and decodes frames. It is safe for concurrent use.
type Codec struct {
	encoder *zstd.Encoder
	decoder *zstd.Decoder
	bodies  sync.Pool // of *[]byte, for decompression
}

// NewCodec returns a Codec. It starts no goroutines.
func NewCodec() (*Codec, error) {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithWindowSize(256<<10), zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, fmt.Errorf("receipts: %w", err)
	}
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxBody), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, fmt.Errorf("receipts: %w", err)
	}
	return &Codec{encoder: e, decoder: d}, nil
}

// Sealed is a frame that lacks only the time of its seal, so that the work is done before.
type Sealed struct {
	first, last uint64
	size        int
	body        []byte
}

// Seal returns the frame in its stored form.
func (s *Sealed) Seal(at time.Time) []byte {
	frame := make([]byte, 5, 5+4*binary.MaxVarintLen64+len(s.body))
	frame[0] = frameVersion
	frame = appendUvarint(frame, uint64(at.UnixMilli()))
	frame = appendUvarint(frame, s.first)
	frame = appendUvarint(frame, s.last)
	frame = appendUvarint(frame, uint64(s.size))
	frame = append(frame, s.body...)
	binary.LittleEndian.PutUint32(frame[1:], crc32.Checksum(frame[5:], castagnoli))
	return frame
}

// Encode makes a frame of receipts, which must be in the order of their sequences.
func (c *Codec) Encode(config string, receipts []Receipt) *Sealed {
	return c.EncodeEach(config, len(receipts), func(i int) Receipt { return receipts[i] })
}

// EncodeEach is like Encode for n receipts that at returns one by one. It may call at twice for
// each.
func (c *Codec) EncodeEach(config string, n int, at func(i int) Receipt) *Sealed {
	e := encoder{texts: map[string]uint64{}, ways: map[string]uint64{}, visits: map[string]uint64{}}
	body := e.encode(config, n, at)
	if len(body) > maxBody {
		e = encoder{texts: map[string]uint64{}, ways: map[string]uint64{}, visits: map[string]uint64{}, bare: true}
		body = e.encode(config, n, at)
	}
	return &Sealed{first: e.first, last: e.last, size: len(body), body: c.encoder.EncodeAll(body, make([]byte, 0, len(body)/2+64))}
}

// ReadHeader parses the part before the body. It does not read the body.
func ReadHeader(frame []byte) (Header, error) {
	h, _, _, err := split(frame)
	return h, err
}

func split(frame []byte) (h Header, size uint64, body []byte, err error) {
	if len(frame) < 5 {
		return h, 0, nil, ErrDamaged
	}
	if frame[0] != frameVersion {
		return h, 0, nil, fmt.Errorf("a frame of receipts has version %d, this program knows %d", frame[0], frameVersion)
	}
	if binary.LittleEndian.Uint32(frame[1:]) != crc32.Checksum(frame[5:], castagnoli) {
		return h, 0, nil, ErrDamaged
	}
	r := reader{in: frame[5:]}
	at := r.uvarint()
	h.First, h.Last = r.uvarint(), r.uvarint()
	size = r.uvarint()
	if r.failed || at > math.MaxInt64 || size > maxBody {
		return Header{}, 0, nil, ErrDamaged
	}
	h.At = time.UnixMilli(int64(at)).UTC()
	return h, size, r.in, nil
}

// encoder collects the tables of one frame.
type encoder struct {
	texts       map[string]uint64
	visits      map[string]uint64
	ways        map[string]uint64
	textTable   []byte
	visitTable  []byte
	wayTable    []byte
	events      []byte
	digests     []byte
	key         []byte
	lastTrail   Trail
	lastIndexes []byte
	lastWay     Receipt // of the previous receipt, with its marks and index
	lastMarks   byte
	lastPlace   uint64
	first, last uint64 // sequences
	bare        bool   // states only that a filter edited something, not what
}

func (e *encoder) encode(config string, n int, at func(i int) Receipt) []byte {
	conf := e.text(config)
	e.events = make([]byte, 0, 3*n)
	e.digests = make([]byte, 0, 2*len(Digest{})*n)
	for i := range n {
		one := at(i)
		r := &one
		marks := marksOf(r)
		e.events = appendUvarint(e.events, r.Sequence-e.last)
		e.events = appendUvarint(e.events, e.way(r, marks))
		if e.last = r.Sequence; i == 0 {
			e.first = r.Sequence
		}
		if marks&hasInput != 0 {
			e.digests = append(e.digests, r.Input[:]...)
		}
		if marks&hasOutput != 0 && marks&unchanged == 0 {
			e.digests = append(e.digests, r.Output[:]...)
		}
	}
	body := make([]byte, 0, len(e.textTable)+len(e.visitTable)+len(e.wayTable)+len(e.events)+len(e.digests)+32)
	body = append(appendUvarint(body, uint64(len(e.texts))), e.textTable...)
	body = appendUvarint(body, conf)
	body = append(appendUvarint(body, uint64(len(e.visits))), e.visitTable...)
	body = append(appendUvarint(body, uint64(len(e.ways))), e.wayTable...)
	body = append(appendUvarint(body, uint64(n)), e.events...)
	return append(body, e.digests...)
}

func marksOf(r *Receipt) byte {
	marks := byte(0)
	if r.Input != (Digest{}) {
		marks |= hasInput
	}
	if r.Output != (Digest{}) {
		marks |= hasOutput
		if r.Output == r.Input {
			marks |= unchanged
		}
	}
	return marks
}

// text returns the index of s in the table.
func (e *encoder) text(s string) uint64 {
	i, ok := e.texts[s]
	if !ok {
		i = uint64(len(e.texts))
		e.texts[s] = i
		e.textTable = appendTableText(e.textTable, s)
	}
	return i
}

func (e *encoder) visit(v *Visit) uint64 {
	if e.bare && len(v.Touched) > 0 {
		v = &Visit{Filter: v.Filter, Description: v.Description, Touched: []filter.Touch{{Path: "**", Operation: "edit", Count: 1}}}
	}
	e.key = appendVisit(e.key[:0], v)
	i, ok := e.visits[string(e.key)]
	if !ok {
		i = uint64(len(e.visits))
		e.visits[string(e.key)] = i
		for _, s := range [...]string{v.Filter, v.Kind, v.Digest, v.Version} {
			e.visitTable = appendUvarint(e.visitTable, e.text(s))
		}
		e.visitTable = appendUvarint(e.visitTable, uint64(len(v.Touched)))
		for _, t := range v.Touched {
			e.visitTable = appendUvarint(e.visitTable, e.text(t.Path))
			e.visitTable = appendUvarint(e.visitTable, e.text(t.Operation))
			e.visitTable = appendUvarint(e.visitTable, uint64(max(t.Count, 0)))
		}
	}
	return i
}

// trail returns the indices of the visits in t as a way contains them.
func (e *encoder) trail(t Trail) []byte {
	// Consecutive events mostly share their trail.
	if e.lastIndexes != nil && t.is(e.lastTrail) {
		return e.lastIndexes
	}
	e.lastTrail = t
	e.lastIndexes = appendUvarint(e.lastIndexes[:0], uint64(len(t)))
	for i := range t {
		e.lastIndexes = appendUvarint(e.lastIndexes, e.visit(&t[i]))
	}
	return e.lastIndexes
}

// is reports whether two trails are the same slice.
func (t Trail) is(other Trail) bool {
	return len(t) == len(other) && (len(t) == 0 || &t[0] == &other[0])
}

// way returns the index of a receipt's way in the table. Consecutive events mostly share it.
func (e *encoder) way(r *Receipt, marks byte) uint64 {
	if l := &e.lastWay; len(e.ways) > 0 && marks == e.lastMarks && r.Outcome == l.Outcome && r.Cause == l.Cause && r.Filter == l.Filter &&
		r.Reason == l.Reason && r.Emitted == l.Emitted && r.Trail.is(l.Trail) {
		return e.lastPlace
	}
	e.lastWay, e.lastMarks, e.lastPlace = *r, marks, e.findWay(r, marks)
	return e.lastPlace
}

func (e *encoder) findWay(r *Receipt, marks byte) uint64 {
	trail := e.trail(r.Trail)
	w := append(e.key[:0], byte(r.Outcome))
	w = appendUvarint(w, e.text(string(r.Cause)))
	w = appendUvarint(w, e.text(r.Filter))
	w = appendUvarint(w, e.text(r.Reason))
	w = appendUvarint(w, uint64(max(r.Emitted, 0)))
	w = append(w, marks)
	w = append(w, trail...)
	e.key = w
	i, ok := e.ways[string(w)]
	if !ok {
		i = uint64(len(e.ways))
		e.ways[string(w)] = i
		e.wayTable = append(e.wayTable, w...)
	}
	return i
}

func appendUvarint(dst []byte, v uint64) []byte { return binary.AppendUvarint(dst, v) }

func appendText(dst []byte, s string) []byte {
	return append(appendUvarint(dst, uint64(len(s))), s...)
}

// appendTableText appends a text of the table, preceded by twice its length, plus one if
// hexadecimal digits are stored as bytes.
func appendTableText(dst []byte, s string) []byte {
	if len(s) >= 32 && len(s)%2 == 0 {
		if raw, err := hex.DecodeString(s); err == nil && hex.EncodeToString(raw) == s {
			return append(appendUvarint(dst, uint64(len(raw))<<1|1), raw...)
		}
	}
	return append(appendUvarint(dst, uint64(len(s))<<1), s...)
}
