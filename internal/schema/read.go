package schema

import (
	"fmt"
	"math/big"
	"strings"
	"time"

	"auditrelay"
	"auditrelay/document"
	"auditrelay/internal/ingest"
)

// maxAction limits an action's text, as for LiteLLM's events.
const maxAction = 128

// Read checks one event like ingest.Check, and reads its fields by the schema. If no expression
// finds an id, digest creates one. Errors are *ingest.EventError.
func (s *Schema) Read(data []byte, l ingest.Limits, digest func(data []byte) string) (auditrelay.Event, error) {
	if err := ingest.CheckDocument(data, l); err != nil {
		return auditrelay.Event{}, err
	}
	m := &auditrelay.Mapping{Schema: s.name}
	e := auditrelay.Event{Namespace: s.namespace, TimeFrom: auditrelay.TimeMissing, Mapping: m, Data: data}
	var action, objectType string
	m.ID, e.ID = first(s.id, data)
	m.Action, action = first(s.action, data)
	m.Actor, _ = first(s.actor, data)
	m.Object, _ = first(s.object, data)
	m.ObjectType, objectType = first(s.objectType, data)
	if m.ID == "" {
		e.ID = digest(data)
	}
	e.Action = auditrelay.Action(action)
	for i := range s.time {
		text, ok := s.time[i].value(data)
		if !ok {
			continue
		}
		m.Time = s.time[i].text
		e.Time, e.TimeFrom = Time(text)
		break
	}
	switch {
	case m.Action == "":
		return e, odd("action", ingest.Missing, "the schema %s finds none", s.name)
	case len(action) > maxAction:
		return e, odd("action", ingest.TooLong, "longer than %d bytes", maxAction)
	case len(e.ID) > l.MaxID():
		return e, odd("id", ingest.TooLong, "longer than %d bytes", l.MaxID())
	case !l.Reserved && ingest.ReservedTable(objectType):
		return e, odd("object_type", ingest.Reserved, ingest.ReservedMessage)
	case !l.Reserved && ingest.LooksOwn(data): // it is delivered as received
		return e, odd("table_name", ingest.Reserved, ingest.ReservedMessage)
	}
	return e, nil
}

func odd(field string, reason ingest.Reason, format string, args ...any) error {
	return &ingest.EventError{Field: field, Kind: ingest.Odd, Reason: reason, Message: fmt.Sprintf(format, args...), Offset: -1}
}

// first returns the first expression that finds a value, and that value.
func first(list []expression, data []byte) (text, value string) {
	for i := range list {
		if value, ok := list[i].value(data); ok {
			return list[i].text, value
		}
	}
	return "", ""
}

// The maximum time in seconds, milliseconds and microseconds since 1970. A larger number has
// the next smaller unit. So each unit covers the years 1973 to 5138.
var (
	maxSeconds = big.NewRat(1e11, 1)
	maxMillis  = big.NewRat(1e14, 1)
	maxMicros  = big.NewRat(1e17, 1)
)

// longestTime is the maximum length of a time.
const longestTime = 64

// Time reads a time like document.ParseTime, or as the number of seconds, milliseconds,
// microseconds or nanoseconds since 1970. The size of the number determines the unit. A space may
// stand before the offset, and the offset may be UTC or GMT, as Ruby writes it.
func Time(text string) (time.Time, auditrelay.TimeSource) {
	if t, naive, ok := document.ParseTime([]byte(joinOffset(text))); ok {
		if naive {
			return t, auditrelay.TimeNaive
		}
		return t, auditrelay.TimeOfEvent
	}
	n, ok := new(big.Rat), len(text) <= longestTime && !strings.ContainsAny(text, "/xXpP_") && smallExponent(text)
	if ok {
		_, ok = n.SetString(text)
	}
	if !ok || n.Sign() < 0 {
		return time.Time{}, auditrelay.TimeUnreadable
	}
	unit := int64(1)
	switch {
	case n.Cmp(maxSeconds) <= 0:
		unit = 1e9
	case n.Cmp(maxMillis) <= 0:
		unit = 1e6
	case n.Cmp(maxMicros) <= 0:
		unit = 1e3
	}
	n.Mul(n, big.NewRat(unit, 1))
	nanos := new(big.Int).Quo(n.Num(), n.Denom())
	seconds, rest := new(big.Int).QuoRem(nanos, big.NewInt(1e9), new(big.Int))
	if !seconds.IsInt64() || seconds.Int64() > maxYear {
		return time.Time{}, auditrelay.TimeUnreadable
	}
	return time.Unix(seconds.Int64(), rest.Int64()).UTC(), auditrelay.TimeOfEvent
}

// joinOffset removes a space before the offset of a time, and writes UTC and GMT as Z.
func joinOffset(text string) string {
	i := strings.LastIndexByte(text, ' ')
	if i < 0 {
		return text
	}
	switch at, offset := text[:i], text[i+1:]; {
	case offset == "UTC", offset == "GMT":
		return at + "Z"
	case strings.HasPrefix(offset, "+"), strings.HasPrefix(offset, "-"):
		return at + offset
	}
	return text
}

// maxYear is the end of the year 9999.
const maxYear = 253402300799

// smallExponent rejects an exponent that would turn a short text into a huge number.
func smallExponent(text string) bool {
	i := strings.IndexAny(text, "eE")
	return i < 0 || len(text)-i <= 4
}
