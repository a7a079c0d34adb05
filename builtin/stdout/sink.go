// Package stdout writes records to an io.Writer, by default the process's standard output, one
// JSON object a line.
//
// Delivered means here that the operating system accepted the bytes: they are in a pipe or a
// terminal, not on a disk. The reader at the other end may still lose them, and the relay
// cannot know. After a restart a payload that was not recorded as delivered is written again as
// a whole. Within one process a payload is written once, even if a write failed midway. Use
// this sink to look at events, and in containers whose runtime collects the output. If no
// record may be lost, use file or s3.
package stdout

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"auditrelay"
	"auditrelay/internal/ndjson"
)

// Options configure the sink. None can be set in YAML.
type Options struct {
	// Output gets one Write for each payload. Default: os.Stdout, unbuffered.
	Output io.Writer `yaml:"-"`
}

// remembered is the number of payload keys that the sink remembers.
const remembered = 1024

// Sink writes to one writer. It is safe for concurrent use, but makes one delivery at a time.
type Sink struct {
	output io.Writer
	turn   chan struct{} // contains one token; its holder may use the fields below
	keys   []string      // keys of written payloads, oldest first
	known  map[string]bool

	// The running or failed write, or nil if there is none. It may outlive its delivery, since
	// a write cannot be cancelled.
	writing *write
}

// write is one payload that is being written.
type write struct {
	key      string
	rest     []byte // a copy of the unwritten bytes
	done     chan struct{}
	err      error // valid after done is closed
	reported bool  // a delivery has returned err
}

var _ auditrelay.Sink = (*Sink)(nil)

// New returns a sink for o. It does no I/O and never fails.
func New(o Options) (*Sink, error) {
	s := &Sink{output: o.Output, turn: make(chan struct{}, 1), known: map[string]bool{}}
	if s.output == nil {
		s.output = os.Stdout
	}
	s.turn <- struct{}{}
	return s, nil
}

// Render returns one payload for the chunk.
func (s *Sink) Render(chunk auditrelay.Chunk) ([]auditrelay.Payload, error) {
	if len(chunk.Records) == 0 {
		return nil, nil
	}
	if err := ndjson.Check(chunk.Records); err != nil {
		return nil, err
	}
	body, sequences := ndjson.Join(chunk.Records)
	sum := sha256.Sum256(body)
	digest := hex.EncodeToString(sum[:])
	return []auditrelay.Payload{{
		Key: fmt.Sprintf("%s/%s/%s/%d-%d-%s", chunk.Callback, chunk.Journal, chunk.Replay,
			sequences[0], sequences[len(sequences)-1]+1, digest[:12]),
		Body:      body,
		Sequences: sequences,
		Digest:    digest,
		Sum:       sum,
	}}, nil
}

// Deliver writes the payload's lines. If ctx ends first, the write continues with a copy, and
// the next delivery waits for it.
func (s *Sink) Deliver(ctx context.Context, p auditrelay.Payload) (auditrelay.Receipt, error) {
	if err := ctx.Err(); err != nil {
		return auditrelay.Receipt{}, failure(err)
	}
	select {
	case <-s.turn:
		defer func() { s.turn <- struct{}{} }()
	case <-ctx.Done():
		return auditrelay.Receipt{}, failure(ctx.Err())
	}
	// First finish the other delivery's write. Otherwise the next payload would start inside a
	// line, and both would be lost.
	if s.writing != nil {
		if err := s.finish(ctx); err != nil {
			return auditrelay.Receipt{}, err
		}
	}
	receipt := auditrelay.Receipt{Location: "stdout"}
	if s.known[p.Key] {
		receipt.Duplicate = true
		return receipt, nil
	}
	s.writing = &write{key: p.Key, rest: append([]byte(nil), p.Body...)}
	s.start()
	if err := s.finish(ctx); err != nil {
		return auditrelay.Receipt{}, err
	}
	return receipt, nil
}

// start writes the rest of s.writing in a goroutine, which ends with the write.
func (s *Sink) start() {
	w := s.writing
	w.done, w.err, w.reported = make(chan struct{}), nil, false
	go func() {
		defer close(w.done)
		n, err := s.output.Write(w.rest)
		n = min(max(n, 0), len(w.rest))
		if err == nil && n < len(w.rest) {
			err = io.ErrShortWrite
		}
		w.rest, w.err = w.rest[n:], err
	}()
}

// finish waits until s.writing is written. It retries a failure that an earlier delivery has
// returned.
func (s *Sink) finish(ctx context.Context) error {
	w := s.writing
	if w.reported {
		s.start()
	}
	select {
	case <-w.done:
	case <-ctx.Done():
		return failure(ctx.Err())
	}
	if w.err != nil {
		w.reported = true
		return failure(w.err)
	}
	s.writing = nil
	s.remember(w.key)
	return nil
}

func (s *Sink) remember(key string) {
	s.known[key] = true
	s.keys = append(s.keys, key)
	if len(s.keys) > remembered {
		delete(s.known, s.keys[0])
		s.keys = s.keys[1:]
	}
}

func failure(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return &auditrelay.DeliveryError{Kind: auditrelay.Misconfigured, Err: fmt.Errorf("write to stdout: %w", err)}
	}
	return &auditrelay.DeliveryError{Err: fmt.Errorf("write to stdout: %w", err)}
}
