package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"strconv"
	"strings"
	"time"

	"auditrelay"
	"auditrelay/internal/query"
)

const expectedDuration = "a duration, as in 500ms, 30s, 12h or 30d"

func (d *decoder) duration(n *node, v reflect.Value, path string, tag fieldTag) {
	text, ok := d.scalar(n, path, expectedDuration)
	if !ok {
		return
	}
	if tag.forever && text == "forever" {
		v.SetInt(-1)
		return
	}
	value, err := parseDuration(text)
	if err != nil {
		d.report.add(n, path, "found %v that is no duration, expected %s", n.kind, strings.TrimPrefix(expectedDuration, "a duration, "))
		return
	}
	least, most := tag.durations()
	if value < least || value > most {
		d.report.add(n, path, "out of range: expected a duration%s", tag.rangeText())
		return
	}
	v.SetInt(int64(value))
}

// parseDuration is time.ParseDuration with leading days (d) of 24 hours.
func parseDuration(text string) (time.Duration, error) {
	text = strings.TrimSpace(text)
	days, rest, ok := strings.Cut(text, "d")
	if !ok {
		return time.ParseDuration(text)
	}
	n, err := strconv.ParseInt(days, 10, 64)
	const day = 24 * time.Hour
	if err != nil || n < 0 || n > int64(math.MaxInt64/day) {
		return 0, errors.New("not a duration")
	}
	total := time.Duration(n) * day
	if rest == "" {
		return total, nil
	}
	more, err := time.ParseDuration(rest)
	if err != nil || more < 0 || total > math.MaxInt64-more {
		return 0, errors.New("not a duration")
	}
	return total + more, nil
}

func (d *decoder) byteSize(n *node, v reflect.Value, path string, tag fieldTag) {
	const expected = "a size, as in 512KiB or 16MiB"
	text, ok := d.scalar(n, path, expected)
	if !ok {
		return
	}
	var size auditrelay.ByteSize
	if n.kind == kindBool || size.UnmarshalText([]byte(text)) != nil {
		d.report.add(n, path, "found %v that is no size, expected a whole number with a unit, as in 512KiB or 16MiB", n.kind)
		return
	}
	least, most := tag.sizes()
	if size < least || size > most {
		d.report.add(n, path, "out of range: expected a size%s", tag.rangeText())
		return
	}
	v.SetInt(int64(size))
}

func (d *decoder) secret(n *node, v reflect.Value, path string) {
	if n.kind != kindString {
		d.expected(n, path, "a string, or a reference to one")
		return
	}
	if n.ref == "" && n.text != "" {
		if strings.HasPrefix(n.text, "file:") {
			d.report.add(n, path, "this looks like a reference but is not: expected file:/path, file:./path or file:../path")
			return
		}
		if n.origin == "" && foreignSecret.MatchString(n.text) {
			d.report.add(n, path, "this looks like another program's reference, and would be the secret itself: expected ${NAME}, ${NAME:-default}, os.environ/NAME or file:/path; give a secret that really has this form in a file or a variable")
			return
		}
		n.literal = true
	}
	if d.plain != nil {
		d.plain(n, path)
	}
	v.SetString(n.text)
}

// json converts YAML to JSON. The value must be one object, since a guest reads it as a
// document.
func (d *decoder) json(n *node, v reflect.Value, path string) {
	if n.kind != kindMapping {
		d.expected(n, path, "a mapping")
		return
	}
	text, err := n.appendJSON(nil)
	if err != nil {
		d.report.addError(n, path, err)
		return
	}
	v.SetBytes(text)
}

// appendJSON appends n as JSON, with the keys of mappings in the file's order.
func (n *node) appendJSON(b []byte) ([]byte, error) {
	var err error
	switch n.kind {
	case kindNull:
		return append(b, "null"...), nil
	case kindBool:
		value, _ := n.boolean()
		return strconv.AppendBool(b, value), nil
	case kindInt, kindFloat:
		return n.appendNumber(b)
	case kindList:
		b = append(b, '[')
		for i, item := range n.items {
			if i > 0 {
				b = append(b, ',')
			}
			if b, err = item.appendJSON(b); err != nil {
				return nil, err
			}
		}
		return append(b, ']'), nil
	case kindMapping:
		b = append(b, '{')
		for i, k := range n.keys {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendJSONString(b, k.text), ':')
			if b, err = n.items[i].appendJSON(b); err != nil {
				return nil, err
			}
		}
		return append(b, '}'), nil
	}
	return appendJSONString(b, n.text), nil
}

