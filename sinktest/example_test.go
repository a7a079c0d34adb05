package sinktest_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/sinktest"
)

// An example of a sink outside the relay. It posts each event to a URL, with a key that is the same
// on every retry. It only needs the root package.

// maxEvent is the destination's limit for one event.
const maxEvent = 256 << 10

// Poster is the sink. It is safe for concurrent use.
type Poster struct {
	url, tokenFile string
	client         http.Client
}

// NewPoster returns a Poster. It reads the token from the file for each request, so a rotated token
// needs no restart.
func NewPoster(url, tokenFile string) *Poster {
	return &Poster{url: url, tokenFile: tokenFile, client: http.Client{
		Timeout:       30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Render makes one payload of each event. It names events that are too large. The engine sets these
// aside, each with a tombstone, and renders the rest.
func (p *Poster) Render(chunk auditrelay.Chunk) ([]auditrelay.Payload, error) {
	bad := new(auditrelay.RecordErrors)
	payloads := make([]auditrelay.Payload, 0, len(chunk.Records))
	for _, r := range chunk.Records {
		if len(r.Data) > maxEvent {
			bad.Records = append(bad.Records, auditrelay.RecordError{Sequence: r.Sequence, Cause: auditrelay.CauseTooLarge,
				Err: fmt.Errorf("%d bytes, at most %d", len(r.Data), maxEvent)})
			continue
		}
		digest := sha256.Sum256(r.Data)
		payloads = append(payloads, auditrelay.Payload{
			// Callback, journal and sequence identify an event. A replay must arrive again.
			Key:       fmt.Sprintf("%s/%s/%s/%d", chunk.Callback, chunk.Journal, chunk.Replay, r.Sequence),
			Body:      bytes.Clone(r.Data), // the engine owns the record
			Sequences: []uint64{r.Sequence},
			Digest:    hex.EncodeToString(digest[:]),
		})
	}
	if len(bad.Records) > 0 {
		return nil, bad
	}
	return payloads, nil
}

// Deliver posts one event. Only 201 and 208 mean that the destination has it.
func (p *Poster) Deliver(ctx context.Context, payload auditrelay.Payload) (auditrelay.Receipt, error) {
	token, err := os.ReadFile(p.tokenFile)
	if err != nil {
		return auditrelay.Receipt{}, &auditrelay.DeliveryError{Kind: auditrelay.Unauthorized, Err: err}
	}
	// The transport may still read the body after Do has returned, so give it a copy.
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewReader(bytes.Clone(payload.Body)))
	if err != nil {
		return auditrelay.Receipt{}, err
	}
	request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	request.Header.Set("Idempotency-Key", strconv.Quote(payload.Key))
	answer, err := p.client.Do(request)
	if err != nil {
		if ctx.Err() != nil {
			return auditrelay.Receipt{}, ctx.Err()
		}
		return auditrelay.Receipt{}, errors.New("post an event: no answer") // the error's text could quote the request
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 64<<10))
	receipt := auditrelay.Receipt{Location: payload.Key}
	switch answer.StatusCode {
	case http.StatusCreated:
		return receipt, nil
	case http.StatusAlreadyReported:
		receipt.Duplicate = true
		return receipt, nil
	}
	failure := &auditrelay.DeliveryError{Kind: kindOf(answer.StatusCode), Err: fmt.Errorf("post an event: status %d", answer.StatusCode)}
	if seconds, err := strconv.Atoi(answer.Header.Get("Retry-After")); err == nil && seconds > 0 {
		failure.RetryAfter = time.Duration(min(seconds, 3600)) * time.Second
	}
	return auditrelay.Receipt{}, failure
}

// kindOf tells the engine what to do.
func kindOf(status int) auditrelay.ErrorKind {
	switch {
	case status == 401 || status == 403:
		return auditrelay.Unauthorized
	case status == 429 || status == 503:
		return auditrelay.Throttled
	case status == 422: // the destination will never accept this event
		return auditrelay.Refused
	case status == 408 || status >= 500:
		return auditrelay.Transient
	}
	return auditrelay.Misconfigured // every event would fail alike; includes pages for people
}

// Concurrency lets the engine deliver four payloads at a time.
func (p *Poster) Concurrency() int { return 4 }

// Close closes idle connections.
func (p *Poster) Close() error {
	p.client.CloseIdleConnections()
	return nil
}

// Test your own sink with Run. The kit creates the sink, reads the delivered events back, and
// makes the destination misbehave (see kitOf in own_test.go). The program then offers the sink
// by name:
//
//	cli.Main(os.Args[1:], cli.Options{Sinks: map[string]cli.SinkMaker{"poster": newPoster}})
func Example() {
	TestPoster := func(t *testing.T) {
		sinktest.Run(t, func(t *testing.T) sinktest.Kit {
			return kitOf(newDestination(t))
		})
	}
	_ = TestPoster
}
