package runtime_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync"

	"auditrelay"
)

// memorySink stores deliveries in memory by key, like an object store.
type memorySink struct {
	mu      sync.Mutex
	objects map[string]auditrelay.Payload
	writes  int
	closed  int
	deliver func(p auditrelay.Payload) error // called before the write; nil: always succeeds
	render  func(c auditrelay.Chunk) error   // called before rendering; nil: always succeeds
}

// set changes the sink's answers from now on.
func (s *memorySink) set(deliver func(p auditrelay.Payload) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deliver = deliver
}

func (s *memorySink) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed++
	return nil
}

func (s *memorySink) count() (writes, closed int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writes, s.closed
}

// whole is a sink that cannot halve its payloads.
type whole struct{ s *memorySink }

func (w whole) Render(c auditrelay.Chunk) ([]auditrelay.Payload, error) { return w.s.Render(c) }
func (w whole) Deliver(ctx context.Context, p auditrelay.Payload) (auditrelay.Receipt, error) {
	return w.s.Deliver(ctx, p)
}

func (s *memorySink) Render(c auditrelay.Chunk) ([]auditrelay.Payload, error) {
	if s.render != nil {
		if err := s.render(c); err != nil {
			return nil, err
		}
	}
	p := auditrelay.Payload{}
	for _, r := range c.Records {
		p.Body = append(append(p.Body, r.Data...), '\n')
		p.Sequences = append(p.Sequences, r.Sequence)
	}
	return []auditrelay.Payload{named(c.Replay, p)}, nil
}

func named(replay string, p auditrelay.Payload) auditrelay.Payload {
	sum := sha256.Sum256(p.Body)
	p.Digest = hex.EncodeToString(sum[:])
	p.Key = fmt.Sprintf("%s/%d-%s", replay, p.Sequences[0], p.Digest[:12])
	return p
}

func (s *memorySink) Split(p auditrelay.Payload) (first, second auditrelay.Payload, err error) {
	lines := bytes.SplitAfter(p.Body, []byte("\n"))
	n := len(p.Sequences) / 2
	first = auditrelay.Payload{Body: bytes.Join(lines[:n], nil), Sequences: p.Sequences[:n]}
	second = auditrelay.Payload{Body: bytes.Join(lines[n:], nil), Sequences: p.Sequences[n:]}
	return named("split", first), named("split", second), nil
}

func (s *memorySink) Deliver(ctx context.Context, p auditrelay.Payload) (auditrelay.Receipt, error) {
	if err := ctx.Err(); err != nil {
		return auditrelay.Receipt{}, err
	}
	s.mu.Lock()
	s.writes++
	answer := s.deliver
	s.mu.Unlock()
	if answer != nil {
		if err := answer(p); err != nil {
			return auditrelay.Receipt{}, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.objects == nil {
		s.objects = map[string]auditrelay.Payload{}
	}
	s.objects[p.Key] = p
	return auditrelay.Receipt{Location: p.Key}, nil
}

// lines returns every delivered line by sequence.
func (s *memorySink) lines() map[uint64]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[uint64]string{}
	for _, p := range s.objects {
		for i, line := range bytes.Split(bytes.TrimSuffix(p.Body, []byte("\n")), []byte("\n")) {
			out[p.Sequences[i]] = string(line)
		}
	}
	return out
}
