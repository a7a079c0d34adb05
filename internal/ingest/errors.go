package ingest

import (
	"errors"
	"fmt"
	"strings"

	"auditrelay/document"
)

// Kind classifies refused input.
type Kind uint8

const (
	// Odd is a JSON object that is no event. Somebody may inspect and correct it.
	Odd Kind = iota + 1
	// Unframeable is no JSON object, or exceeds the limits.
	Unframeable
)

func (k Kind) String() string {
	switch k {
	case Odd:
		return "odd"
	case Unframeable:
		return "unframeable"
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// MarshalText encodes a Kind as its name.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// Reason is the reason for a refusal. The set is closed, so it is safe in metrics.
type Reason string

// The reasons why Check refuses an event.
const (
	Syntax        Reason = "syntax"         // invalid or truncated JSON
	UTF8          Reason = "utf8"           // bytes that are not UTF-8
	NotObject     Reason = "not_object"     // JSON, but no object
	Trailing      Reason = "trailing"       // data after the object
	TooLarge      Reason = "too_large"      // over Limits.EventBytes
	TooDeep       Reason = "too_deep"       // over Limits.Depth
	DuplicateKey  Reason = "duplicate_key"  // the same key twice in one object
	LoneSurrogate Reason = "lone_surrogate" // an escape for half a character
	Missing       Reason = "missing"        // a required field is absent
	WrongType     Reason = "wrong_type"     // a schema field has another type
	Empty         Reason = "empty"          // a required field is empty
	TooLong       Reason = "too_long"       // id or action over its limit
	Reserved      Reason = "reserved"       // table_name belongs to the relay's own records
)

// The reasons why a Reader gives up on a body, besides TooLarge for one event.
const (
	NoEvents      Reason = "no_events"       // only white space
	Truncated     Reason = "truncated"       // the body ends within an event or array
	Frame         Reason = "frame"           // the start of the next event is unknown
	BodyTooLarge  Reason = "body_too_large"  // over Limits.BodyBytes
	TooManyEvents Reason = "too_many_events" // over Limits.Events
	Ratio         Reason = "ratio"           // over Limits.Ratio
	MediaType     Reason = "media_type"      // a content encoding other than gzip and zstd
	Compression   Reason = "compression"     // the compressed data is damaged
	Unread        Reason = "unread"          // reading failed: the connection broke
)

// Reasons returns every reason, in the order of the documentation.
func Reasons() []Reason {
	return []Reason{
		Syntax, UTF8, NotObject, Trailing, TooLarge, TooDeep, DuplicateKey, LoneSurrogate,
		Missing, WrongType, Empty, TooLong,
		NoEvents, Truncated, Frame, BodyTooLarge, TooManyEvents, Ratio, MediaType, Compression, Unread,
	}
}

// EventError is the reason for refusing an event, or the rest of a body. It contains positions
// and field names, never values.
type EventError struct {
	Index  int    // index of the event in the body, from 0; set by Check's caller
	Field  string // the field as a path; empty for the whole event
	Kind   Kind
	Reason Reason
	// Message is the fault in words, without index, field and offset.
	Message string
	// Offset is the position of the fault: in the event from Check, in the decompressed body
	// from a Reader. -1 means none.
	Offset int64
	// Rest is set by a Reader if the error applies to this event and everything after it.
	Rest bool
	// Err is the cause if another package returned one.
	Err error
}

func (e *EventError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "event %d", e.Index)
	if e.Rest {
		b.WriteString(" and what follows")
	}
	b.WriteString(" refused: ")
	if e.Field != "" {
		fmt.Fprintf(&b, "field %q: ", e.Field)
	}
	b.WriteString(e.Message)
	if e.Offset >= 0 {
		fmt.Fprintf(&b, " (at byte %d)", e.Offset)
	}
	return b.String()
}

func (e *EventError) Unwrap() error { return e.Err }

// refusal converts an error of document.Check to an EventError.
func refusal(err error) *EventError {
	e := &EventError{Kind: Unframeable, Reason: Syntax, Message: "not valid JSON", Offset: -1, Err: err}
	d, ok := errors.AsType[*document.Error](err)
	if !ok {
		return e
	}
	e.Field, e.Offset = d.Path, int64(d.Offset)
	switch d.Reason {
	case document.UTF8:
		e.Reason, e.Message = UTF8, "bytes that are not UTF-8; send UTF-8"
	case document.NotObject:
		e.Reason, e.Message = NotObject, "not a JSON object"
	case document.Trailing:
		e.Reason, e.Message = Trailing, "more data after the object; send an array or one object a line"
	case document.TooLarge:
		e.Reason, e.Message, e.Offset = TooLarge, fmt.Sprintf("larger than %d bytes", d.Limit), -1
	case document.TooDeep:
		e.Kind, e.Reason, e.Message = Odd, TooDeep, fmt.Sprintf("nested deeper than %d levels", d.Limit)
	case document.DuplicateKey:
		e.Kind, e.Reason, e.Message = Odd, DuplicateKey, "the same key twice in one object"
	case document.LoneSurrogate:
		e.Kind, e.Reason, e.Message = Odd, LoneSurrogate, "an escape that is half of a surrogate pair"
	}
	return e
}
