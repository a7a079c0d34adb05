package ingest

import (
	"bytes"
	"fmt"
	"io"
	"iter"
	"mime"
	"strings"
)

// Raw is one unchecked event of a body.
type Raw struct {
	Index  int   // in the body, from 0
	Offset int64 // of its start in the decompressed body
	// Data is the event without surrounding white space. It belongs to the Reader and is valid
	// until the next call.
	Data []byte
}

// Reader returns the events of a body: one JSON object, an array of them, or one per line
// (NDJSON). For any body size, it holds only one event and a read buffer at a time. It is not
// safe for concurrent use.
type Reader struct {
	src    *body
	limits Limits
	step   func(*Reader) (span, *EventError) // moves to the next event
	index  int
	ended  bool

	buf        []byte // buf[start:end] is read but not yet returned
	start, end int
	base       int64 // offset of buf[0] in the body
	srcErr     error // how the body ended; io.EOF is normal

	frame frame
	array bool // the body is an array, which may be empty
}

// span is the position of an event in the buffer. The zero span is the end of the body.
type span struct{ from, to int }

const (
	// FirstBuffer is the buffer size of a Reader until it is full. A slow or silent sender
	// costs little memory.
	FirstBuffer = 4 << 10
	// initialBuffer holds a few tens of ordinary events.
	initialBuffer = 32 << 10
)

// NewReader returns a Reader of body. The content type is an HTTP media type.
// application/x-ndjson (or application/ndjson, jsonl, jsonlines) means one event per line. For
// any other type, or none, the first bytes decide: "[" begins an array; an object that
// continues after its first line is the only event; everything else is one event per line. The
// content encoding is an HTTP one: gzip, zstd or none. Next returns all errors.
func NewReader(body io.Reader, contentType, contentEncoding string, l Limits) *Reader {
	l = l.orDefaults()
	r := &Reader{src: newBody(body, contentEncoding, l), limits: l, step: (*Reader).detect}
	if media, _, err := mime.ParseMediaType(contentType); err == nil {
		switch strings.TrimPrefix(media, "application/") {
		case "x-ndjson", "ndjson", "jsonl", "x-jsonl", "jsonlines", "x-jsonlines":
			r.step = (*Reader).detectLines
		}
	}
	return r
}

// Next returns the next event. At the end of the body the error is io.EOF. Any other error is
// an *EventError with its index. It refuses one event, and the next call continues after it. If
// Rest is set, it refuses this event and everything after it, and the next call returns io.EOF.
func (r *Reader) Next() (Raw, error) {
	if r.ended {
		return Raw{}, io.EOF
	}
	at, fault := r.step(r)
	switch {
	case fault != nil:
	case at != span{} && r.limits.Events >= 0 && r.index >= r.limits.Events:
		fault = r.rest(TooManyEvents, fmt.Sprintf("more than %d events; send fewer a request", r.limits.Events), at.from)
	case at != span{}:
		r.index++
		return Raw{Index: r.index - 1, Offset: r.base + int64(at.from), Data: r.buf[at.from:at.to]}, nil
	case r.index == 0 && !r.array:
		fault = r.rest(NoEvents, "the body is empty", r.end)
	default:
		r.ended = true
		return Raw{}, io.EOF
	}
	fault.Index = r.index
	r.index++
	r.ended = fault.Rest
	return Raw{}, fault
}

// All ranges over the results of Next, to the end of the body.
func (r *Reader) All() iter.Seq2[Raw, error] {
	return func(yield func(Raw, error) bool) {
		for {
			raw, err := r.Next()
			if err == io.EOF || !yield(raw, err) {
				return
			}
		}
	}
}

// detect distinguishes one object, an array, and one event per line.
func (r *Reader) detect() (span, *EventError) {
	r.skipMark()
	if !r.skipSpace() {
		return span{}, r.bodyFault()
	}
	switch {
	case r.buf[r.start] == '[':
		r.start++
		r.array, r.step = true, (*Reader).firstElement
	case r.buf[r.start] == '{' && r.spansLines():
		r.step = (*Reader).whole
	default:
		r.step = (*Reader).line
	}
	return r.step(r)
}

func (r *Reader) detectLines() (span, *EventError) {
	r.skipMark()
	r.step = (*Reader).line
	return r.line()
}

