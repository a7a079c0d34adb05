package document_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"auditrelay/document"
)

func TestCheck(t *testing.T) {
	for _, row := range []struct {
		name, data string
		want       document.Reason // 0: accepted
		offset     int
		path       string
	}{
		{name: "empty object", data: `{}`},
		{name: "white space around", data: " \t\r\n{ } \n"},
		{name: "every kind", data: `{"a":null,"b":true,"c":false,"d":-1.5e+3,"e":"x","f":[],"g":{}}`},
		{name: "any number", data: `{"a":1e999999,"b":0.10,"c":-0,"d":123456789012345678901234567890}`},
		{name: "any escape", data: `{"a":"\"\\\/\b\f\n\r\t\u0000\u00e9\ud83d\ude00"}`},
		{name: "the same key in two objects", data: `{"a":{"x":1},"b":{"x":1}}`},
		{name: "DEL and U+FFFD are characters", data: "{\"a\":\"\x7f\uFFFD\"}"},

		{name: "nothing", data: ``, want: document.Syntax},
		{name: "white space only", data: `  `, want: document.Syntax, offset: 2},
		{name: "byte order mark", data: "\ufeff{}", want: document.NotObject},
		{name: "array", data: `[]`, want: document.NotObject},
		{name: "string", data: ` "{}"`, want: document.NotObject, offset: 1},
		{name: "two objects", data: `{} {}`, want: document.Trailing, offset: 3},
		{name: "cut short", data: `{"a":"b`, want: document.Syntax, offset: 7, path: "a"},
		{name: "cut in a key", data: `{"a`, want: document.Syntax, offset: 3},
		{name: "comma at the end", data: `{"a":1,}`, want: document.Syntax, offset: 7},
		{name: "single quotes", data: `{'a':1}`, want: document.Syntax, offset: 1},
		{name: "NaN", data: `{"a":{"b":[0,NaN]}}`, want: document.Syntax, offset: 13, path: "a.b.1"},
		{name: "leading zero", data: `{"a":01}`, want: document.Syntax, offset: 6},
		{name: "leading plus", data: `{"a":+1}`, want: document.Syntax, offset: 5, path: "a"},
		{name: "no digits after the point", data: `{"a":1.}`, want: document.Syntax, offset: 7, path: "a"},
		{name: "control character", data: "{\"a\":\"\x01\"}", want: document.Syntax, offset: 6, path: "a"},
		{name: "unknown escape", data: `{"a":"\x"}`, want: document.Syntax, offset: 6, path: "a"},
		{name: "invalid UTF-8", data: "{\"a\":\"12345678\xff\"}", want: document.UTF8, offset: 14, path: "a"},
		{name: "a surrogate in UTF-8", data: "{\"a\":\"\xed\xa0\x80\"}", want: document.UTF8, offset: 6, path: "a"},
		{name: "invalid UTF-8 in a key", data: "{\"\xc3\":1}", want: document.UTF8, offset: 2},
		{name: "high surrogate alone", data: `{"a":"\ud83dx"}`, want: document.LoneSurrogate, offset: 6, path: "a"},
		{name: "low surrogate alone", data: `{"a":"\ude00"}`, want: document.LoneSurrogate, offset: 6, path: "a"},
		{name: "surrogates in the wrong order", data: `{"a":"\ude00\ud83d"}`, want: document.LoneSurrogate, offset: 6, path: "a"},
		{name: "high surrogate twice", data: `{"a":"\ud83d\ud83d"}`, want: document.LoneSurrogate, offset: 6, path: "a"},
		{name: "surrogate in a key", data: `{"\ud83d":1}`, want: document.LoneSurrogate, offset: 2},
		{name: "duplicate key", data: `{"a":1,"b":2,"a":3}`, want: document.DuplicateKey, offset: 13, path: "a"},
		{name: "duplicate key, escaped", data: `{"a":1,"\u0061":2}`, want: document.DuplicateKey, offset: 7, path: "a"},
		{name: "duplicate key, deep", data: `{"x":[{"long-key-1":1,"long-key-1":2}]}`, want: document.DuplicateKey, offset: 22, path: "x.0.long-key-1"},
		{name: "duplicate empty key", data: `{"":1,"":2}`, want: document.DuplicateKey, offset: 6, path: `\e`},
		{name: "duplicate among many", data: strings.Replace(manyKeys(1000), `"k":1`, `"kbb":1`, 1), want: document.DuplicateKey, offset: -1, path: "kbb"},
		{name: "too deep", data: strings.Repeat(`{"a":`, 65), want: document.TooDeep, offset: 320, path: strings.Repeat("a.", 16) + "…"},
		{name: "depth 10,000", data: strings.Repeat(`[`, 10_000), want: document.NotObject},
		{name: "depth 10,000 in a member", data: `{"a":` + strings.Repeat(`[`, 10_000), want: document.TooDeep, offset: 68, path: "a" + strings.Repeat(".0", 15) + ".…"},
		{name: "too large", data: `{"a":"` + strings.Repeat("x", 4<<20) + `"}`, want: document.TooLarge},
		{name: "long name", data: `{"` + strings.Repeat("k", 1<<20) + `":x}`, want: document.Syntax, offset: 1<<20 + 4, path: strings.Repeat("k", 48) + "…"},
	} {
		t.Run(row.name, func(t *testing.T) {
			err := document.Check([]byte(row.data), document.Limits{})
			if row.want == 0 {
				if err != nil {
					t.Fatalf("refused: %v", err)
				}
				return
			}
			e, ok := errors.AsType[*document.Error](err)
			if !ok {
				t.Fatalf("got %v, want %v", err, row.want)
			}
			if e.Reason != row.want || row.offset >= 0 && e.Offset != row.offset || e.Path != row.path {
				t.Errorf("got %v at %d, path %q; want %v at %d, path %q", e.Reason, e.Offset, e.Path, row.want, row.offset, row.path)
			}
		})
	}
}

