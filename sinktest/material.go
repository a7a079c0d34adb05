package sinktest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"auditrelay"
)

// canary is in every document and must be in no error.
const canary = "canary-7f3a9c51"

var received = time.Date(2026, 3, 14, 15, 9, 26, 535897000, time.UTC)

// oddIDs are ids that caused faults in a destination before.
var oddIDs = []string{
	"6a1f0c9e-6f0e-4a55-9a36-2f4e8a0d3b11",
	"with space",
	"a=b+c&d?e#f%2F",
	"a/b:c\\d",
	"../../etc/passwd",
	"Zoë-日本語-🔑",
	"tab\tand\u0001control",
	`quote"and;semicolon`,
	".",
	strings.Repeat("long-", 50),
}

// long returns the size in bytes of a record's large value. It exceeds the default limit of a
// line reader, if the destination accepts that much.
func (k Kit) long() int {
	if k.TooLarge > 0 && k.TooLarge < 100_000 {
		return k.TooLarge * 4 / 5
	}
	return 64 << 10
}

// chunkOf returns a chunk of n records from a sequence on, with odd ones and a tombstone.
func chunkOf(kit Kit, from uint64, n int) auditrelay.Chunk {
	chunk := auditrelay.Chunk{Callback: "archive", Journal: "j0urna1.1", From: from, To: from + uint64(n)}
	for i := range n {
		sequence := from + uint64(i)
		r := auditrelay.Record{
			Sequence:  sequence,
			Namespace: auditrelay.NamespaceLiteLLM,
			ID:        fmt.Sprintf("%s-%d", oddIDs[i%len(oddIDs)], sequence),
			Time:      received.Add(time.Duration(i) * time.Second),
			Received:  received.Add(time.Minute),
			Action:    auditrelay.ActionUpdated,
		}
		switch i % 10 {
		case 4:
			r.ID, r.Tombstone = "", true
			r.Data = fmt.Appendf(nil, `{"tombstone":true,"sequence":%d,"cause":"trap"}`, sequence)
		case 7:
			r.Time, r.TimeFrom = r.Received, auditrelay.TimeMissing
			r.Data = document(sequence, strings.Repeat("x", kit.long()))
		default:
			r.Data = document(sequence, `日本語 \u0000 \" \n  <&>`)
		}
		chunk.Records = append(chunk.Records, r)
	}
	return chunk
}

func document(sequence uint64, value string) []byte {
	return fmt.Appendf(nil, `{"sequence":%d, "secret" : "%s", "number":1.0e+2,"value":"%s"}`, sequence, canary, value)
}

// number sets the numbers of payloads, as the engine does.
func number(first uint64, payloads []auditrelay.Payload) []auditrelay.Payload {
	for i := range payloads {
		payloads[i].Number = first + uint64(i)
	}
	return payloads
}

// render renders a chunk, which must succeed, and numbers its payloads.
func render(t *testing.T, sink auditrelay.Sink, chunk auditrelay.Chunk) []auditrelay.Payload {
	t.Helper()
	payloads, err := sink.Render(chunk)
	if err != nil {
		t.Fatalf("Render: %v", err)
	}
	return number(1, payloads)
}

// deliver delivers payloads, which must succeed.
func deliver(t *testing.T, sink auditrelay.Sink, payloads ...auditrelay.Payload) {
	t.Helper()
	for _, p := range payloads {
		if _, err := sink.Deliver(t.Context(), p); err != nil {
			t.Fatalf("Deliver %s: %v", p.Key, err)
		}
	}
}

// deliverWithin delivers one payload in several attempts, as the engine does.
func deliverWithin(t *testing.T, sink auditrelay.Sink, p auditrelay.Payload, attempts int) {
	t.Helper()
	var err error
	for range attempts {
		if _, err = sink.Deliver(t.Context(), p); err == nil {
			return
		}
	}
	t.Fatalf("Deliver %s, %d times: %v", p.Key, attempts, err)
}

// bounded runs f, which must return soon after its context has ended.
func bounded(t *testing.T, ctx context.Context, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	<-ctx.Done()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("Deliver went on for 10s after its context had ended")
	}
}

func shut(t *testing.T, sink auditrelay.Sink) {
	t.Helper()
	if c, ok := sink.(io.Closer); ok {
		if err := c.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
	}
}

// open creates a sink and closes it at the end of the test.
func open(t *testing.T, kit Kit) auditrelay.Sink {
	t.Helper()
	sink := kit.New(t)
	t.Cleanup(func() {
		if c, ok := sink.(io.Closer); ok {
			c.Close()
		}
	})
	return sink
}

// wantAt checks that the destination has each document of the chunks once.
func wantAt(t *testing.T, kit Kit, chunks ...auditrelay.Chunk) {
	t.Helper()
	var want []string
	for _, c := range chunks {
		for _, r := range c.Records {
			want = append(want, string(r.Data))
		}
	}
	var got []string
	for _, d := range kit.Read(t) {
		got = append(got, string(d))
	}
	if kit.Unordered {
		slices.Sort(want)
		slices.Sort(got)
	}
	if slices.Equal(want, got) {
		return
	}
	counts := map[string]int{}
	for _, d := range want {
		counts[d]++
	}
	for _, d := range got {
		counts[d]--
	}
	for d, n := range counts {
		if n != 0 {
			t.Errorf("%+d times too few: %.100s", n, d)
		}
	}
	t.Fatalf("the destination holds %d records, want %d, each once%s", len(got), len(want),
		map[bool]string{true: "", false: " and in order"}[kit.Unordered])
}

func clonePayload(p auditrelay.Payload) auditrelay.Payload {
	c := p
	c.Body = slices.Clone(p.Body)
	c.Sequences = slices.Clone(p.Sequences)
	c.Headers = map[string]string{}
	for k, v := range p.Headers {
		c.Headers[k] = v
	}
	return c
}

func cloneChunk(c auditrelay.Chunk) auditrelay.Chunk {
	c.Records = slices.Clone(c.Records)
	for i := range c.Records {
		c.Records[i].Data = slices.Clone(c.Records[i].Data)
	}
	return c
}

// scribble overwrites memory that nothing may read any more.
func scribble(b []byte) {
	for i := range b {
		b[i] = '!'
	}
}

func concurrency(sink auditrelay.Sink) int {
	if c, ok := sink.(auditrelay.Concurrent); ok {
		return max(1, c.Concurrency())
	}
	return 1
}

// wantNoCanary fails if err or an error in its chain quotes an event.
func wantNoCanary(t *testing.T, err error) {
	t.Helper()
	if strings.Contains(err.Error(), canary) {
		t.Errorf("the error quotes the event: %.300s", err)
	}
	if d, ok := errors.AsType[*auditrelay.DeliveryError](err); ok && d.Err == nil {
		t.Error("a DeliveryError without Err")
	}
}
