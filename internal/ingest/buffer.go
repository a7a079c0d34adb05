package ingest

import (
	"errors"
	"fmt"
	"io"
)

// The Reader's buffer: bytes read from the body but not yet returned.

// more reads more bytes, and reports whether it got any. It moves the bytes between start and
// end to the beginning of the buffer.
func (r *Reader) more() bool {
	if r.srcErr != nil {
		return false
	}
	if r.buf == nil {
		r.buf = make([]byte, FirstBuffer)
	}
	if r.start > 0 {
		copy(r.buf, r.buf[r.start:r.end])
		r.base += int64(r.start)
		r.start, r.end = 0, r.end-r.start
	}
	if len(r.buf) < initialBuffer && r.base+int64(r.end) >= FirstBuffer {
		r.buf = append(r.buf, make([]byte, initialBuffer-len(r.buf))...)
	}
	if r.end == len(r.buf) {
		// No caller reads more once it has over one event's limit.
		r.buf = append(r.buf, make([]byte, len(r.buf))...)
	}
	for range 100 {
		n, err := r.src.Read(r.buf[r.end:])
		r.end += n
		r.srcErr = err
		if n > 0 || err != nil {
			return n > 0
		}
	}
	r.srcErr = bodyError(Unread, "the body could not be read to its end", io.ErrNoProgress)
	return false
}

// skipMark skips a byte order mark at the beginning of the body.
func (r *Reader) skipMark() {
	const mark = "\ufeff"
	for r.end < len(mark) && r.more() {
	}
	if r.end >= len(mark) && string(r.buf[:len(mark)]) == mark {
		r.start = len(mark)
	}
}

// skipSpace moves start to the next byte that is not white space, and reports whether there is
// one.
func (r *Reader) skipSpace() bool {
	for {
		for r.start < r.end && class[r.buf[r.start]] == space {
			r.start++
		}
		if r.start < r.end {
			return true
		}
		if !r.more() {
			return false
		}
	}
}

// trimmed returns the span without white space at its end.
func (r *Reader) trimmed(from, to int) span {
	for to > from && class[r.buf[to-1]] == space {
		to--
	}
	return span{from, to}
}

// over reports whether n bytes exceed the limit of an event.
func (r *Reader) over(n int) bool { return int64(n) > r.limits.EventBytes }

// tooLarge returns the error for an oversized event at this position in the buffer.
func (r *Reader) tooLarge(at int) *EventError {
	return &EventError{Kind: Unframeable, Reason: TooLarge, Offset: r.base + int64(at),
		Message: fmt.Sprintf("larger than %d bytes", r.limits.EventBytes)}
}

// rest returns the error that refuses everything from this position in the buffer.
func (r *Reader) rest(reason Reason, message string, at int) *EventError {
	e := bodyError(reason, message, nil)
	e.Offset = r.base + int64(at)
	return e
}

// bodyFault returns why the body ended, or nil if it ended normally.
func (r *Reader) bodyFault() *EventError {
	e, ok := errors.AsType[*EventError](r.srcErr)
	if !ok {
		return nil
	}
	e.Offset = r.base + int64(r.end)
	return e
}

// cutShort returns why the body ended within an array.
func (r *Reader) cutShort() *EventError {
	if fault := r.bodyFault(); fault != nil {
		return fault
	}
	return r.rest(Truncated, "the body ends within the array", r.end)
}