func TestCheckLimits(t *testing.T) {
	deep := []byte(strings.Repeat(`{"a":`, 5_000) + "1" + strings.Repeat("}", 5_000))
	if err := document.Check(deep, document.Limits{Depth: 5_000}); err != nil {
		t.Errorf("depth at the limit: %v", err)
	}
	if err := document.Check(deep, document.Limits{Depth: 4_999}); err == nil {
		t.Error("depth over the limit: accepted")
	}
	if err := document.Check([]byte(`{"a":1}`), document.Limits{Bytes: 7}); err != nil {
		t.Errorf("size at the limit: %v", err)
	}
	if err := document.Check([]byte(`{"a":1}`), document.Limits{Bytes: 6}); err == nil {
		t.Error("size over the limit: accepted")
	}
}

// An error contains the position but never the value: values must not reach logs.
func TestCheckErrorHasNoValues(t *testing.T) {
	err := document.Check([]byte(`{"a":"secret","b":secret}`), document.Limits{})
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}

// Time is linear in size for any text: eight times the text may take about eight times as long;
// a quadratic check takes 64 times as long.
func TestCheckIsLinear(t *testing.T) {
	alike := func(n int) string { // keys with equal length, first and last bytes
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `"xxxxxxxx%06dxxxxxxxx":1,`, i)
		}
		return "{" + b.String() + `"":0}`
	}
	for name, produce := range map[string]func(n int) string{
		"keys":            manyKeys,
		"keys much alike": alike,
		"quotes escaped":  func(n int) string { return `{"a":"` + strings.Repeat(`\"`, 8*n) + `"}` },
		"objects": func(n int) string {
			return `{"a":[` + strings.Repeat(`{"aaaaaaaaaaaa":1,"aaaaaaaaaaab":1},`, n) + `0]}`
		},
		"long calm, then an escape": func(n int) string {
			return `{"a":"` + strings.Repeat(strings.Repeat(" ", 40)+`\"`, n) + `"}`
		},
	} {
		path := mustPath(t, "**.absent")
		least := func(n int) time.Duration {
			data := []byte(produce(n))
			best := time.Hour
			for range 3 {
				start := time.Now()
				if err := document.Check(data, document.Limits{}); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				var d document.Document
				d.Reset(data)
				d.Find(path)
				best = min(best, time.Since(start))
			}
			return best
		}
		if few, many := least(8_000), least(64_000); many > 32*few+50*time.Millisecond {
			t.Errorf("%s: eight times as much took %v instead of %v", name, many, few)
		}
	}
}

