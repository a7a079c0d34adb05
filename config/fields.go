package config

import (
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"auditrelay"
)

// fieldTag has the tags of a field: `yaml:"name,named"` for a mapping of names that is stored
// as a list, `yaml:"name,forever"` for a duration that may be unlimited, `range:"1..64"` for
// the minimum and the maximum.
type fieldTag struct {
	named, forever bool
	least, most    string
}

type structField struct {
	name  string
	index int
	tag   fieldTag
}

type structFields []structField

var typeConfig = reflect.TypeFor[Config]()

// fieldsOf returns a struct's options: exported fields with a yaml tag.
func fieldsOf(t reflect.Type) structFields {
	var fields structFields
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if !f.IsExported() || name == "" || name == "-" || name == "*" {
			continue
		}
		tag := fieldTag{named: options == "named", forever: options == "forever"}
		tag.least, tag.most, _ = strings.Cut(f.Tag.Get("range"), "..")
		fields = append(fields, structField{name: name, index: i, tag: tag})
	}
	return fields
}

func (s structFields) find(name string) (structField, bool) {
	i := slices.IndexFunc(s, func(f structField) bool { return f.name == name })
	if i < 0 {
		return structField{}, false
	}
	return s[i], true
}

func (s structFields) names() []string {
	names := make([]string, len(s))
	for i, f := range s {
		names[i] = f.name
	}
	return names
}

// rangeText describes the range for an error.
func (t fieldTag) rangeText() string {
	switch {
	case t.least != "" && t.most != "":
		return " from " + t.least + " to " + t.most
	case t.least != "":
		return " of at least " + t.least
	case t.most != "":
		return " of at most " + t.most
	}
	return " that is not negative"
}

// The limits of a range. Without a range, negative values are rejected. A test reads all tags,
// so none is malformed.

func (t fieldTag) ints() (least, most int64) {
	return bounds(t, func(text string) (int64, error) { return strconv.ParseInt(text, 10, 64) })
}

func (t fieldTag) sizes() (least, most auditrelay.ByteSize) {
	return bounds(t, func(text string) (size auditrelay.ByteSize, err error) {
		err = size.UnmarshalText([]byte(text))
		return size, err
	})
}

func (t fieldTag) durations() (least, most time.Duration) {
	return bounds(t, parseDuration)
}

func bounds[T ~int64](t fieldTag, parse func(string) (T, error)) (least, most T) {
	most = T(math.MaxInt64)
	if t.least != "" {
		least, _ = parse(t.least)
	}
	if t.most != "" {
		most, _ = parse(t.most)
	}
	return least, most
}
