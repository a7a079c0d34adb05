package delivery_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"auditrelay"
)

// simSink is an object store with faults. Its contents survive crashes.
type simSink struct {
	w       *world
	objects map[string]auditrelay.Payload
	bad     func(sequence uint64) bool // permanently refused
	picky   bool                       // there are invalid records
	partial bool                       // names the invalid records and stores the others
	plain   bool                       // a payload consists only of the records
	seen    map[string]string          // key -> digest of the body: the content of a key never changes
}

func (s *simSink) Render(c auditrelay.Chunk) ([]auditrelay.Payload, error) {
	// Two partitions, so that a chunk has several payloads.
	var parts [2]auditrelay.Payload
	for _, r := range c.Records {
		p := &parts[r.Sequence%2]
		if !s.plain {
			p.Body = fmt.Appendf(p.Body, "%d %v ", r.Sequence, r.Tombstone)
		}
		p.Body = append(append(p.Body, r.Data...), '\n')
		p.Sequences = append(p.Sequences, r.Sequence)
	}
	var out []auditrelay.Payload
	for _, p := range parts {
		if len(p.Sequences) > 0 {
			out = append(out, nameSim(p))
		}
	}
	return out, nil
}

// simLine is one record at the destination.
type simLine struct {
	sequence  uint64
	tombstone bool
	data      []byte
	line      []byte
}

// lines returns the records of a payload, or none for a manifest.
func (s *simSink) lines(p auditrelay.Payload) (lines []simLine) {
	for i, line := range slices.Collect(bytes.Lines(p.Body)) {
		if i >= len(p.Sequences) {
			break
		}
		l := simLine{sequence: p.Sequences[i], line: line, data: bytes.TrimSuffix(line, []byte("\n"))}
		if s.plain {
			l.tombstone = bytes.Contains(line, []byte("auditrelay_tombstone"))
		} else {
			l.tombstone = bytes.HasPrefix(line, fmt.Appendf(nil, "%d true", l.sequence))
			l.data = l.data[len(fmt.Sprint(l.sequence, " ", l.tombstone, " ")):]
		}
		lines = append(lines, l)
	}
	return lines
}

// nameSim gives different payloads different keys, even with equal content: a filter emits the
// same for all events.
func nameSim(p auditrelay.Payload) auditrelay.Payload {
	sum := sha256.Sum256(p.Body)
	p.Digest = hex.EncodeToString(sum[:])
	of := sha256.Sum256(fmt.Append(nil, p.Sequences))
	p.Key = fmt.Sprintf("%d-%x-%s", p.Sequences[0], of[:4], p.Digest[:16])
	return p
}

// splittingSink can halve its payloads.
type splittingSink struct{ *simSink }

func (s splittingSink) Split(p auditrelay.Payload) (first, second auditrelay.Payload, err error) {
	lines := bytes.SplitAfter(p.Body, []byte("\n"))
	n := len(p.Sequences) / 2
	first = auditrelay.Payload{Body: bytes.Join(lines[:n], nil), Sequences: p.Sequences[:n]}
	second = auditrelay.Payload{Body: bytes.Join(lines[n:], nil), Sequences: p.Sequences[n:]}
	return nameSim(first), nameSim(second), nil
}

func (s splittingSink) RenderManifest(m auditrelay.Manifest) (auditrelay.Payload, error) {
	return auditrelay.Payload{Key: fmt.Sprintf("manifest-%d", m.Number), Body: fmt.Appendf(nil, "%+v", m), Digest: strconv.FormatUint(m.Number, 10)}, nil
}

func (s splittingSink) RenderProof(p auditrelay.Proof) (auditrelay.Payload, error) {
	sum := sha256.Sum256(p.Bundle)
	return auditrelay.Payload{Key: fmt.Sprintf("%s%d-%x", proofPrefix, p.Size, sum[:8]), Body: p.Bundle, Digest: hex.EncodeToString(sum[:])}, nil
}

const proofPrefix = "proof-"

var errDown = errors.New("destination is down")

func (s *simSink) Deliver(_ context.Context, p auditrelay.Payload) (auditrelay.Receipt, error) {
	sum := sha256.Sum256(p.Body)
	digest := hex.EncodeToString(sum[:])
	if before, ok := s.seen[p.Key]; ok && before != digest {
		return auditrelay.Receipt{}, fmt.Errorf("BROKEN: key %s was sent with two contents", p.Key)
	}
	s.seen[p.Key] = digest
	refused := new(auditrelay.RecordErrors)
	var rest auditrelay.Payload
	for _, l := range s.lines(p) {
		if !s.bad(l.sequence) || l.tombstone {
			rest.Body, rest.Sequences = append(rest.Body, l.line...), append(rest.Sequences, l.sequence)
			continue
		}
		refused.Records = append(refused.Records, auditrelay.RecordError{Sequence: l.sequence, Err: errors.New("record refused")})
		if !s.partial {
			return auditrelay.Receipt{}, &auditrelay.DeliveryError{Kind: auditrelay.Refused, Err: errors.New("record refused")}
		}
	}
	if len(refused.Records) > 0 {
		s.objects[p.Key] = rest
		return auditrelay.Receipt{}, refused
	}
	if s.w.faults {
		switch s.w.random.IntN(8) {
		case 0:
			return auditrelay.Receipt{}, errDown
		case 1: // written, but the answer is lost
			s.objects[p.Key] = p
			return auditrelay.Receipt{}, errDown
		case 2:
			return auditrelay.Receipt{}, &auditrelay.DeliveryError{Kind: auditrelay.Unauthorized, Err: errors.New("who are you")}
		case 3:
			return auditrelay.Receipt{}, &auditrelay.DeliveryError{Kind: auditrelay.Throttled, RetryAfter: time.Second, Err: errors.New("slow down")}
		}
	}
	p.Body = slices.Clone(p.Body)
	s.objects[p.Key] = p
	return auditrelay.Receipt{Location: p.Key}, nil
}
