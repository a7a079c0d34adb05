package config

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"auditrelay"
)

// sinkOptions has a field of every kind that a sink's options may have.
type sinkOptions struct {
	Text    string              `yaml:"text"`
	On      *bool               `yaml:"on"`
	Count   int                 `yaml:"count"`
	Share   float64             `yaml:"share"`
	Size    auditrelay.ByteSize `yaml:"size"`
	Secret  auditrelay.Secret   `yaml:"secret"`
	Wait    time.Duration       `yaml:"wait"`
	At      time.Time           `yaml:"at"`
	List    []string            `yaml:"list"`
	Secrets []auditrelay.Secret `yaml:"secrets"`
	Tags    map[string]string   `yaml:"tags"`
	Nested  nested              `yaml:"nested"`
	Many    []nested            `yaml:"many"`
	Any     any                 `yaml:"any"`
	Hidden  func()              `yaml:"-"`
	NoTag   string
}

type nested struct {
	A string `yaml:"a"`
	B int    `yaml:"b"`
}

// section returns the options of the one sink in a configuration.
func section(t *testing.T, options string) Section {
	t.Helper()
	text := "callbacks:\n  - name: a\n    sink:\n      x:\n" + options
	c, err := Parse("relay.yaml", []byte(text), LoadOptions{LookupEnv: environment})
	if err != nil {
		t.Fatal(err)
	}
	return c.Callbacks[0].Sink.Options
}

