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

// memorySink keeps what is delivered in memory, by key, as an object store would.
type memorySink struct {
	mu      sync.Mutex
	objects map[string]auditrelay.Payload
	writes  int
	deliver func(p auditrelay.Payload) error // before the write, nil: always well
}

func (s *memorySink) Render(c auditrelay.Chunk) ([]auditrelay.Payload, error) {
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
	defer s.mu.Unlock()
	s.writes++
	if s.deliver != nil {
		if err := s.deliver(p); err != nil {
			return auditrelay.Receipt{}, err
		}
	}
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