// appendNumber keeps the text of numbers that are valid in JSON and converts others.
func (n *node) appendNumber(b []byte) ([]byte, error) {
	text := strings.TrimPrefix(n.text, "+")
	if json.Valid([]byte(text)) {
		return append(b, text...), nil
	}
	text = strings.ReplaceAll(text, "_", "")
	if i, ok := new(big.Int).SetString(text, 0); ok && n.kind == kindInt && len(text) < 1024 {
		return i.Append(b, 10), nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		return nil, fmt.Errorf("line %d: a number that JSON has no form for", n.line)
	}
	return strconv.AppendFloat(b, f, 'g', -1, 64), nil
}

func appendJSONString(b []byte, s string) []byte {
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil { // a string always encodes
		return append(b, `""`...)
	}
	return append(b, bytes.TrimRight(buf.Bytes(), "\n")...)
}

// plain returns n as Go values: string, bool, int64, float64, []any,
// map[string]any or nil.
func (n *node) plain() any {
	switch n.kind {
	case kindBool:
		value, _ := n.boolean()
		return value
	case kindInt:
		if value, err := strconv.ParseInt(n.text, 0, 64); err == nil {
			return value
		}
		fallthrough
	case kindFloat:
		value, err := strconv.ParseFloat(strings.TrimPrefix(n.text, "+"), 64)
		if err != nil {
			return n.text
		}
		return value
	case kindString:
		return n.text
	case kindList:
		list := make([]any, len(n.items))
		for i, item := range n.items {
			list[i] = item.plain()
		}
		return list
	case kindMapping:
		m := make(map[string]any, len(n.keys))
		for i, k := range n.keys {
			m[k.text] = n.items[i].plain()
		}
		return m
	}
	return nil
}

// when decodes a condition, whose fields are in one mapping with its query.
func (d *decoder) when(n *node, w *auditrelay.When, path string) {
	if n.kind != kindMapping {
		d.expected(n, path, "a mapping of fields to the values that they may have")
		return
	}
	for i, k := range n.keys {
		item, at := n.items[i], join(path, k.text)
		if k.text == "query" {
			d.value(item, reflect.ValueOf(&w.Query).Elem(), at, fieldTag{})
			if w.Query == "" && !item.unset {
				d.report.add(item, at, "an empty query: leave it out or say what to match")
			} else if _, err := query.Parse(w.Query); err != nil && !item.unset {
				d.report.add(item, at, "%v", err)
			}
			continue
		}
		var values []string
		switch {
		case item.kind == kindString:
			values = []string{item.text}
		case item.kind == kindList && len(item.items) > 0:
			d.value(item, reflect.ValueOf(&values).Elem(), at, fieldTag{})
		default:
			d.report.add(item, at, "found %v, expected a string or a list of strings, at least one", item.kind)
		}
		if w.Fields == nil {
			w.Fields = make(map[string][]string)
		}
		w.Fields[k.text] = values
	}
	if len(n.keys) == 0 {
		d.report.add(n, path, "an empty condition: leave it out or say what to match")
	}
}

func (d *decoder) from(n *node, f *auditrelay.From, path string) {
	const expected = "now, beginning or a time as in 2026-01-31T00:00:00Z"
	text, ok := d.scalar(n, path, expected)
	if !ok {
		return
	}
	switch text {
	case "now":
		f.Kind = auditrelay.FromNow
		return
	case "beginning":
		f.Kind = auditrelay.FromBeginning
		return
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		d.report.add(n, path, "found %v, expected %s", n.kind, expected)
		return
	}
	f.Kind, f.Time = auditrelay.FromTime, at.UTC()
}
