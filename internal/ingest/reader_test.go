package ingest_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"auditrelay/internal/ingest"
	"auditrelay/internal/test/corpus"

	"github.com/google/go-cmp/cmp"
)

// The division of a body into pieces changes nothing.
func TestReaderTakesAnyPieces(t *testing.T) {
	events := strings.NewReplacer(`\n`, "\n", `\r`, "\r", `\t`, "\t", `\x00`, "\x00",
		"<a>", minimal("a"), "<b>", minimal("b"), "<c>", minimal("c"))
	for _, row := range table(t, "bodies", 5) {
		text, ok := code(row[0])
		if !ok {
			continue
		}
		text = events.Replace(text)
		whole, _ := read(ingest.NewReader(strings.NewReader(text), row[1], row[2], ingest.Limits{}))
		for name, pieces := range map[string]io.Reader{
			"one byte":        iotest.OneByteReader(strings.NewReader(text)),
			"the end at once": iotest.DataErrReader(strings.NewReader(text)),
		} {
			got, _ := read(ingest.NewReader(pieces, row[1], row[2], ingest.Limits{}))
			if diff := cmp.Diff(whole, got); diff != "" {
				t.Errorf("%s, %s: %s", row[0], name, diff)
			}
		}
	}
}

// Data contains the event's bytes at Offset, for every form of body.
func TestReaderTellsWhereEventsAre(t *testing.T) {
	g := corpus.New(1)
	var events []string
	for range 200 {
		events = append(events, string(g.Next().Data))
	}
	for name, body := range map[string]string{
		"lines":          strings.Join(events, "\r\n \r\n"),
		"array":          "\ufeff [ " + strings.Join(events, " ,\n") + " ] ",
		"array, compact": "[" + strings.Join(events, ",") + "]",
		"one":            " " + events[0] + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			n := 0
			for raw, err := range ingest.NewReader(strings.NewReader(body), "", "", ingest.Limits{}).All() {
				if err != nil {
					t.Fatal(err)
				}
				if raw.Index != n || string(raw.Data) != events[n] || !strings.HasPrefix(body[raw.Offset:], events[n]) {
					t.Fatalf("event %d at %d: %s", raw.Index, raw.Offset, raw.Data)
				}
				n++
			}
			if n != len(events) && name != "one" {
				t.Errorf("%d events", n)
			}
		})
	}
}

func TestReaderTellsWhereFaultsAre(t *testing.T) {
	limits := ingest.Limits{EventBytes: 60, Events: 3}
	a, large := minimal("a"), sized(61)
	for _, test := range []struct {
		body, reason string
		offset       int
	}{
		{a + "\n" + large + "\n" + a, "too_large", len(a) + 1},
		{a + "\n" + large, "too_large", len(a) + 1},
		{"[" + a + "," + large + "," + a + "]", "too_large", len(a) + 2},
		{"[" + a + " " + a + "]", "frame", len(a) + 2},
		{"[" + a + "] x", "trailing", len(a) + 3},
		{"[" + a, "truncated", len(a) + 1},
		{a + "\n" + a + "\n" + a + "\n" + a, "too_many_events", 3*len(a) + 3},
	} {
		for name, pieces := range map[string]io.Reader{
			"whole":    strings.NewReader(test.body),
			"one byte": iotest.OneByteReader(strings.NewReader(test.body)),
		} {
			var fault *ingest.EventError
			for _, err := range ingest.NewReader(pieces, "", "", limits).All() {
				if err != nil {
					fault, _ = errors.AsType[*ingest.EventError](err)
				}
			}
			if fault == nil || string(fault.Reason) != test.reason || fault.Offset != int64(test.offset) {
				t.Errorf("%s, %s: %#v, expected offset %d", test.body, name, fault, test.offset)
			}
		}
	}
}

