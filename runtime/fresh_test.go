package runtime_test

import (
	"bytes"
	"context"
	"sync"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/runtime"
)

// spoilingSink overwrites the body of each payload on the first attempt, and then fails it.
type spoilingSink struct {
	memorySink
	seen     sync.Mutex
	rendered map[string]*byte // address of each body
	own      int              // number of first attempts with Render's memory
	first    map[string][]byte
}

func (s *spoilingSink) Render(c auditrelay.Chunk) ([]auditrelay.Payload, error) {
	payloads, err := s.memorySink.Render(c)
	s.seen.Lock()
	defer s.seen.Unlock()
	for i := range payloads {
		s.rendered[payloads[i].Key] = &payloads[i].Body[0]
	}
	return payloads, err
}

func (s *spoilingSink) Deliver(ctx context.Context, p auditrelay.Payload) (auditrelay.Receipt, error) {
	s.seen.Lock()
	defer s.seen.Unlock()
	if s.first[p.Key] != nil {
		return s.memorySink.Deliver(ctx, p)
	}
	s.first[p.Key] = bytes.Clone(p.Body)
	if &p.Body[0] == s.rendered[p.Key] {
		s.own++
	}
	clear(p.Body)
	return auditrelay.Receipt{}, errDown
}

// TestFirstAttemptIsNotReadBack: the first attempt after a seal gets the sealed bytes without a
// read. The next one gets the stored bytes, whatever happened to that memory.
func TestFirstAttemptIsNotReadBack(t *testing.T) {
	sink := &spoilingSink{rendered: map[string]*byte{}, first: map[string][]byte{}}
	c := quick(runtime.Callback{Name: "archive", Sink: sink})
	c.Chunk.Events = 5
	c.Backoff = auditrelay.Backoff{Initial: time.Millisecond, Max: time.Millisecond}
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{c}})
	for _, id := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"} {
		submit(t, r, event(id, "created"))
	}
	settle(t, r)
	sink.seen.Lock()
	defer sink.seen.Unlock()
	if sink.own == 0 || len(sink.first) == 0 {
		t.Errorf("%d of %d first attempts were given what was sealed", sink.own, len(sink.first))
	}
	for key, body := range sink.first {
		if got := sink.objects[key].Body; !bytes.Equal(got, body) {
			t.Errorf("payload %s was sent as %q, and again as %q", key, body, got)
		}
	}
	if m := r.Stats().Memory; m.Used != 0 || m.Waiting != 0 {
		t.Errorf("memory afterwards: %+v", m)
	}
}
