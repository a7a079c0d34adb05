package ingest

import (
	"errors"
	"fmt"
	"strings"

	"auditrelay/document"
)

// Kind says what there is to be done with what was refused.
type Kind uint8

const (
	// Odd is a JSON object that is no event: someone may look at it and mend it.
	Odd Kind = iota + 1
	// Unframeable is no JSON object at all, or more than the limits allow.
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

// MarshalText makes a Kind its name in JSON.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// Reason is why something was refused, from a closed set: safe in metrics.
type Reason string

// The reasons for which Check refuses one event.
const (
	Syntax        Reason = "syntax"         // not valid JSON, or cut short
	UTF8          Reason = "utf8"           // bytes that are not UTF-8
	NotObject     Reason = "not_object"     // JSON, but no object
	Trailing      Reason = "trailing"       // more after the object
	TooLarge      Reason = "too_large"      // over Limits.EventBytes
	TooDeep       Reason = "too_deep"       // over Limits.Depth
	DuplicateKey  Reason = "duplicate_key"  // one object, one key, twice
	LoneSurrogate Reason = "lone_surrogate" // an escape that is half a character
	Missing       Reason = "missing"        // a required field is absent
	WrongType     Reason = "wrong_type"     // a field of the schema has another type
	Empty         Reason = "empty"          // a required field is the empty string
	TooLong       Reason = "too_long"       // id or action over its bound
	Reserved      Reason = "reserved"       // table_name is one of the relay's own records
)

// The reasons for which a Reader gives up on a body, beside TooLarge for one
// event of it.
const (
	NoEvents      Reason = "no_events"       // nothing but white space
	Truncated     Reason = "truncated"       // the body ends within an event or array
	Frame         Reason = "frame"           // where the next event begins cannot be told
	BodyTooLarge  Reason = "body_too_large"  // over Limits.BodyBytes
	TooManyEvents Reason = "too_many_events" // over Limits.Events
	Ratio         Reason = "ratio"           // over Limits.Ratio
	MediaType     Reason = "media_type"      // a content encoding other than gzip and zstd
	Compression   Reason = "compression"     // the compressed data is damaged
	Unread        Reason = "unread"          // reading failed: the connection broke
)

// Reasons returns every reason, in the order in which they are documented.
func Reasons() []Reason {
	return []Reason{
		Syntax, UTF8, NotObject, Trailing, TooLarge, TooDeep, DuplicateKey, LoneSurrogate,
		Missing, WrongType, Empty, TooLong,
		NoEvents, Truncated, Frame, BodyTooLarge, TooManyEvents, Ratio, MediaType, Compression, Unread,
	}
}

// EventError says why an event, or the rest of a body, was refused. It names
// places and fields, never values.
type EventError struct {
	Index  int    // which event of the body, from 0; set by the caller of Check
	Field  string // the field, as a path; empty for the event as a whole
	Kind   Kind
	Reason Reason
	// Message says what is wrong in words, without index, field and offset.
	Message string
	// Offset is the fault's position in the event, from Check; in the body
	// (decompressed), from a Reader. -1 where there is none.
	Offset int64
	// Rest is set by a Reader when the error stands for this event and all that
	// would have followed.
	Rest bool
	// Err is the cause, where another package named one.
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

// refusal puts a fault that document.Check found into this package's terms.
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
