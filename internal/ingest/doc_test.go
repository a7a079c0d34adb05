package ingest_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"auditrelay"
	"auditrelay/internal/ingest"
)

// The tables of docs/reference/events.md are the tests of this file.

// table returns the rows of the document's table of that name, cell by cell.
func table(t *testing.T, name string, cells int) (rows [][]string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/reference/events.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "<!-- table: "+name+" -->\n")
	body, _, closed := strings.Cut(rest, "<!-- end -->")
	if !ok || !closed {
		t.Fatalf("docs/reference/events.md has no table %s", name)
	}
	for i, line := range strings.Split(strings.TrimSpace(body), "\n") {
		row := strings.Split(strings.TrimSuffix(strings.TrimPrefix(line, "|"), "|"), "|")
		for j := range row {
			row[j] = strings.TrimSpace(row[j])
		}
		if len(row) != cells {
			t.Fatalf("table %s: %d cells where there should be %d: %s", name, len(row), cells, line)
		}
		if i >= 2 { // after the header and its line
			rows = append(rows, row)
		}
	}
	return rows
}

// code returns the content of a cell that is one code span.
func code(cell string) (string, bool) {
	inner, ok := strings.CutPrefix(cell, "`")
	if inner, end := strings.CutSuffix(inner, "`"); ok && end && !strings.Contains(inner, "`") {
		return inner, true
	}
	return "", false
}

func minimal(id string) string { return `{"id":"` + id + `","action":"created"}` }

// with returns a minimal event with one more field.
func with(field string) string { return `{"id":"a","action":"created",` + field + `}` }

// sized returns an event of n bytes.
func sized(n int) string {
	return with(`"x":"` + strings.Repeat("x", n-len(with(`"x":""`))) + `"`)
}

func nested(depth int) string {
	return with(`"x":` + strings.Repeat("[", depth-1) + strings.Repeat("]", depth-1))
}