// Limits are exact to the byte: at the limit accepted, one above refused.
func TestReaderHoldsLimitsToTheByte(t *testing.T) {
	exact := sized(100)
	over := sized(101)
	for name, body := range map[string]func(string) string{
		"line":       func(e string) string { return e },
		"line, lf":   func(e string) string { return e + "\n" },
		"crlf":       func(e string) string { return "\n  " + e + "\r\n" + e },
		"array":      func(e string) string { return "[" + e + "]" },
		"over lines": func(e string) string { return "{\n" + e[2:] },
	} {
		limits := ingest.Limits{EventBytes: 100}
		if results, _ := read(ingest.NewReader(strings.NewReader(body(exact)), "", "", limits)); results[0] != "a" && name != "over lines" {
			t.Errorf("%s: at the limit: %v", name, results)
		}
		if results, _ := read(ingest.NewReader(iotest.OneByteReader(strings.NewReader(body(exact))), "", "", limits)); results[0] != "a" && name != "over lines" {
			t.Errorf("%s: at the limit, byte by byte: %v", name, results)
		}
		if results, _ := read(ingest.NewReader(strings.NewReader(body(over)), "", "", limits)); !strings.HasSuffix(results[0], "too_large") {
			t.Errorf("%s: over the limit: %v", name, results)
		}
		length := int64(len(body(exact)))
		if _, last := read(ingest.NewReader(strings.NewReader(body(exact)), "", "", ingest.Limits{BodyBytes: length})); last != nil {
			t.Errorf("%s: a body at the limit: %v", name, last)
		}
		if _, last := read(ingest.NewReader(strings.NewReader(body(exact)), "", "", ingest.Limits{BodyBytes: length - 1})); last == nil || last.Reason != ingest.BodyTooLarge {
			t.Errorf("%s: a body over the limit: %v", name, last)
		}
	}
	negative := ingest.Limits{BodyBytes: -1, Events: -1, Ratio: -1}
	body := zipped(strings.Repeat(minimal("n")+"\n", 20_000) + strings.Repeat("\n", 20<<20))
	if results, last := read(ingest.NewReader(strings.NewReader(body), "", "gzip", negative)); len(results) != 20_000 || last != nil {
		t.Errorf("without bounds: %d events, %v", len(results), last)
	}
}

// If a body exceeds its limit, the events within the limit are accepted.
func TestReaderTakesWhatIsWithinTheLimit(t *testing.T) {
	body := minimal("a") + "\n" + minimal("b") + "\n" + minimal("c")
	limits := ingest.Limits{BodyBytes: int64(len(body) - 1)}
	results, _ := read(ingest.NewReader(strings.NewReader(body), "", "", limits))
	if diff := cmp.Diff([]string{"a", "b", "rest:body_too_large"}, results); diff != "" {
		t.Error(diff)
	}
}

// A Reader holds one event and a buffer, for any size of body.
func TestReaderIsBoundedInMemory(t *testing.T) {
	event := append(corpus.Reference(), '\n')
	deep := strings.Repeat("[", 1<<20)
	for name, test := range map[string]struct {
		body io.Reader
		most uint64
	}{
		"many events":        {&repeat{piece: event, left: 32 << 20}, 1 << 20},
		"one line":           {&repeat{piece: bytes.Repeat([]byte("x"), 4096), left: 32 << 20}, 8 << 20},
		"one string":         {io.MultiReader(strings.NewReader(`["`), &repeat{piece: bytes.Repeat([]byte("x"), 4096), left: 32 << 20}), 8 << 20},
		"blank lines":        {&repeat{piece: bytes.Repeat([]byte("\n"), 4096), left: 32 << 20}, 1 << 20},
		"brackets, 16 MiB":   {io.MultiReader(strings.NewReader("["), &repeat{piece: []byte(deep), left: 16 << 20}), 20 << 20},
		"an object on lines": {io.MultiReader(strings.NewReader("{\n"), &repeat{piece: []byte("\"a\":\n"), left: 32 << 20}), 8 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for raw, err := range ingest.NewReader(test.body, "", "", ingest.Limits{BodyBytes: -1, Events: -1}).All() {
				_, _ = raw, err
			}
			runtime.ReadMemStats(&after)
			if got := after.TotalAlloc - before.TotalAlloc; got > test.most {
				t.Errorf("%d bytes were allocated in all", got)
			}
		})
	}
}

// repeat returns piece repeatedly.
type repeat struct {
	piece []byte
	at    int
	left  int
}

func (r *repeat) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, io.EOF
	}
	n := copy(p, r.piece[r.at:])
	r.at = (r.at + n) % len(r.piece)
	r.left -= n
	return n, nil
}

func TestReaderGivesUpOnABodyThatSaysNothing(t *testing.T) {
	_, last := read(ingest.NewReader(silent{}, "", "", ingest.Limits{}))
	if last == nil || last.Reason != ingest.Unread || !errors.Is(last, io.ErrNoProgress) {
		t.Error(last)
	}
}

type silent struct{}

func (silent) Read([]byte) (int, error) { return 0, nil }

func BenchmarkReader(b *testing.B) {
	const n = 100
	g := corpus.New(1)
	var events [][]byte
	for range n {
		events = append(events, g.Next().Data)
	}
	lines := bytes.Join(events, []byte("\n"))
	array := fmt.Appendf(nil, "[%s]", bytes.Join(events, []byte(",")))
	for name, body := range map[string]struct {
		data     []byte
		encoding string
	}{"lines": {lines, ""}, "array": {array, ""}, "gzip": {[]byte(zipped(string(lines))), "gzip"}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				got := 0
				for _, err := range ingest.NewReader(bytes.NewReader(body.data), "", body.encoding, ingest.Limits{}).All() {
					if err != nil {
						b.Fatal(err)
					}
					got++
				}
				if got != n {
					b.Fatal(got)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/event")
		})
	}
}