// spansLines reports whether the first line ends inside its first value, outside strings.
func (r *Reader) spansLines() bool {
	r.frame.reset()
	for scanned := 0; ; {
		piece := r.buf[r.start+scanned : r.end]
		feed := bytes.IndexByte(piece, '\n')
		if feed >= 0 {
			piece = piece[:feed+1]
		}
		if _, p := r.frame.scan(piece); p != unfinished {
			return false
		}
		scanned += len(piece)
		if feed >= 0 {
			return true
		}
		if r.over(scanned) || !r.more() {
			return false
		}
	}
}

// whole returns the body as one event.
func (r *Reader) whole() (span, *EventError) {
	for more := true; more; more = r.more() {
		if r.over(r.end - r.start) {
			fault := r.tooLarge(r.start)
			fault.Rest = true
			return span{}, fault
		}
	}
	if fault := r.bodyFault(); fault != nil {
		return span{}, fault
	}
	from := r.start
	r.start = r.end
	r.step = func(*Reader) (span, *EventError) { return span{}, nil }
	return r.trimmed(from, r.end), nil
}

// line returns the next non-blank line.
func (r *Reader) line() (span, *EventError) {
	if !r.skipSpace() {
		return span{}, r.bodyFault()
	}
	for searched := 0; ; {
		if feed := bytes.IndexByte(r.buf[r.start+searched:r.end], '\n'); feed >= 0 {
			from, to := r.start, r.start+searched+feed
			r.start = to + 1
			if at := r.trimmed(from, to); !r.over(at.to - at.from) {
				return at, nil
			}
			return span{}, r.tooLarge(from)
		}
		searched = r.end - r.start
		if r.over(searched - 1) { // its last byte may be the return before a line feed
			return span{}, r.skipLine()
		}
		if r.more() {
			continue
		}
		if fault := r.bodyFault(); fault != nil {
			return span{}, fault
		}
		from := r.start
		r.start = r.end
		if at := r.trimmed(from, r.end); !r.over(at.to - at.from) {
			return at, nil
		}
		return span{}, r.tooLarge(from)
	}
}

// skipLine skips the rest of an oversized line. If the body breaks off there, the next call
// reports it.
func (r *Reader) skipLine() *EventError {
	fault := r.tooLarge(r.start)
	for {
		if feed := bytes.IndexByte(r.buf[r.start:r.end], '\n'); feed >= 0 {
			r.start += feed + 1
			return fault
		}
		r.start = r.end
		if !r.more() {
			return fault
		}
	}
}

// firstElement returns the first element of an array, if there is one.
func (r *Reader) firstElement() (span, *EventError) {
	if !r.skipSpace() {
		return span{}, r.cutShort()
	}
	if r.buf[r.start] == ']' {
		return span{}, r.closeArray()
	}
	r.step = (*Reader).nextElement
	return r.element()
}

// nextElement returns the element after a comma.
func (r *Reader) nextElement() (span, *EventError) {
	if !r.skipSpace() {
		return span{}, r.cutShort()
	}
	switch r.buf[r.start] {
	case ']':
		return span{}, r.closeArray()
	case ',':
		r.start++
		if !r.skipSpace() {
			return span{}, r.cutShort()
		}
		return r.element()
	}
	return span{}, r.rest(Frame, "expected a comma or the end of the array", r.start)
}

// element returns the value that begins at start. It skips an oversized one.
func (r *Reader) element() (span, *EventError) {
	r.frame.reset()
	var fault *EventError
	for scanned := 0; ; {
		n, p := r.frame.scan(r.buf[r.start+scanned : r.end])
		scanned += n
		switch {
		case p == damaged:
			return span{}, r.rest(Frame, "brackets or quotes do not match: where the next event begins cannot be told", r.start+scanned)
		case fault == nil && r.over(scanned):
			fault = r.tooLarge(r.start)
		}
		switch {
		case p == finished && fault != nil:
			r.start += scanned
			return span{}, fault
		case p == finished:
			at := span{r.start, r.start + scanned}
			r.start = at.to
			return at, nil
		case fault != nil:
			r.start, scanned = r.end, 0
		}
		if !r.more() {
			return span{}, r.cutShort()
		}
	}
}

// closeArray checks that nothing follows the array. Its closing bracket is at start.
func (r *Reader) closeArray() *EventError {
	r.start++
	if r.skipSpace() {
		return r.rest(Trailing, "more data after the array", r.start)
	}
	return r.bodyFault()
}