var events = map[string]string{
	"*depth 64*":                     nested(64),
	"*depth 65*":                     nested(65),
	"*depth 10,000*":                 nested(10_000),
	"*an id of 256 bytes*":           minimal(strings.Repeat("é", 128)),
	"*an id of 256 bytes, escaped*":  minimal(strings.Repeat(`\u00e9`, 128)),
	"*an id of 257 bytes*":           minimal(strings.Repeat("é", 128) + "x"),
	"*an id of 257 bytes, escaped*":  minimal(strings.Repeat(`\u00e9`, 128) + "x"),
	"*an action of 128 bytes*":       `{"id":"a","action":"` + strings.Repeat("x", 128) + `"}`,
	"*an action of 129 bytes*":       `{"id":"a","action":"` + strings.Repeat("x", 129) + `"}`,
	"*a key of 1 MB*":                with(`"` + strings.Repeat("k", 1_000_000) + `":1`),
	"*an event of 1 MiB*":            sized(1 << 20),
	"*an event of 1 MiB and a byte*": sized(1<<20 + 1),
	"*20,000 keys*":                  with(manyKeys(20_000)),
	"*bytes that are not UTF-8*":     with("\"x\":\"\xff\""),
	"*a byte order mark*":            "\ufeff" + minimal("a"),
	"*nothing*":                      "",
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"k%d":0,`, i)
	}
	return strings.TrimSuffix(b.String(), ",")
}

func TestTableOfEvents(t *testing.T) {
	seen := make(map[string]bool) // reasons, fields of a wrong type, and generators
	for _, row := range table(t, "events", 5) {
		input, verdict, reason, field := row[0], row[1], row[2], row[3]
		data, ok := code(input)
		if !ok {
			if data, ok = events[input]; !ok {
				t.Errorf("%s: no such event", input)
				continue
			}
		}
		field, _ = code(field)
		seen[input], seen[reason] = true, true
		if reason == string(ingest.WrongType) {
			seen["type of "+field] = true
		}
		_, err := ingest.Check([]byte(data), ingest.Limits{})
		if verdict == "valid" {
			if err != nil {
				t.Errorf("%s: %v", input, err)
			}
			continue
		}
		fault, ok := errors.AsType[*ingest.EventError](err)
		if !ok || fault.Kind.String() != verdict || string(fault.Reason) != reason || !named(fault.Field, field) {
			t.Errorf("%s: %#v", input, err)
		}
	}
	for _, reason := range ingest.Reasons()[:12] {
		if !seen[string(reason)] {
			t.Errorf("no line for %s", reason)
		}
	}
	for name := range events {
		if !seen[name] {
			t.Errorf("no line for %s", name)
		}
	}
	for _, field := range []string{
		"id", "action", "updated_at", "changed_by", "changed_by_api_key", "table_name", "object_id",
		"object_alias", "object_team_id", "object_team_alias", "changed_by_user_email", "changed_by_key_alias",
	} {
		if !seen["type of "+field] {
			t.Errorf("no line for a wrong type of %s", field)
		}
	}
}

// named compares a field with a cell, in which "…" stands for any rest.
func named(field, cell string) bool {
	if start, ok := strings.CutSuffix(cell, "…"); ok {
		return strings.HasPrefix(field, start)
	}
	return field == cell
}

func TestTableOfTimes(t *testing.T) {
	seen := make(map[auditrelay.TimeSource]bool)
	for _, row := range table(t, "times", 3) {
		data := minimal("a")
		switch input := row[0]; input {
		case "*absent*":
		case "*null*":
			data = with(`"updated_at":null`)
		case "*empty*":
			data = with(`"updated_at":""`)
		default:
			text, ok := code(input)
			if !ok {
				t.Errorf("%s: no such time", input)
			}
			data = with(`"updated_at":"` + text + `"`)
		}
		e, err := ingest.Check([]byte(data), ingest.Limits{})
		if err != nil {
			t.Errorf("%s: %v", row[0], err)
			continue
		}
		var want time.Time
		if row[1] != "" {
			if want, err = time.Parse(time.RFC3339Nano, row[1]); err != nil {
				t.Fatal(err)
			}
		}
		seen[e.TimeFrom] = true
		if !e.Time.Equal(want) || e.Time.Location() != time.UTC || e.TimeFrom.String() != row[2] {
			t.Errorf("%s: %v from %v", row[0], e.Time, e.TimeFrom)
		}
	}
	if len(seen) != 4 {
		t.Errorf("only %v occur", seen)
	}
}

func zipped(plain ...string) string {
	var b bytes.Buffer
	for _, p := range plain {
		w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
		io.WriteString(w, p)
		w.Close()
	}
	return b.String()
}

// bodies are the inputs that the table describes in words. The letters a to c stand for minimal
// events in both.
var bodies = func() map[string]io.Reader {
	a, b, c := minimal("a"), minimal("b"), minimal("c")
	two := zipped(a + "\n" + b + "\n")
	flipped := []byte(two)
	flipped[len(flipped)-6] ^= 1
	var many strings.Builder
	for range 10_001 {
		many.WriteString(minimal("n") + "\n")
	}
	texts := map[string]string{
		"*a byte order mark, then* `<a>\\n<b>`":                  "\ufeff" + a + "\n" + b,
		"*a byte order mark, then* `[<a>]`":                      "\ufeff[" + a + "]",
		"*gzip of* `[<a>,<b>]`":                                  zipped("[" + a + "," + b + "]"),
		"*gzip of* `<a>\\n<b>`":                                  zipped(a + "\n" + b),
		"*gzip of* `<a>\\n` *and gzip of* `<b>\\n`":              zipped(a+"\n", b+"\n"),
		"*an array of* `<a>`*, an event of depth 10,000,* `<c>`": "[" + a + "," + nested(10_000) + "," + c + "]",
		"*an array of* `<a>`*, an event of 2 MiB,* `<c>`":        "[" + a + "," + sized(2<<20) + "," + c + "]",
		"*lines of* `<a>`*, an event of 2 MiB,* `<c>`":           a + "\n" + sized(2<<20) + "\n" + c,
		"*an object of 2 MiB over lines*":                        "{\n" + sized(2 << 20)[1:],
		"*nothing*":                                              "",
		"*gzip of* `<a>\\n<b>\\n`*, cut short*":                  two[:len(two)-4],
		"*gzip of* `<a>\\n<b>\\n`*, its checksum damaged*":       string(flipped),
		"*10,001 events*":                                        many.String(),
		"*an event, then 16 MiB of line feeds*":                  a + strings.Repeat("\n", 16<<20),
		"*an event, then 50 MiB of line feeds, gzip*":            zipped(a + strings.Repeat("\n", 50<<20)),
	}
	readers := map[string]io.Reader{
		"*an event, a line feed, then a broken connection*": io.MultiReader(strings.NewReader(a+"\n"), iotest.ErrReader(errors.New("reset"))),
	}
	for name, text := range texts {
		readers[name] = strings.NewReader(text)
	}
	return readers
}

func TestTableOfBodies(t *testing.T) {
	events := strings.NewReplacer(`\n`, "\n", `\r`, "\r", `\t`, "\t", `\x00`, "\x00",
		"<a>", minimal("a"), "<b>", minimal("b"), "<c>", minimal("c"))
	words := bodies()
	used := make(map[string]bool)
	reasons := make(map[string]bool)
	for _, row := range table(t, "bodies", 5) {
		input, contentType, encoding := row[0], row[1], row[2]
		want := strings.ReplaceAll(row[3], "*10,000 events*", strings.TrimSpace(strings.Repeat("n ", 10_000)))
		t.Run(input+" "+contentType+" "+encoding, func(t *testing.T) {
			var body io.Reader
			if text, ok := code(input); ok {
				body = strings.NewReader(events.Replace(text))
			} else if body, ok = words[input]; !ok {
				t.Fatal("no such body")
			}
			used[input] = true
			results, last := read(ingest.NewReader(body, contentType, encoding, ingest.Limits{}))
			if got := strings.Join(results, " "); got != want {
				t.Errorf("got %.200s, want %.200s", got, want)
			}
			for _, result := range results {
				reasons[strings.TrimPrefix(result, "rest:")] = true
			}
			if last != nil && last.Offset < 0 {
				t.Errorf("no position: %v", last)
			}
		})
	}
	for _, reason := range append(ingest.Reasons()[12:], ingest.TooLarge) {
		if !reasons[string(reason)] {
			t.Errorf("no line for %s", reason)
		}
	}
	for name := range words {
		if !used[name] {
			t.Errorf("no line for %s", name)
		}
	}
}

// read runs a Reader to its end, and checks each event. It returns ids and reasons, and the
// Reader's own last fault.
func read(r *ingest.Reader) (results []string, last *ingest.EventError) {
	index := 0
	for raw, err := range r.All() {
		got := raw.Index
		var e auditrelay.Event
		if err == nil {
			e, err = ingest.Check(raw.Data, ingest.Limits{})
		} else if last, _ = errors.AsType[*ingest.EventError](err); last != nil {
			got = last.Index
		}
		switch fault, ok := errors.AsType[*ingest.EventError](err); {
		case got != index:
			results = append(results, fmt.Sprintf("index %d, expected %d", got, index))
		case err == nil:
			results = append(results, e.ID)
		case !ok:
			results = append(results, err.Error())
		case fault.Rest:
			results = append(results, "rest:"+string(fault.Reason))
		default:
			results = append(results, string(fault.Reason))
		}
		index++
	}
	return results, last
}