func FuzzCheck(f *testing.F) {
	for _, s := range []string{objectEvent, textEvent, `{"a":1,"\u0061":2}`, `{"a":"\ud800"}`, "{\"a\":\"\xff\"}", `{"a":[{}]} x`, manyKeys(50)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		err := document.Check(data, document.Limits{})
		if want := reasonFor(data); (err == nil) != (want == "") {
			t.Fatalf("Check: %v; the reference says %q", err, want)
		}
		if e, ok := errors.AsType[*document.Error](err); err != nil && (!ok || e.Offset < 0 || e.Offset > len(data) || e.Error() == "") {
			t.Fatalf("error %#v", err)
		}
	})
}

// reasonFor is the slow reference for Check with default limits.
func reasonFor(data []byte) string {
	text := strings.TrimLeft(string(data), " \t\r\n")
	if !json.Valid(data) || !strings.HasPrefix(text, "{") || len(data) > 4<<20 {
		return "no JSON object"
	}
	if strings.ToValidUTF8(text, "") != text {
		return "utf8"
	}
	if halfPair(text) {
		return "lone surrogate"
	}
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	type frame struct {
		keys   map[string]bool // nil in an array
		expect bool            // a key comes next
	}
	var stack []frame
	for {
		tok, err := dec.Token()
		if err == io.EOF {
			return ""
		}
		if err != nil {
			return err.Error()
		}
		top := len(stack) - 1
		if s, ok := tok.(string); ok {
			if top >= 0 && stack[top].expect {
				if stack[top].keys[s] {
					return "duplicate " + s
				}
				stack[top].keys[s] = true
				stack[top].expect = false
				continue
			}
		}
		switch tok {
		case json.Delim('{'):
			stack = append(stack, frame{keys: map[string]bool{}, expect: true})
		case json.Delim('['):
			stack = append(stack, frame{})
		case json.Delim('}'), json.Delim(']'):
			stack = stack[:top]
			top--
			if top >= 0 && stack[top].keys != nil {
				stack[top].expect = true
			}
			continue
		default:
			if top >= 0 && stack[top].keys != nil {
				stack[top].expect = true
			}
			continue
		}
		if len(stack) > 64 {
			return "too deep"
		}
	}
}

// halfPair reports whether an escape in valid JSON is half of a surrogate pair.
func halfPair(text string) bool {
	unit := func(i int) rune {
		if i+6 > len(text) || text[i] != '\\' || text[i+1] != 'u' {
			return 0
		}
		n, _ := strconv.ParseUint(text[i+2:i+6], 16, 16)
		return rune(n)
	}
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		switch r := unit(i); {
		case !utf16.IsSurrogate(r):
			i++
		case utf16.DecodeRune(r, unit(i+6)) == '\uFFFD':
			return true
		default:
			i += 11
		}
	}
	return false
}

// A duplicate key is found among any number of keys, below any number of open ones, and no
// other key is taken for one.
func TestDuplicatesAreFound(t *testing.T) {
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 5))
		names := make([]string, 2+r.IntN(40))
		for i := range names {
			names[i] = strings.Repeat("x", r.IntN(12)) + strconv.Itoa(i)
		}
		object := func(names []string) string {
			return `{"` + strings.Join(names, `":0,"`) + `":0}`
		}
		outer := ""
		for i := range r.IntN(45) {
			outer += `"outer` + strconv.Itoa(i) + `":0,`
		}
		data := `{` + outer + `"in":` + object(names) + `}`
		if err := document.Check([]byte(data), document.Limits{}); err != nil {
			t.Fatalf("seed %d: %v: %s", seed, err, data)
		}
		twice := r.IntN(len(names))
		at := twice + 1 + r.IntN(len(names)-twice)
		data = `{` + outer + `"in":` + object(slices.Insert(names, at, names[twice])) + `}`
		err := document.Check([]byte(data), document.Limits{})
		if e, ok := errors.AsType[*document.Error](err); !ok || e.Reason != document.DuplicateKey || e.Path != "in."+names[twice] {
			t.Fatalf("seed %d: got %v, want the second %s refused: %s", seed, err, names[twice], data)
		}
	}
}
