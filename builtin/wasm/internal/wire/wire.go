// Package wire defines the messages between a relay and its guest worker in shared memory:
// requests with events, and answers with the guests' results.
//
// A worker may lie. The relay copies an answer before it decodes it. Decoding accepts nothing
// beyond the given limits and never reads outside the answer.
//
// Numbers are unsigned varints. A text is preceded by its length.
package wire

import (
	"encoding/binary"
	"errors"
	"math"
	"time"
	"unsafe"
)

// Event is one event of a request.
type Event struct {
	Sequence  uint64
	Received  time.Time
	Namespace string
	ID        string
	Accepted  int    // length of the accepted event's data
	Data      []byte // the current document
	Gaps      []byte // its deleted elements, as document.AppendGaps writes them
}

// Line is a guest's log line.
type Line struct {
	Level int // the level of package slog
	Text  []byte
}

// Emit is a record for another callback, which is given by its index among the granted ones.
type Emit struct {
	Target int
	Data   []byte
}

// Count adds N to a metric, which is given by its index among the granted ones.
type Count struct {
	Metric int
	N      uint64
}

// Result is a guest's result for one event.
type Result struct {
	Verdict byte // Keep, Drop or Failed
	Cause   byte // cause of a failure
	Text    []byte
	Reason  []byte
	Fuel    int64
	Memory  int64
	Edits   []byte // a recording of package hostfuncs
	Emits   []Emit
	Counts  []Count
	Lines   []Line
}

// The verdicts.
const (
	Keep   = 1
	Drop   = 2
	Failed = 3
)

// Started is the result of an instance's start.
type Started struct {
	Failed bool
	Cause  byte
	Text   []byte
	Fuel   int64
	Paths  [][]byte // the paths that it interned
	Lines  []Line
}

// Limits limit an answer.
type Limits struct {
	Causes    int // number of causes
	Text      int // bytes of a failure's text, a reason and a line
	Emits     int // records for one event
	EmitBytes int
	Targets   int // number of callbacks that may get records
	Metrics   int
	Lines     int // lines for one event
	Paths     int
	PathBytes int
}

var errShort = errors.New("the answer ends too early")

// AppendEvent appends an event of a request.
func AppendEvent(dst []byte, e *Event) []byte {
	dst = binary.AppendUvarint(dst, e.Sequence)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(e.Received.UnixNano()))
	dst = appendText(dst, e.Namespace)
	dst = appendText(dst, e.ID)
	dst = binary.AppendUvarint(dst, uint64(e.Accepted))
	dst = appendBytes(dst, e.Data)
	return appendBytes(dst, e.Gaps)
}

// EventSize returns the maximum number of bytes that AppendEvent appends.
func EventSize(e *Event) int {
	return 6*binary.MaxVarintLen64 + 8 + len(e.Namespace) + len(e.ID) + len(e.Data) + len(e.Gaps)
}

// ReadEvent reads an event of a request into e and returns the rest of b. The event's bytes,
// including its ID's, are part of b. A namespace that equals e's causes no allocation.
func ReadEvent(b []byte, e *Event) (rest []byte, err error) {
	r := reader{b: b}
	e.Sequence = r.number()
	e.Received = time.Unix(0, int64(r.fixed())).UTC()
	if n := r.bytes(math.MaxInt32); string(n) != e.Namespace {
		e.Namespace = string(n)
	}
	id := r.bytes(math.MaxInt32)
	e.ID = unsafe.String(unsafe.SliceData(id), len(id))
	e.Accepted = r.size(math.MaxInt32)
	e.Data, e.Gaps = r.bytes(math.MaxInt32), r.bytes(math.MaxInt32)
	return r.b, r.err
}

// The parts of a result besides its verdict and usage. Most results only have edits.
const (
	partReason = 1 << iota
	partLines
	partEdits
	partEmits
	partCounts
	parts // one more than the sum of all
)

// AppendResult appends a result.
func AppendResult(dst []byte, v *Result) []byte {
	has := byte(0)
	part := func(bit byte, n int) {
		if n > 0 {
			has |= bit
		}
	}
	part(partReason, len(v.Reason))
	part(partLines, len(v.Lines))
	if v.Verdict != Failed {
		part(partEdits, len(v.Edits))
		part(partEmits, len(v.Emits))
		part(partCounts, len(v.Counts))
	}
	dst = append(dst, v.Verdict, has)
	dst = binary.AppendUvarint(dst, uint64(max(v.Fuel, 0)))
	dst = binary.AppendUvarint(dst, uint64(max(v.Memory, 0)))
	if has&partReason != 0 {
		dst = appendBytes(dst, v.Reason)
	}
	if has&partLines != 0 {
		dst = appendLines(dst, v.Lines)
	}
	if v.Verdict == Failed {
		return appendBytes(append(dst, v.Cause), v.Text)
	}
	if has&partEdits != 0 {
		dst = appendBytes(dst, v.Edits)
	}
	if has&partEmits != 0 {
		dst = binary.AppendUvarint(dst, uint64(len(v.Emits)))
		for _, e := range v.Emits {
			dst = binary.AppendUvarint(dst, uint64(e.Target))
			dst = appendBytes(dst, e.Data)
		}
	}
	if has&partCounts != 0 {
		dst = binary.AppendUvarint(dst, uint64(len(v.Counts)))
		for _, c := range v.Counts {
			dst = binary.AppendUvarint(dst, uint64(c.Metric))
			dst = binary.AppendUvarint(dst, c.N)
		}
	}
	return dst
}

