package stdout_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"auditrelay"
	"auditrelay/builtin/stdout"
	"auditrelay/sinktest"
)

// output is a writer with faults chosen by the test.
type output struct {
	mu    sync.Mutex
	b     bytes.Buffer
	fail  []int         // how many bytes each of the next writes accepts before it fails
	block chan struct{} // writes wait for it; nil: no write waits
}

var errBroken = errors.New("broken pipe")

func (o *output) Write(p []byte) (int, error) {
	if o.block != nil {
		<-o.block
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.fail) > 0 {
		n := min(o.fail[0], len(p))
		o.fail = o.fail[1:]
		o.b.Write(p[:n])
		return n, errBroken
	}
	return o.b.Write(p)
}

func (o *output) lines() [][]byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	var lines [][]byte
	for line := range bytes.Lines(slices.Clone(o.b.Bytes())) {
		lines = append(lines, bytes.TrimSuffix(line, []byte("\n")))
	}
	return lines
}

func newSink(t *testing.T, o *output) *stdout.Sink {
	t.Helper()
	sink, err := stdout.New(stdout.Options{Output: o})
	if err != nil {
		t.Fatal(err)
	}
	return sink
}

func TestConformance(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Kit {
		var out output
		return sinktest.Kit{
			New:       func(t *testing.T) auditrelay.Sink { return newSink(t, &out) },
			Read:      func(*testing.T) [][]byte { return out.lines() },
			Forgetful: true,
			LoseAnswer: func(t *testing.T) auditrelay.Sink {
				out.fail = []int{1 << 30} // the write succeeds but returns an error
				return newSink(t, &out)
			},
			Hang: func(t *testing.T) auditrelay.Sink {
				block := make(chan struct{})
				t.Cleanup(func() { close(block) })
				return newSink(t, &output{block: block})
			},
		}
	})
}

func payload(t *testing.T, sink *stdout.Sink, n uint64) auditrelay.Payload {
	t.Helper()
	payloads, err := sink.Render(auditrelay.Chunk{Callback: "c", Journal: "j", From: n, To: n + 1,
		Records: []auditrelay.Record{{Sequence: n, Data: fmt.Appendf(nil, `{"n":%d}`, n)}}})
	if err != nil {
		t.Fatal(err)
	}
	return payloads[0]
}

func TestAWriteThatFailsMidwayGoesOnWhereItStopped(t *testing.T) {
	out := output{fail: []int{3, 0, 2}}
	sink := newSink(t, &out)
	first, second := payload(t, sink, 1), payload(t, sink, 2)
	for attempt := range 3 {
		if _, err := sink.Deliver(t.Context(), first); !errors.Is(err, errBroken) {
			t.Fatalf("attempt %d: %v; want the writer's error", attempt, err)
		}
	}
	// The sink finishes the line first, even if another payload comes next.
	for _, p := range []auditrelay.Payload{second, first} {
		if _, err := sink.Deliver(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	if got := out.b.String(); got != "{\"n\":1}\n{\"n\":2}\n" {
		t.Errorf("written: %q", got)
	}
}

func TestAWriteThatWasGivenUpIsNotMadeTwice(t *testing.T) {
	out := output{block: make(chan struct{})}
	sink := newSink(t, &out)
	p := payload(t, sink, 1)
	ctx, cancel := context.WithCancel(t.Context())
	given := make(chan error)
	go func() {
		_, err := sink.Deliver(ctx, p)
		given <- err
	}()
	out.block <- struct{}{} // the write has begun
	out.block = nil
	cancel()
	if err := <-given; err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if _, err := sink.Deliver(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if got := out.b.String(); got != "{\"n\":1}\n" {
		t.Errorf("written: %q", got)
	}
}
