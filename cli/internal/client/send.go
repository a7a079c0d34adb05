package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"auditrelay/cli/internal/api"
	"auditrelay/internal/ingest"
)

const (
	// The limits of one request; the relay's own are larger.
	batchEvents = 500
	batchBytes  = 512 << 10

	// largestEvent is the maximum that a relay can be configured to accept.
	largestEvent = 64 << 20

	firstPause = 250 * time.Millisecond
	maxPause   = 30 * time.Second
)

// Sender sends a file of events of any size in limited requests. If it sends events again after
// a broken connection or a restart, the relay stores them once.
type Sender struct {
	Client *Client
	// From is the offset to continue from: earlier events are skipped.
	From int64
	// Patience is how long one request may fail before Send gives up. Default: 5 min.
	Patience time.Duration
	// Refused is called for each event that the relay rejected, with its offset in the file and
	// its bytes, which are valid during the call.
	Refused func(offset int64, event []byte, why *api.Error) error
	// Progress is called after each request. Offset is where to continue.
	Progress func(Sent) error
	// Waiting is called before each pause.
	Waiting func(err error, pause time.Duration)
	// Pause waits for d. Default: a real wait; tests replace it.
	Pause func(ctx context.Context, d time.Duration) error
}

// Sent counts the results so far.
type Sent struct {
	Offset     int64  `json:"offset"` // in the decompressed file
	Events     uint64 `json:"events"`
	Accepted   uint64 `json:"accepted"`
	Duplicates uint64 `json:"duplicates"`
	Refused    uint64 `json:"refused"`
}

// batch is one request.
type batch struct {
	body    []byte
	offsets []int64 // offset of each event in the file
	ends    []int   // end of each event in body, including its line feed
	next    int64   // offset in the file after the batch
}

func (b *batch) reset() { *b = batch{body: b.body[:0], offsets: b.offsets[:0], ends: b.ends[:0]} }

func (b *batch) event(i int) []byte {
	start := 0
	if i > 0 {
		start = b.ends[i-1]
	}
	return b.body[start : b.ends[i]-1]
}

// drop removes the first n events.
func (b *batch) drop(n int) {
	cut := b.ends[n-1]
	b.body, b.offsets, b.ends = b.body[cut:], b.offsets[n:], b.ends[n:]
	for i := range b.ends {
		b.ends[i] -= cut
	}
}

// Send sends all events of r: NDJSON, one object or an array; compressed with gzip if encoding
// says so. An error means that not all were sent; Sent has the progress.
func (s *Sender) Send(ctx context.Context, r io.Reader, encoding string) (Sent, error) {
	var sent Sent
	sent.Offset = s.From
	reader := ingest.NewReader(r, "", encoding, ingest.Limits{EventBytes: largestEvent, BodyBytes: -1, Events: -1, Ratio: -1})
	var b batch
	for {
		raw, err := reader.Next()
		if err == io.EOF {
			return sent, s.flush(ctx, &b, &sent)
		}
		if err != nil {
			fault, ok := errors.AsType[*ingest.EventError](err)
			if !ok || fault.Rest {
				if ok && fault.Reason == ingest.NoEvents && sent.Events == 0 {
					return sent, nil // an empty file has nothing to send
				}
				return sent, errors.Join(s.flush(ctx, &b, &sent), fmt.Errorf("read the events: %w", err))
			}
			if fault.Offset < s.From {
				continue
			}
			if err := s.flush(ctx, &b, &sent); err != nil {
				return sent, err
			}
			sent.Events++
			if err := s.refuse(&sent, fault.Offset, nil, &api.Error{Field: fault.Field, Reason: string(fault.Reason), Message: fault.Message}); err != nil {
				return sent, err
			}
			continue
		}
		if raw.Offset < s.From {
			continue
		}
		if len(b.offsets) == batchEvents || (len(b.offsets) > 0 && len(b.body)+len(raw.Data) > batchBytes) {
			if err := s.flush(ctx, &b, &sent); err != nil {
				return sent, err
			}
		}
		b.body = appendLine(b.body, raw.Data)
		b.offsets = append(b.offsets, raw.Offset)
		b.ends = append(b.ends, len(b.body))
		b.next = raw.Offset + int64(len(raw.Data))
	}
}

