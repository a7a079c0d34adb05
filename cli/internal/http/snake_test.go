package http

import (
	"encoding"
	"encoding/json"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
)

var snake = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)

// TestJSONIsSnakeCase: every field of every request and answer, however deep, has a name
// in snake_case.
func TestJSONIsSnakeCase(t *testing.T) {
	seen := map[reflect.Type]bool{}
	fields := 0
	var walk func(at string, typ reflect.Type)
	walk = func(at string, typ reflect.Type) {
		if seen[typ] {
			return
		}
		seen[typ] = true
		switch typ.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Array:
			walk(at, typ.Elem())
			return
		case reflect.Map:
			walk(at+".*", typ.Elem())
			return
		case reflect.Struct:
		default:
			return
		}
		ptr := reflect.PointerTo(typ)
		if typ == reflect.TypeFor[time.Time]() || ptr.Implements(reflect.TypeFor[encoding.TextMarshaler]()) || ptr.Implements(reflect.TypeFor[json.Marshaler]()) {
			return
		}
		for i := range typ.NumField() {
			f := typ.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			switch _, query := f.Tag.Lookup("query"); {
			case !f.IsExported() && !f.Anonymous || name == "-":
				continue
			case query && name == "":
				name = f.Tag.Get("query")
			case f.Anonymous && name == "":
				walk(at, f.Type)
				continue
			}
			if fields++; !snake.MatchString(name) {
				t.Errorf("%s: the field %s of %v is called %q", at, f.Name, typ, name)
			}
			walk(at+"."+name, f.Type)
		}
	}
	for _, rt := range newRelay(t, Options{}).srv.table() {
		walk(rt.method+" "+rt.path+" in", rt.in)
		walk(rt.method+" "+rt.path+" out", rt.out)
	}
	if fields < 100 {
		t.Errorf("only %d fields were looked at", fields)
	}
}
