package ingest

import (
	"bytes"
	"fmt"
	"strings"
	"time"
	"unicode"

	"auditrelay"
	"auditrelay/document"
	"auditrelay/internal/keyname"
)

// actionBytes limits the decoded text of an action. LiteLLM's own actions have at most nine
// bytes. Unknown ones are kept unchanged.
const actionBytes = 128

// Check reports whether data is one event in LiteLLM's schema, and reads the fields that the
// relay needs: identity, action and time. The caller sets Sequence, Received and Provenance,
// and also Time if TimeFrom is TimeMissing or TimeUnreadable. The event's Data is data itself,
// not a copy.
//
// The error is an *EventError. For an ordinary event, Check allocates only the id.
func Check(data []byte, l Limits) (auditrelay.Event, error) {
	l = l.orDefaults()
	if err := CheckDocument(data, l); err != nil {
		return auditrelay.Event{}, err
	}
	e, fault := read(data, l)
	if fault != nil {
		return auditrelay.Event{}, fault
	}
	return e, nil
}

// CheckDocument reports whether data is one JSON object within the limits, with any fields. The
// error is an *EventError.
func CheckDocument(data []byte, l Limits) error {
	l = l.orDefaults()
	if err := document.Check(data, document.Limits{Bytes: int(l.EventBytes), Depth: l.Depth}); err != nil {
		return refusal(err)
	}
	return nil
}

// field is a field of the schema with its own type. Fields without a type, known or not, are
// other.
type field uint8

const (
	other field = iota
	text        // a string or null
	table       // likewise, and no name of the relay's own
	id
	action
	updatedAt
)

// fieldOf knows StandardAuditLogPayload. before_value and updated_values are usually strings
// with JSON, objects when read from the database, and rarely a list or scalar. All are
// accepted.
func fieldOf(key []byte) field {
	switch string(key) {
	case "id":
		return id
	case "action":
		return action
	case "updated_at":
		return updatedAt
	case "table_name":
		return table
	case "changed_by", "changed_by_api_key", "object_id",
		"object_alias", "object_team_id", "object_team_alias", "changed_by_user_email", "changed_by_key_alias":
		return text
	}
	return other
}

// longestKey is the length of the longest name that fieldOf knows.
const longestKey = len("changed_by_user_email")

// read reads the fields from data, which must have passed document.Check.
func read(data []byte, l Limits) (auditrelay.Event, *EventError) {
	e := auditrelay.Event{Namespace: auditrelay.NamespaceLiteLLM, TimeFrom: auditrelay.TimeMissing, Data: data}
	hasID, hasAction := false, false
	var room [64]byte // enough for most texts with escapes
	i := skipSpace(data, skipSpace(data, 0)+1)
	for data[i] != '}' {
		key, next := cutString(data, i)
		i = skipSpace(data, next) // the colon
		i = skipSpace(data, i+1)  // the value
		if bytes.IndexByte(key, '\\') >= 0 {
			key = unescape(room[:0], key, longestKey+1)
		}
		at := i
		switch fieldOf(key) {
		case other:
			i = skipValue(data, i)
		case text:
			if data[i] != '"' && data[i] != 'n' {
				return e, wrongType(key, data[i], at, "a string or null")
			}
			i = skipValue(data, i)
		case table:
			switch data[i] {
			case 'n':
				i = skipValue(data, i)
			case '"':
				var raw []byte
				raw, i = cutString(data, i)
				if !l.Reserved && reserved(raw, room[:0]) {
					return e, &EventError{Field: "table_name", Kind: Odd, Reason: Reserved, Message: ReservedMessage, Offset: int64(at)}
				}
			default:
				return e, wrongType(key, data[i], at, "a string or null")
			}
		case id:
			if data[i] != '"' {
				return e, wrongType(key, data[i], at, "a string")
			}
			var raw []byte
			raw, i = cutString(data, i)
			value, fault := short("id", raw, room[:0], l.IDBytes, at)
			if fault != nil {
				return e, fault
			}
			e.ID, hasID = string(value), true
		case action:
			if data[i] != '"' {
				return e, wrongType(key, data[i], at, "a string")
			}
			var raw []byte
			raw, i = cutString(data, i)
			value, fault := short("action", raw, room[:0], actionBytes, at)
			if fault != nil {
				return e, fault
			}
			e.Action, hasAction = actionOf(value), true
		case updatedAt:
			switch data[i] {
			case 'n':
				i = skipValue(data, i)
			case '"':
				var raw []byte
				raw, i = cutString(data, i)
				e.Time, e.TimeFrom = timeOf(raw, room[:0])
			default:
				return e, wrongType(key, data[i], at, "a string or null")
			}
		}
		i = skipSpace(data, i)
		if data[i] == ',' {
			i = skipSpace(data, i+1)
		}
	}
	switch {
	case !hasID:
		return e, missing("id")
	case !hasAction:
		return e, missing("action")
	}
	return e, nil
}

