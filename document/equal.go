package document

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Equal reports whether two events in LiteLLM's schema are the same event, received
// twice. It compares JSON values: members in any order, numbers by value, strings
// decoded. For the event's own fields:
//
//   - null is the same as absent;
//   - before_value and updated_values may each be a value or its JSON text, and
//     are compared by bytes if the text does not parse strictly;
//   - updated_at is compared to the millisecond, whatever its offset and format (see
//     ParseTime); an invalid time is compared as text. Truncated and rounded
//     microseconds are both accepted, since writers differ;
//   - fields that newer versions of LiteLLM send but do not store in its table
//     (object_alias, object_team_id, object_team_alias, changed_by_user_email,
//     changed_by_key_alias) are compared only if both events have them.
//
// Inside values, null is not the same as absent. Data that does not pass Check is
// equal only byte for byte. Equal allocates, since duplicates are rare.
func Equal(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	var x, y canonical
	if !x.event(a) || !y.event(b) {
		return false
	}
	for key, value := range x.added {
		if other, ok := y.added[key]; ok && other != value {
			return false
		}
	}
	return sameTime(x.updatedAt, y.updatedAt) && bytes.Equal(x.text, y.text)
}

// AppendCanonical appends the canonical form of an event, which equal events share; see
// Equal. The form omits updated_at if it is a time, and the fields that Equal compares
// only if both events have them. AppendCanonical reports whether data is an event; if
// not, it appends nothing.
func AppendCanonical(dst, data []byte) ([]byte, bool) {
	var c canonical
	if !c.event(data) {
		return dst, false
	}
	return append(dst, c.text...), true
}

// SameTime reports whether s and t may be the same time, which two writers truncated or
// rounded to the millisecond. Equal uses it.
func SameTime(s, t time.Time) bool {
	const ms = time.Millisecond
	return s.Truncate(ms).Equal(t.Truncate(ms)) ||
		s.Truncate(ms).Equal(s) && t.Round(ms).Equal(s) ||
		t.Truncate(ms).Equal(t) && s.Round(ms).Equal(t)
}

// canonical is an event in its canonical form.
type canonical struct {
	updatedAt string // set if it is a time
	text      []byte // the other members, sorted
	added     map[string]string
}

// notInTable reports whether newer versions of LiteLLM send key but do not store it in their table.
func notInTable(key string) bool {
	switch key {
	case "object_alias", "object_team_id", "object_team_alias", "changed_by_user_email", "changed_by_key_alias":
		return true
	}
	return false
}

// equalLimits are wide, so that Equal can compare an event that was accepted under any limits.
var equalLimits = Limits{Bytes: maxBytes, Depth: 10_000}

func (c *canonical) event(data []byte) bool {
	if Check(data, equalLimits) != nil {
		return false
	}
	d := &Document{Limits: equalLimits}
	d.Reset(data)
	c.text = appendMembers(nil, d, Root, func(dst []byte, key string, n Node) []byte {
		kind := d.Kind(n)
		switch {
		case kind == Null:
			return nil
		case notInTable(key):
			if c.added == nil {
				c.added = map[string]string{}
			}
			c.added[key] = string(appendCanonical(nil, d, n))
			return nil
		case key == "updated_at" && kind == String:
			s, _ := d.AppendString(nil, n)
			if _, _, ok := ParseTime(s); !ok {
				break
			}
			c.updatedAt = string(s)
			return append(dst, "time"...)
		case (key == "before_value" || key == "updated_values") && kind == String:
			s, _ := d.AppendString(nil, n)
			inner, ok := parsedText(s)
			if !ok {
				break
			}
			v := inner.Child(Root, None)
			if inner.Kind(v) == Null {
				return nil
			}
			return appendCanonical(dst, inner, v)
		}
		return appendCanonical(dst, d, n)
	})
	return true
}

// parsedText parses a value's JSON text into a document {"": value}.
func parsedText(s []byte) (*Document, bool) {
	if checkValue(s, equalLimits.Depth-1, nil) != nil {
		return nil, false
	}
	d := &Document{Limits: equalLimits}
	d.Reset(slices.Concat([]byte(`{"":`), s, []byte(`}`)))
	return d, true
}

func appendCanonical(dst []byte, d *Document, n Node) []byte {
	switch d.Kind(n) {
	case Object:
		return appendMembers(dst, d, n, func(dst []byte, _ string, c Node) []byte {
			return appendCanonical(dst, d, c)
		})
	case Array:
		dst = append(dst, '[')
		for c := d.Child(n, None); c != None; c = d.Child(n, c) {
			dst = append(appendCanonical(dst, d, c), ',')
		}
		return append(dst, ']')
	case String:
		s, _ := d.AppendString(nil, n)
		return append(appendEscaped(append(dst, '"'), s), '"')
	case Number:
		return appendNumber(dst, d.AppendJSON(nil, n))
	}
	return d.AppendJSON(dst, n)
}

// appendMembers appends an object with its keys sorted. value appends a member's value. It returns nil to
// omit the member.
func appendMembers(dst []byte, d *Document, n Node, value func(dst []byte, key string, n Node) []byte) []byte {
	type member struct {
		key  string
		node Node
	}
	var members []member
	for c := d.Child(n, None); c != None; c = d.Child(n, c) {
		members = append(members, member{string(d.AppendKey(nil, c)), c})
	}
	slices.SortFunc(members, func(a, b member) int { return strings.Compare(a.key, b.key) })
	dst = append(dst, '{')
	for _, m := range members {
		with := append(appendEscaped(append(dst, '"'), []byte(m.key)), '"', ':')
		if with = value(with, m.key, m.node); with != nil {
			dst = append(with, ',')
		}
	}
	return append(dst, '}')
}

// appendNumber appends a number such that equal values give equal text: the digits without zeros at either
// end, and the power of ten to multiply them by. An absurdly large exponent is copied as it is.
func appendNumber(dst, text []byte) []byte {
	s := string(text)
	mantissa, power, _ := strings.Cut(strings.ToLower(s), "e")
	negative := strings.HasPrefix(mantissa, "-")
	whole, fraction, _ := strings.Cut(strings.TrimPrefix(mantissa, "-"), ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	if digits == "" {
		return append(dst, '0')
	}
	exponent := int64(0)
	if power != "" {
		var err error
		if exponent, err = strconv.ParseInt(power, 10, 48); err != nil {
			return append(dst, s...)
		}
	}
	exponent -= int64(len(fraction))
	trimmed := strings.TrimRight(digits, "0")
	exponent += int64(len(digits) - len(trimmed))
	if negative {
		dst = append(dst, '-')
	}
	dst = append(append(dst, trimmed...), 'e')
	return strconv.AppendInt(dst, exponent, 10)
}

func sameTime(a, b string) bool {
	if a == b {
		return true
	}
	s, _, ok := ParseTime([]byte(a))
	t, _, ok2 := ParseTime([]byte(b))
	return ok && ok2 && SameTime(s, t)
}
