package ingest_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"auditrelay"
	"auditrelay/internal/ingest"
	"auditrelay/internal/test/corpus"
)

// If Check accepts an input, encoding/json accepts it as an object too, and both read the same
// id and action.
func FuzzCheck(f *testing.F) {
	for _, text := range events {
		if len(text) < 1<<12 {
			f.Add([]byte(text))
		}
	}
	g := corpus.New(1)
	g.Plant(1)
	for range len(corpus.Kinds()) {
		f.Add(g.Next().Data)
	}
	f.Add([]byte(`{"\u0069d":"\ud83d\ude00","action":"\u0000","updated_at":"2025-06-01T02:00:00\u002b05:30"}`))
	f.Add([]byte(` {"id":"a\\","action":"\\\"","x":{"y":"}\\"},"updated_at":null} `))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := ingest.Check(data, ingest.Limits{})
		if err != nil {
			fault, ok := errors.AsType[*ingest.EventError](err)
			if !ok || fault.Kind == 0 || fault.Reason == "" || fault.Message == "" || fault.Offset > int64(len(data)) {
				t.Fatalf("%#v", err)
			}
			return
		}
		var object map[string]any
		decoder := json.NewDecoder(bytes.NewReader(data))
		decoder.UseNumber()
		if err := decoder.Decode(&object); err != nil {
			t.Fatalf("encoding/json refuses it: %v", err)
		}
		if object["id"] != e.ID || object["action"] != string(e.Action) {
			t.Fatalf("id %q, action %q; encoding/json reads %q, %q", e.ID, e.Action, object["id"], object["action"])
		}
		readable := e.TimeFrom == auditrelay.TimeOfEvent || e.TimeFrom == auditrelay.TimeNaive
		if y := e.Time.Year(); readable != !e.Time.IsZero() && y != 1 || y < 1 || y > 9999 {
			t.Fatalf("time %v from %v", e.Time, e.TimeFrom)
		}
	})
}

// For any input, a Reader ends, enforces its limits, counts without gaps, and returns only
// parts of the body. The division into pieces changes nothing.
func FuzzReader(f *testing.F) {
	a, b := minimal("a"), minimal("b")
	for _, body := range []string{
		a, a + "\n" + b, "[" + a + "," + b + "]", "[" + a + ",{]", "[\"\\", "{\n" + a[1:], "\ufeff[" + a, "[[[]]],1 ,", "\r\n\n" + a + "\r",
	} {
		f.Add([]byte(body), uint8(0))
		f.Add([]byte(zipped(body)), uint8(3))
		f.Add([]byte(body), uint8(4))
	}
	limits := ingest.Limits{EventBytes: 200, BodyBytes: 2000, Events: 20, Depth: 8}
	f.Fuzz(func(t *testing.T, body []byte, form uint8) {
		contentType, encoding := "", ""
		if form&1 != 0 {
			encoding = "gzip"
		}
		if form&4 != 0 {
			contentType = "application/x-ndjson"
		}
		run := func(r io.Reader) (told []string) {
			index, next := 0, int64(0)
			for raw, err := range ingest.NewReader(r, contentType, encoding, limits).All() {
				if err != nil {
					fault, ok := errors.AsType[*ingest.EventError](err)
					if !ok || fault.Index != index || fault.Reason == "" || fault.Offset < 0 && encoding == "" || fault.Kind != ingest.Unframeable {
						t.Fatalf("event %d: %#v", index, err)
					}
					told = append(told, string(fault.Reason))
					index++
					continue
				}
				if raw.Index != index || raw.Offset < next || len(raw.Data) == 0 || int64(len(raw.Data)) > limits.EventBytes || index >= limits.Events {
					t.Fatalf("event %d: %+v", index, raw)
				}
				if encoding == "" && !bytes.HasPrefix(body[raw.Offset:], raw.Data) {
					t.Fatalf("event %d is not at %d: %q", index, raw.Offset, raw.Data)
				}
				if e, err := ingest.Check(raw.Data, limits); err == nil && (!json.Valid(e.Data) || e.ID == "") {
					t.Fatalf("event %d is no event: %q", index, raw.Data)
				}
				told = append(told, string(raw.Data))
				next = raw.Offset + int64(len(raw.Data))
				index++
			}
			return told
		}
		whole := run(bytes.NewReader(body))
		if pieces := run(&dribble{body: body}); encoding == "" && strings.Join(whole, "\n") != strings.Join(pieces, "\n") {
			t.Fatalf("in one piece %q, in several %q", whole, pieces)
		}
	})
}

// dribble returns a body in pieces of 1, 2, 3, 1, ... bytes.
type dribble struct {
	body []byte
	at   int
}

func (d *dribble) Read(p []byte) (int, error) {
	if len(d.body) == 0 {
		return 0, io.EOF
	}
	d.at++
	n := copy(p[:min(len(p), 1+d.at%3)], d.body)
	d.body = d.body[n:]
	return n, nil
}