// appendLine appends one event as one line.
func appendLine(dst, event []byte) []byte {
	if bytes.IndexByte(event, '\n') >= 0 {
		line := bytes.NewBuffer(dst)
		if json.Compact(line, event) == nil {
			return append(line.Bytes(), '\n')
		}
		// Invalid JSON. On one line the relay reports it as one event.
		event = bytes.ReplaceAll(event, []byte{'\n'}, []byte{' '})
	}
	return append(append(dst, event...), '\n')
}

// flush sends the batch, with retries.
func (s *Sender) flush(ctx context.Context, b *batch, sent *Sent) error {
	next := b.next
	limit := len(b.offsets)
	for len(b.offsets) > 0 {
		n := min(limit, len(b.offsets))
		answer, err := s.submit(ctx, b.body[:b.ends[n-1]])
		if e, ok := errors.AsType[*api.Error](err); ok && e.Status == http.StatusRequestEntityTooLarge {
			if n > 1 {
				limit = n / 2
				continue
			}
			answer.Results = []api.Result{{Error: e}}
			err = nil
		}
		if err != nil {
			return err
		}
		taken, err := s.settle(b, n, answer, sent)
		if err != nil {
			return err
		}
		if taken == 0 {
			return fmt.Errorf("%s answered without a result: %w", s.Client.Server(), answerError(answer))
		}
		b.drop(taken)
		if len(b.offsets) > 0 {
			sent.Offset = b.offsets[0]
		} else {
			sent.Offset = next
		}
		if s.Progress != nil {
			if err := s.Progress(*sent); err != nil {
				return err
			}
		}
	}
	b.reset()
	return nil
}

func answerError(answer api.Submitted) error {
	if answer.Error != nil {
		return answer.Error
	}
	return errors.New("is it an auditrelay?")
}

// settle counts the results of the first n events, and returns the number of events that the
// response covers.
func (s *Sender) settle(b *batch, n int, answer api.Submitted, sent *Sent) (int, error) {
	taken := 0
	for results := answer.Results; len(results) > 0; taken++ {
		if results[0].Index != taken || taken == n {
			break // not a response to this request
		}
		var refused *api.Error // the first of a wrapper's several errors
		for len(results) > 0 && results[0].Index == taken {
			res := results[0]
			results = results[1:]
			if res.Empty {
				continue
			}
			sent.Events++
			switch {
			case res.Error != nil && refused == nil:
				refused = res.Error
			case res.Error != nil:
				sent.Refused++
			case res.Duplicate:
				sent.Duplicates++
			default:
				sent.Accepted++
			}
		}
		if refused != nil {
			if err := s.refuse(sent, b.offsets[taken], b.event(taken), refused); err != nil {
				return taken, err
			}
		}
	}
	return taken, nil
}

func (s *Sender) refuse(sent *Sent, offset int64, event []byte, why *api.Error) error {
	sent.Refused++
	if s.Refused == nil {
		return nil
	}
	return s.Refused(offset, event, why)
}

// submit makes one request, and repeats it while a retry may succeed.
func (s *Sender) submit(ctx context.Context, body []byte) (api.Submitted, error) {
	pause := s.Pause
	if pause == nil {
		pause = wait
	}
	patience := s.Patience
	if patience == 0 {
		patience = 5 * time.Minute
	}
	bound := firstPause
	var waited time.Duration
	for {
		answer, err := s.Client.Submit(ctx, body, "")
		least, again := retriable(err)
		if !again {
			return answer, err
		}
		if waited >= patience {
			return answer, fmt.Errorf("gave up after %s: %w", waited.Round(time.Second), err)
		}
		d := max(least, time.Duration(rand.Int64N(int64(bound)))+time.Millisecond)
		if s.Waiting != nil {
			s.Waiting(err, d)
		}
		if err := pause(ctx, d); err != nil {
			return answer, err
		}
		waited += d
		bound = min(2*bound, maxPause)
	}
}

// retriable reports whether a retry may succeed, and how long the relay asks to wait.
func retriable(err error) (least time.Duration, again bool) {
	if err == nil {
		return 0, false
	}
	if _, ok := errors.AsType[*UnreachableError](err); ok {
		return 0, true
	}
	e, ok := errors.AsType[*api.Error](err)
	if !ok {
		return 0, false
	}
	switch e.Status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return e.RetryAfter, true
	}
	return 0, false
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
