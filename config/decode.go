package config

import (
	"encoding"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"auditrelay"
)

// decoder decodes a tree of nodes into a struct, strictly: the struct must know every key,
// every value must have the right kind, and every error has a place. It collects errors, so
// that one run reports all of them.
type decoder struct {
	report *report
	// plain is called for every secret that is in plain text in the file.
	plain func(n *node, path string)
}

// selfDecoder is a type with more than one form in YAML.
type selfDecoder interface {
	decodeNode(d *decoder, n *node, path string)
}

// limited is a string from a closed set.
type limited interface{ allowed() []string }

// worded is a number from a closed set. The configuration writes the word with that index.
type worded interface{ Words() []string }

// deferrer lists keys of later versions, with what to do until then, so that their error is not
// that of a misspelt key.
type deferrer interface{ later() map[string]string }

var (
	typeDuration = reflect.TypeFor[time.Duration]()
	typeByteSize = reflect.TypeFor[auditrelay.ByteSize]()
	typeSecret   = reflect.TypeFor[auditrelay.Secret]()
	typeJSON     = reflect.TypeFor[json.RawMessage]()
)

// value decodes n into v. A null counts as a missing key.
func (d *decoder) value(n *node, v reflect.Value, path string, tag fieldTag) {
	if n.kind == kindNull {
		return
	}
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		d.value(n, v.Elem(), path, tag)
		return
	}
	switch x := v.Addr().Interface().(type) {
	case selfDecoder:
		x.decodeNode(d, n, path)
		return
	case *auditrelay.When:
		d.when(n, x, path)
		return
	case *auditrelay.Format:
		d.format(n, x, path)
		return
	case *auditrelay.From:
		d.from(n, x, path)
		return
	}
	switch v.Type() {
	case typeDuration:
		d.duration(n, v, path, tag)
		return
	case typeByteSize:
		d.byteSize(n, v, path, tag)
		return
	case typeSecret:
		d.secret(n, v, path)
		return
	case typeJSON:
		d.json(n, v, path)
		return
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		d.text(n, u, path)
		return
	}
	switch v.Kind() {
	case reflect.String:
		d.string(n, v, path)
	case reflect.Bool:
		d.bool(n, v, path)
	case reflect.Int, reflect.Int32, reflect.Int64:
		d.int(n, v, path, tag)
	case reflect.Float64:
		d.float(n, v, path)
	case reflect.Uint8:
		d.word(n, v, path)
	case reflect.Struct:
		d.structure(n, v, path)
	case reflect.Slice:
		d.slice(n, v, path, tag)
	case reflect.Map:
		d.mapping(n, v, path)
	case reflect.Interface:
		v.Set(reflect.ValueOf(n.plain()))
	default:
		d.report.add(n, path, "options of Go type %v cannot be read from YAML", v.Type())
	}
}

func (d *decoder) expected(n *node, path, what string) {
	hint := ""
	if n.kind != kindList && n.kind != kindMapping && strings.HasPrefix(what, "a string") {
		hint = ": put it in quotes"
	}
	d.report.add(n, path, "found %v, expected %s%s", n.kind, what, hint)
}

// scalar returns the text of a scalar value.
func (d *decoder) scalar(n *node, path, what string) (string, bool) {
	if n.kind == kindList || n.kind == kindMapping {
		d.expected(n, path, what)
		return "", false
	}
	return n.text, !n.unset
}

// text passes a scalar to a type that parses it itself. The type's error may quote the value,
// so it is shown only if the value is in the file itself.
func (d *decoder) text(n *node, u encoding.TextUnmarshaler, path string) {
	text, ok := d.scalar(n, path, "a string")
	if !ok {
		return
	}
	err := u.UnmarshalText([]byte(text))
	if err == nil {
		return
	}
	if _, ok := u.(*time.Time); ok {
		d.report.add(n, path, "found %v, expected a time as in 2026-01-31T00:00:00Z", n.kind)
	} else if n.ref != "" {
		d.report.add(n, path, "%s is not taken", n.show())
	} else {
		d.report.add(n, path, "%s: %w", n.show(), err)
	}
}

func (d *decoder) string(n *node, v reflect.Value, path string) {
	if n.kind != kindString {
		d.expected(n, path, "a string")
		return
	}
	if n.unset {
		return
	}
	if l, ok := v.Interface().(limited); ok {
		d.oneOf(n, path, l.allowed())
	}
	v.SetString(n.text)
}

// word decodes a value from a closed set.
func (d *decoder) word(n *node, v reflect.Value, path string) {
	set, ok := v.Interface().(worded)
	if !ok {
		d.report.add(n, path, "options of Go type %v cannot be read from YAML", v.Type())
		return
	}
	if n.kind != kindString {
		d.expected(n, path, "a string")
		return
	}
	if n.unset {
		return
	}
	words := set.Words()
	d.oneOf(n, path, words)
	if i := slices.Index(words, n.text); i >= 0 {
		v.SetUint(uint64(i))
	}
}

// oneOf rejects a value outside a closed set and suggests the nearest one.
func (d *decoder) oneOf(n *node, path string, allowed []string) {
	for _, a := range allowed {
		if n.text == a {
			return
		}
	}
	d.report.add(n, path, "%s: expected one of %s%s", n.show(), strings.Join(allowed, ", "), n.hint(allowed))
}

func (d *decoder) bool(n *node, v reflect.Value, path string) {
	if value, ok := n.boolean(); ok {
		v.SetBool(value)
	} else if !n.unset {
		d.expected(n, path, "true or false")
	}
}