// ResultSize is the most that AppendResult appends.
func ResultSize(v *Result) int {
	n := 9*binary.MaxVarintLen64 + 3 + len(v.Reason) + len(v.Text) + len(v.Edits) + 2*binary.MaxVarintLen64*len(v.Counts)
	for _, l := range v.Lines {
		n += 2*binary.MaxVarintLen64 + len(l.Text)
	}
	for _, e := range v.Emits {
		n += 2*binary.MaxVarintLen64 + len(e.Data)
	}
	return n
}

// ReadResult reads a result into v, whose slices it reuses, and returns the rest of b. v's
// bytes are part of b.
func ReadResult(b []byte, v *Result, l Limits) (rest []byte, err error) {
	r := reader{b: b}
	*v = Result{Verdict: r.byte(), Lines: v.Lines[:0], Emits: v.Emits[:0], Counts: v.Counts[:0]}
	has := r.byte()
	if has >= parts {
		r.fail("an unknown part")
	}
	v.Fuel, v.Memory = r.long(), r.long()
	if has&partReason != 0 {
		v.Reason = r.bytes(l.Text)
	}
	if has&partLines != 0 {
		v.Lines = r.lines(v.Lines, l)
	}
	switch v.Verdict {
	case Failed:
		if v.Cause = r.byte(); int(v.Cause) >= l.Causes {
			r.fail("an unknown cause")
		}
		v.Text = r.bytes(l.Text)
		return r.b, r.err
	case Keep, Drop:
	default:
		r.fail("an unknown verdict")
	}
	if has&partEdits != 0 {
		v.Edits = r.bytes(len(r.b))
	}
	if has&partEmits != 0 {
		r.emits(v, l)
	}
	if has&partCounts != 0 {
		for range r.size(l.Metrics) {
			v.Counts = append(v.Counts, Count{Metric: r.index(l.Metrics), N: r.number()})
		}
	}
	return r.b, r.err
}

func (r *reader) emits(v *Result, l Limits) {
	total := 0
	for range r.size(l.Emits) {
		e := Emit{Target: r.index(l.Targets), Data: r.bytes(l.EmitBytes)}
		if total += len(e.Data); total > l.EmitBytes {
			r.fail("the records have too many bytes")
		}
		v.Emits = append(v.Emits, e)
	}
}

// AppendStarted appends the result of a start.
func AppendStarted(dst []byte, v *Started) []byte {
	failed := byte(0)
	if v.Failed {
		failed = 1
	}
	dst = append(dst, failed, v.Cause)
	dst = appendBytes(dst, v.Text)
	dst = binary.AppendUvarint(dst, uint64(max(v.Fuel, 0)))
	dst = binary.AppendUvarint(dst, uint64(len(v.Paths)))
	for _, p := range v.Paths {
		dst = appendBytes(dst, p)
	}
	return appendLines(dst, v.Lines)
}

// ReadStarted reads the result of a start. Its bytes are part of b.
func ReadStarted(b []byte, l Limits) (v Started, err error) {
	r := reader{b: b}
	failed := r.byte()
	v = Started{Failed: failed == 1, Cause: r.byte(), Text: r.bytes(l.Text), Fuel: r.long()}
	if failed > 1 || int(v.Cause) >= l.Causes {
		r.fail("an unknown cause")
	}
	total := 0
	for range r.size(l.Paths) {
		p := r.bytes(l.PathBytes)
		if total += len(p); total > l.PathBytes {
			r.fail("the paths have too many bytes")
		}
		v.Paths = append(v.Paths, p)
	}
	v.Lines = r.lines(nil, l)
	if len(r.b) > 0 {
		r.fail("unexpected data at the end")
	}
	return v, r.err
}

func appendBytes(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func appendLines(dst []byte, lines []Line) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(lines)))
	for _, l := range lines {
		dst = binary.AppendVarint(dst, int64(l.Level))
		dst = appendBytes(dst, l.Text)
	}
	return dst
}

// reader reads from b. After the first error it returns zero values.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(text string) {
	if r.err == nil {
		r.err = errors.New(text)
	}
	r.b = nil
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.short()
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) short() {
	if r.err == nil {
		r.err = errShort
	}
	r.b = nil
}

func (r *reader) number() uint64 {
	if len(r.b) > 0 && r.b[0] < 0x80 {
		v := r.b[0]
		r.b = r.b[1:]
		return uint64(v)
	}
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.short()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) fixed() uint64 {
	if len(r.b) < 8 {
		r.short()
		return 0
	}
	v := binary.LittleEndian.Uint64(r.b)
	r.b = r.b[8:]
	return v
}

// long reads a number that must be a positive int64.
func (r *reader) long() int64 {
	v := r.number()
	if v > math.MaxInt64 {
		r.fail("a number is too large")
		return 0
	}
	return int64(v)
}

// size reads a number that must be at most most.
func (r *reader) size(most int) int {
	v := r.number()
	if v > uint64(most) {
		r.fail("a number is over its limit")
		return 0
	}
	return int(v)
}

// index reads a number that must be below n.
func (r *reader) index(n int) int {
	v := r.number()
	if v >= uint64(n) {
		r.fail("an unknown number")
		return 0
	}
	return int(v)
}

func (r *reader) bytes(most int) []byte {
	n := r.size(most)
	if n > len(r.b) {
		r.short()
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) lines(dst []Line, l Limits) []Line {
	for range r.size(l.Lines) {
		level, n := binary.Varint(r.b)
		if n <= 0 {
			r.short()
			break
		}
		r.b = r.b[n:]
		dst = append(dst, Line{Level: int(max(-8, min(level, 8))), Text: r.bytes(l.Text)})
	}
	return dst
}