// reservedPrefix begins the table names of the relay's own records.
const reservedPrefix = "auditrelay_"

// ReservedMessage is the reason for refusing a table name.
const ReservedMessage = "names that begin with " + reservedPrefix + " belong to the relay's own records"

// ReservedNamespace reports whether a namespace is reserved for records of the relay or of
// guests. No sender may use it.
func ReservedNamespace(name string) bool {
	return name == auditrelay.NamespaceRelay || name == auditrelay.NamespaceEmitted
}

// ReservedTable is like reserved, for a string.
func ReservedTable(name string) bool { return reserved([]byte(name), nil) }

// LooksOwn reports whether a reader could take data for one of the relay's own records, by its
// table_name. data must have passed CheckDocument or document.Check.
func LooksOwn(data []byte) bool {
	i := skipSpace(data, 0)
	if i == len(data) || data[i] != '{' {
		return false
	}
	for i = skipSpace(data, i+1); data[i] != '}'; {
		key, next := cutString(data, i)
		i = skipSpace(data, skipSpace(data, next)+1) // after the colon
		if bytes.IndexByte(key, '\\') >= 0 {
			key = unescape(nil, key, longestKey+1)
		}
		if fieldOf(key) == table && data[i] == '"' {
			raw, _ := cutString(data, i)
			return reserved(raw, nil)
		}
		if i = skipSpace(data, skipValue(data, i)); data[i] == ',' {
			i = skipSpace(data, i+1)
		}
	}
	return false
}

// reserved reports whether people read a table name as one of the relay's own. It ignores case,
// width, white space, and characters that nobody sees.
func reserved(raw, room []byte) bool {
	if bytes.IndexByte(raw, '\\') >= 0 {
		raw = unescape(room, raw, len(raw))
	}
	if bytes.ContainsFunc(raw, func(r rune) bool { return r < ' ' || r > '~' }) {
		raw = bytes.Map(func(r rune) rune {
			if r = keyname.Visible(r); unicode.IsControl(r) {
				return -1
			}
			return r
		}, raw)
	}
	raw = bytes.TrimSpace(raw)
	return len(raw) >= len(reservedPrefix) && strings.EqualFold(string(raw[:len(reservedPrefix)]), reservedPrefix)
}

// short decodes a required string and checks its length. The result shares raw or room.
func short(name string, raw, room []byte, most, at int) ([]byte, *EventError) {
	value := raw
	if bytes.IndexByte(raw, '\\') >= 0 {
		value = unescape(room, raw, most+1)
	}
	switch {
	case len(value) == 0:
		return nil, &EventError{Field: name, Kind: Odd, Reason: Empty, Message: "must not be empty", Offset: int64(at)}
	case len(value) > most:
		return nil, &EventError{Field: name, Kind: Odd, Reason: TooLong,
			Message: fmt.Sprintf("longer than %d bytes", most), Offset: int64(at)}
	}
	return value, nil
}

// actionOf avoids allocations for known actions.
func actionOf(value []byte) auditrelay.Action {
	switch string(value) {
	case string(auditrelay.ActionCreated):
		return auditrelay.ActionCreated
	case string(auditrelay.ActionUpdated):
		return auditrelay.ActionUpdated
	case string(auditrelay.ActionDeleted):
		return auditrelay.ActionDeleted
	case string(auditrelay.ActionBlocked):
		return auditrelay.ActionBlocked
	case string(auditrelay.ActionUnblocked):
		return auditrelay.ActionUnblocked
	case string(auditrelay.ActionRotated):
		return auditrelay.ActionRotated
	}
	return auditrelay.Action(value)
}

// timeOf reads the content of updated_at, which may contain escapes.
func timeOf(raw, room []byte) (time.Time, auditrelay.TimeSource) {
	if len(raw) == 0 {
		return time.Time{}, auditrelay.TimeMissing
	}
	if bytes.IndexByte(raw, '\\') >= 0 {
		raw = unescape(room, raw, longestTime+1)
	}
	return parseTime(raw)
}

func missing(name string) *EventError {
	return &EventError{Field: name, Kind: Odd, Reason: Missing, Message: "is required", Offset: -1}
}

func wrongType(key []byte, first byte, at int, want string) *EventError {
	found := "a number"
	switch first {
	case '"':
		found = "a string"
	case '{':
		found = "an object"
	case '[':
		found = "an array"
	case 't', 'f':
		found = "a boolean"
	case 'n':
		found = "null"
	}
	return &EventError{Field: string(key), Kind: Odd, Reason: WrongType,
		Message: fmt.Sprintf("expected %s, found %s", want, found), Offset: int64(at)}
}