// boolean parses true and false, also in the forms of YAML 1.1 and of a resolved reference.
func (n *node) boolean() (value, ok bool) {
	if n.kind != kindBool && n.kind != kindString {
		return false, false
	}
	switch strings.ToLower(n.text) {
	case "true", "yes", "on":
		return true, true
	case "false", "no", "off":
		return false, true
	}
	return false, false
}

func (d *decoder) int(n *node, v reflect.Value, path string, tag fieldTag) {
	if n.kind != kindInt && n.ref == "" {
		d.expected(n, path, "a whole number")
		return
	}
	if n.unset {
		return
	}
	text := strings.TrimSpace(n.text)
	if leadingZero.MatchString(text) {
		d.report.add(n, path, expectedNoZero)
		return
	}
	value, err := strconv.ParseInt(text, 0, 64)
	if err != nil || v.OverflowInt(value) {
		d.report.add(n, path, "not a whole number in range")
		return
	}
	least, most := tag.ints()
	if value < least || value > most {
		d.report.add(n, path, "out of range: expected a whole number%s", tag.rangeText())
		return
	}
	v.SetInt(value)
}

func (d *decoder) float(n *node, v reflect.Value, path string) {
	if n.kind != kindInt && n.kind != kindFloat && n.ref == "" {
		d.expected(n, path, "a number")
		return
	}
	if n.unset {
		return
	}
	value, err := strconv.ParseFloat(strings.TrimSpace(n.text), 64)
	if err != nil || math.IsInf(value, 0) || math.IsNaN(value) {
		d.report.add(n, path, "not a number in range")
		return
	}
	v.SetFloat(value)
}

func (d *decoder) slice(n *node, v reflect.Value, path string, tag fieldTag) {
	if tag.named {
		d.named(n, v, path)
		return
	}
	if n.kind != kindList {
		d.expected(n, path, "a list")
		return
	}
	list := reflect.MakeSlice(v.Type(), len(n.items), len(n.items))
	for i, item := range n.items {
		if item.kind == kindNull {
			d.report.add(item, index(path, i), "found nothing, expected %s", expectedKind(v.Type().Elem()))
			continue
		}
		d.value(item, list.Index(i), index(path, i), fieldTag{})
	}
	v.Set(list)
}

// named decodes a mapping of names into a list, in the file's order.
func (d *decoder) named(n *node, v reflect.Value, path string) {
	if n.kind != kindMapping {
		d.expected(n, path, "a mapping of names")
		return
	}
	list := reflect.MakeSlice(v.Type(), len(n.items), len(n.items))
	for i, item := range n.items {
		at := join(path, n.keys[i].text)
		list.Index(i).FieldByName("Name").SetString(n.keys[i].text)
		if item.kind == kindNull {
			d.report.add(item, at, "found nothing, expected a mapping")
			continue
		}
		d.value(item, list.Index(i), at, fieldTag{})
		d.setPlace(list.Index(i), n.keys[i])
	}
	v.Set(list)
}

func (d *decoder) mapping(n *node, v reflect.Value, path string) {
	if n.kind != kindMapping {
		d.expected(n, path, "a mapping")
		return
	}
	m := reflect.MakeMapWithSize(v.Type(), len(n.items))
	for i, item := range n.items {
		at := join(path, n.keys[i].text)
		if item.kind == kindNull && v.Type().Elem().Kind() != reflect.Interface {
			d.report.add(item, at, "found nothing, expected %s", expectedKind(v.Type().Elem()))
			continue
		}
		value := reflect.New(v.Type().Elem()).Elem()
		d.value(item, value, at, fieldTag{})
		m.SetMapIndex(reflect.ValueOf(n.keys[i].text).Convert(v.Type().Key()), value)
	}
	v.Set(m)
}

func (d *decoder) structure(n *node, v reflect.Value, path string) {
	if n.kind != kindMapping {
		d.expected(n, path, "a mapping")
		return
	}
	fields := fieldsOf(v.Type())
	for i, k := range n.keys {
		f, ok := fields.find(k.text)
		if !ok {
			d.unknown(n, k, v, path, fields)
			continue
		}
		d.value(n.items[i], v.Field(f.index), join(path, k.text), f.tag)
	}
	d.setPlace(v, n)
}

func (d *decoder) unknown(n, k *node, v reflect.Value, path string, fields structFields) {
	if l, ok := v.Interface().(deferrer); ok {
		if why, ok := l.later()[k.text]; ok {
			d.report.add(k, join(path, k.text), "not in this version: %s", why)
			return
		}
	}
	d.report.add(k, join(path, k.text), "an unknown key%s", hint(k.text, fields.names()))
}

func expectedKind(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Struct:
		return "a mapping"
	case reflect.Slice:
		return "a list"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64:
		return "a number"
	}
	return "a string"
}

// placed is a struct that stores its place.
type placed interface{ setPlace(Place) }

func (c *Callback) setPlace(p Place) { c.place = p }
func (f *Filter) setPlace(p Place)   { f.place = p }

func (d *decoder) setPlace(v reflect.Value, n *node) {
	if l, ok := v.Addr().Interface().(placed); ok {
		l.setPlace(d.report.placeOf(n))
	}
}

// decodeInto decodes into a pointer to a struct.
func (d *decoder) decodeInto(n *node, into any, path string) error {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		return fmt.Errorf("config: cannot decode into %T: expected a pointer to a struct", into)
	}
	d.value(n, v.Elem(), path, fieldTag{})
	return nil
}
