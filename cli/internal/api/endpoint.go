package api

import (
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Endpoint is one method and path of the API, with the types of request and response. The
// server registers it with a role and a handler, and the client calls it, so each endpoint is
// written once.
//
// A POST sends In as the JSON body. Any other method sends In in the query; its fields must
// then have a query tag. None is not sent. A body of type Raw or Lines is not a single JSON
// value.
type Endpoint[In, Out any] struct{ Method, Path string }

// None means no parameters, or a response without content.
type None struct{}

// Raw is a body of bytes.
type Raw []byte

// Lines is a body with one JSON object on each line.
type Lines[T any] struct{ _ [0]T }

// URL returns the path with its {parameters} replaced in order, and escaped.
func (e Endpoint[In, Out]) URL(params ...string) string {
	path := e.Path
	for _, p := range params {
		open, end := strings.IndexByte(path, '{'), strings.IndexByte(path, '}')
		if open < 0 {
			break
		}
		path = path[:open] + url.PathEscape(p) + path[end+1:]
	}
	return path
}

// InQuery reports whether the query contains In.
func (e Endpoint[In, Out]) InQuery() bool { return e.Method != http.MethodPost }

// Query returns the fields of a struct that have a query tag, without zero values. It
// panics if in is not a struct.
func Query(in any) url.Values {
	query := url.Values{}
	v := reflect.ValueOf(in)
	for i := range v.NumField() {
		name, f := v.Type().Field(i).Tag.Get("query"), v.Field(i)
		if name == "" || f.IsZero() {
			continue
		}
		query.Set(name, fmt.Sprint(f.Interface()))
	}
	return query
}

// ReadQuery is the inverse of Query. into points to the struct. An unknown, repeated or
// malformed parameter is an error, since ignoring it would silently widen the request.
func ReadQuery(query url.Values, into any) *Error {
	v := reflect.ValueOf(into).Elem()
	known := map[string]reflect.Value{}
	for i := range v.NumField() {
		if name := v.Type().Field(i).Tag.Get("query"); name != "" {
			known[name] = v.Field(i)
		}
	}
	names := make([]string, 0, len(query))
	for name := range query {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		f, ok := known[name]
		switch {
		case !ok:
			return badParameter("%.64q: no such parameter", name)
		case len(query[name]) > 1:
			return badParameter("%s: given %d times", name, len(query[name]))
		}
		if expected := set(f, query.Get(name)); expected != "" {
			return badParameter("%s: expected %s", name, expected)
		}
	}
	return nil
}

// set parses text into f. If text is invalid, it returns the expected form.
func set(f reflect.Value, text string) (expected string) {
	var err error
	switch f.Kind() {
	case reflect.String:
		f.SetString(text)
	case reflect.Bool:
		var b bool
		b, err = strconv.ParseBool(text)
		f.SetBool(b)
		expected = "true or false"
	case reflect.Uint64:
		var n uint64
		n, err = strconv.ParseUint(text, 10, 63)
		f.SetUint(n)
		expected = "a number"
	case reflect.Int:
		var n int
		if n, err = strconv.Atoi(text); err == nil && n < 1 {
			err = strconv.ErrRange
		}
		f.SetInt(int64(n))
		expected = "a number above 0"
	default:
		panic(fmt.Sprintf("api: a parameter of kind %v", f.Kind()))
	}
	if err != nil {
		return expected
	}
	return ""
}

func badParameter(format string, args ...any) *Error {
	return &Error{Status: http.StatusBadRequest, Reason: ReasonBadRequest, Message: fmt.Sprintf(format, args...)}
}