func TestASectionDecodesIntoASinksOptions(t *testing.T) {
	s := section(t, `
        text: "${BUCKET}"
        on: false
        count: 3
        share: 0.5
        size: 64KiB
        secret: os.environ/LONG_SECRET
        wait: 1d
        at: 2026-01-31T00:00:00Z
        list: [a, b]
        secrets: [os.environ/LONG_SECRET]
        tags: {k: v}
        nested: {a: x, b: 1}
        many: [{a: y}, {b: 2}]
        any: {a: [1, x, true, null]}
`)
	got := sinkOptions{NoTag: "kept"}
	if err := s.Decode(&got); err != nil {
		t.Fatal(err)
	}
	off := false
	want := sinkOptions{
		Text: "audit-events", On: &off, Count: 3, Share: 0.5, Size: 64 << 10, Secret: longSecret, Wait: 24 * time.Hour,
		At: time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC), List: []string{"a", "b"}, Secrets: []auditrelay.Secret{longSecret},
		Tags: map[string]string{"k": "v"}, Nested: nested{"x", 1}, Many: []nested{{A: "y"}, {B: 2}},
		Any: map[string]any{"a": []any{int64(1), "x", true, nil}}, NoTag: "kept",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestASectionIsStrictAndSaysWhere(t *testing.T) {
	s := section(t, `
        txet: a
        count: 1.5
        share: much
        size: -1
        secret: {a: b}
        wait: 5
        at: noon
        list: a
        secrets: [1, ]
        tags: {k: 5}
        nested: {c: 1}
        many: [x, ]
        NoTag: x
        on: 1
`)
	err := s.Decode(new(sinkOptions))
	want := strings.TrimSpace(`
relay.yaml:6:9: callbacks[0].sink.x.txet: an unknown key: did you mean text?
relay.yaml:7:16: callbacks[0].sink.x.count: found a number, expected a whole number
relay.yaml:8:16: callbacks[0].sink.x.share: found a string, expected a number
relay.yaml:9:15: callbacks[0].sink.x.size: found a whole number that is no size, expected a whole number with a unit, as in 512KiB or 16MiB
relay.yaml:10:17: callbacks[0].sink.x.secret: found a mapping, expected a string, or a reference to one
relay.yaml:11:15: callbacks[0].sink.x.wait: found a whole number that is no duration, expected as in 500ms, 30s, 12h or 30d
relay.yaml:12:13: callbacks[0].sink.x.at: found a string, expected a time as in 2026-01-31T00:00:00Z
relay.yaml:13:15: callbacks[0].sink.x.list: found a string, expected a list
relay.yaml:14:19: callbacks[0].sink.x.secrets[0]: found a whole number, expected a string, or a reference to one: put it in quotes
relay.yaml:15:19: callbacks[0].sink.x.tags.k: found a whole number, expected a string: put it in quotes
relay.yaml:16:18: callbacks[0].sink.x.nested.c: an unknown key: did you mean a?
relay.yaml:17:16: callbacks[0].sink.x.many[0]: found a string, expected a mapping
relay.yaml:18:9: callbacks[0].sink.x.NoTag: an unknown key
relay.yaml:19:13: callbacks[0].sink.x.on: found a whole number, expected true or false`)
	if err == nil {
		t.Fatal("no error")
	}
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDecodeNeedsAPointerToAStruct(t *testing.T) {
	for _, into := range []any{nil, sinkOptions{}, (*sinkOptions)(nil), new(string)} {
		if err := (Section{}).Decode(into); err == nil {
			t.Errorf("%T: no error", into)
		}
	}
	if err := (Section{}).Decode(new(sinkOptions)); err != nil {
		t.Errorf("an empty section: %v", err)
	}
}

var errCause = errors.New("it is wrong")

func TestAConstructorsErrorsGetTheirPlaces(t *testing.T) {
	s := section(t, `
        text: a
        nested: {a: x}
        many: [{a: y}, {b: 2}]
`)
	option := func(path string) error { return &auditrelay.OptionError{Path: path, Err: errCause} }
	for _, tt := range []struct {
		err  error
		want string
	}{
		{nil, "<nil>"},
		{option("text"), "relay.yaml:6:15: callbacks[0].sink.x.text: \"a\": it is wrong"},
		{option("nested.a"), "relay.yaml:7:21: callbacks[0].sink.x.nested.a: \"x\": it is wrong"},
		{option("many[1].b"), "relay.yaml:8:28: callbacks[0].sink.x.many[1].b: it is wrong"},
		{option("nested.none"), "relay.yaml:7:17: callbacks[0].sink.x.nested.none: it is wrong"},
		{option("none.at.all"), "relay.yaml:6:9: callbacks[0].sink.x.none.at.all: it is wrong"},
		{fmt.Errorf("new: %w", option("text")), "relay.yaml:6:15: callbacks[0].sink.x.text: \"a\": it is wrong"},
		{errors.Join(option("nested"), fmt.Errorf("two: %w", errors.Join(option("text"), errCause))),
			"relay.yaml:6:9: callbacks[0].sink.x: it is wrong\nrelay.yaml:6:15: callbacks[0].sink.x.text: \"a\": it is wrong\nrelay.yaml:7:17: callbacks[0].sink.x.nested: it is wrong"},
		{errCause, "relay.yaml:6:9: callbacks[0].sink.x: it is wrong"},
	} {
		got := s.Explain(tt.err)
		if fmt.Sprint(got) != tt.want {
			t.Errorf("%v:\ngot  %v\nwant %s", tt.err, got, tt.want)
		}
		if tt.err != nil && !errors.Is(got, errCause) {
			t.Errorf("%v: the cause is out of reach", tt.err)
		}
	}
}

// The ranges in tags are parsed without error checks; this test checks them.
func TestRangesInTagsAreWellFormed(t *testing.T) {
	var walk func(typ reflect.Type)
	walk = func(typ reflect.Type) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || typ.PkgPath() != typeConfig.PkgPath() {
			return
		}
		for _, f := range fieldsOf(typ) {
			field := typ.Field(f.index)
			walk(field.Type)
			for _, bound := range []string{f.tag.least, f.tag.most} {
				if bound == "" {
					continue
				}
				tag := fieldTag{least: bound}
				var ok bool
				switch field.Type {
				case typeDuration:
					n, _ := tag.durations()
					ok = n > 0
				case typeByteSize:
					n, _ := tag.sizes()
					ok = n > 0
				default:
					n, _ := tag.ints()
					ok = n > 0
				}
				if !ok {
					t.Errorf("%v.%s: %q is no bound", typ, field.Name, bound)
				}
			}
		}
	}
	walk(typeConfig)
}

// A sink may quote a bad value. A value from a reference may be a secret in the wrong place.
func TestWhatASinkQuotesOfAReferenceDoesNotShow(t *testing.T) {
	s := section(t, "        {text: os.environ/LONG_SECRET, list: [plain]}\n")
	for path, want := range map[string]string{
		"text":    "relay.yaml:5:16: callbacks[0].sink.x.text: the value that the reference stands for is not taken",
		"list[0]": `relay.yaml:5:47: callbacks[0].sink.x.list[0]: "plain" is not known`,
	} {
		value := map[string]string{"text": longSecret, "list[0]": "plain"}[path]
		err := s.Explain(&auditrelay.OptionError{Path: path, Err: fmt.Errorf("%q is not known", value)})
		if err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
