package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"auditrelay"
	"auditrelay/internal/ingest"
	"auditrelay/runtime"

	"github.com/klauspost/compress/gzip"
)

const (
	// sliceEvents is the number of events in one write.
	sliceEvents = 1000
	sliceBytes  = 1 << 20
	// maxItems is the maximum number of events of one object that go into quarantine
	// individually. If there are more, the whole object goes there.
	maxItems = 100
)

// A reason of quarantine besides those of package ingest.
const reasonConflict = "conflict"

// intake processes one object.
type intake struct {
	rt        *runtime.Runtime
	ctx       context.Context
	from      auditrelay.Provenance
	namespace string
	limits    ingest.Limits
	most      int    // maximum number of events in one write
	whole     []byte // the object

	batch []runtime.Submission
	held  int // size of batch
	bad   []runtime.Quarantined
	count eventCounts
}

// take makes the object's events durable, in the journal or in quarantine. After an error some
// may be durable. The same object may then be sent again, since the relay recognises its
// events.
func (h *Handler) take(ctx context.Context, p *payload, contentType, key string, from auditrelay.Provenance, namespace string) (eventCounts, *Error) {
	in := &intake{rt: h.rt, ctx: context.WithoutCancel(ctx), from: from, namespace: namespace, limits: h.limits, whole: p.data, most: sliceEvents}
	if h.limits.Events > 0 {
		in.most = min(in.most, h.limits.Events)
	}
	// No limit, since the producer would not see the error.
	in.limits.Events, in.limits.BodyBytes = -1, -1
	if strings.HasSuffix(key, ".jsonl") || strings.HasSuffix(key, ".ndjson") {
		contentType = "application/x-ndjson" // so that a damaged line is one item
	}
	body, err := h.decoded(ctx, p, from.Principal)
	if fault, ok := errors.AsType[*ingest.EventError](err); ok {
		in.refuse(p.data, fault)
	} else if err != nil {
		return in.count, slowDown("too many requests are under way", 0, err)
	} else if err := in.run(body, contentType); err != nil {
		return in.count, engineError(err)
	}
	if fault := in.quarantine(); fault != nil {
		return in.count, fault
	}
	if n := in.count.discarded; n > 0 {
		// With such filters an invalid event gets an error too: a 200 would claim that it was
		// stored.
		return in.count, fail("InvalidRequest", fmt.Sprintf("a filter before the journal failed on %d events of the object: nothing but a tombstone is kept of each", n))
	}
	return in.count, nil
}

// run submits valid events and collects the rest for quarantine. Bytes of body between events
// belong to an invalid event.
func (in *intake) run(body []byte, contentType string) error {
	reader := ingest.NewReader(bytes.NewReader(body), contentType, "", in.limits)
	var refused *ingest.EventError // the error of the current invalid span
	end := 0                       // end of the last event
	closeSpan := func(to int) {
		if refused == nil {
			return
		}
		start := end
		if !refused.Rest && refused.Offset >= int64(end) {
			start = int(refused.Offset)
		}
		in.refuse(bytes.Trim(body[start:to], ", \t\r\n"), refused)
		refused, end = nil, to
	}
	for {
		raw, err := reader.Next()
		if err == io.EOF {
			closeSpan(len(body))
			return in.flush()
		}
		if fault, ok := errors.AsType[*ingest.EventError](err); ok {
			if !fault.Rest && fault.Offset >= int64(end) {
				closeSpan(int(fault.Offset))
			}
			if refused == nil {
				refused = fault
			}
			continue
		}
		if err != nil {
			return err
		}
		closeSpan(int(raw.Offset))
		end = int(raw.Offset) + len(raw.Data)
		in.batch = append(in.batch, runtime.Submission{Data: body[raw.Offset:end:end], Provenance: in.from, Namespace: in.namespace})
		if in.held += len(raw.Data); len(in.batch) >= in.most || in.held >= sliceBytes {
			if err := in.flush(); err != nil {
				return err
			}
		}
	}
}

func (in *intake) flush() error {
	if len(in.batch) == 0 {
		return nil
	}
	results, err := in.rt.Submit(in.ctx, in.batch...)
	if err != nil {
		return err
	}
	for i := range results {
		switch err := results[i].Err; {
		case err == nil && results[i].Duplicate:
			in.count.duplicates++
		case err == nil:
			in.count.accepted++
		case errors.Is(err, runtime.ErrIngestFilter):
			in.count.discarded++ // its tombstone is durable, and nothing else may be stored
		default:
			in.refuse(in.batch[i].Data, err)
		}
	}
	in.batch, in.held = in.batch[:0], 0
	return nil
}

// refuse adds data to the items for quarantine.
func (in *intake) refuse(data []byte, err error) {
	in.count.quarantined++
	if len(in.bad) > maxItems {
		return
	}
	item := runtime.Quarantined{Data: data, Provenance: in.from, Namespace: in.namespace, Reason: "internal", Detail: err.Error()}
	if fault, ok := errors.AsType[*ingest.EventError](err); ok {
		item.Reason, item.Detail = string(fault.Reason), fault.Message
		if fault.Field != "" {
			item.Detail = fmt.Sprintf("field %q: %s", fault.Field, fault.Message)
		}
	} else if errors.Is(err, runtime.ErrConflict) {
		item.Reason = reasonConflict
	}
	if len(in.bad) == maxItems {
		item.Data = in.whole
		item.Detail = fmt.Sprintf("more than %d events of one object are refused: it is kept whole; the first beyond: %s", maxItems, item.Detail)
	}
	in.bad = append(in.bad, item)
}

func (in *intake) quarantine() *Error {
	if len(in.bad) == 0 {
		return nil
	}
	err := in.rt.Quarantine(in.ctx, in.bad...)
	switch {
	case errors.Is(err, runtime.ErrNotKept):
		// A 200 would claim that the data was stored. The producer does not read the rejection,
		// but it is logged, and the quarantine has a digest.
		e := fail("InvalidRequest", "the object contains invalid events; filters before the journal cannot process them, so only a digest is kept")
		e.Err = err
		return e
	case errors.Is(err, runtime.ErrQuarantineItem):
		e := fail("EntityTooLarge", "the object contains invalid events, and is larger than one quarantine item may be")
		e.Err = err
		return e
	case err != nil:
		return engineError(err)
	}
	return nil
}

// decoded returns the object without its Content-Encoding. It returns an *ingest.EventError if
// the content cannot be decoded. It decompresses twice: the first pass measures the size, so
// that the request reserves only the memory that it needs.
func (h *Handler) decoded(ctx context.Context, p *payload, holder string) ([]byte, error) {
	damaged := func(reason ingest.Reason, message string, err error) error {
		return &ingest.EventError{Kind: ingest.Unframeable, Reason: reason, Message: message, Offset: -1, Rest: true, Err: err}
	}
	switch p.encoding {
	case "", "identity":
		return p.data, nil
	case "gzip", "x-gzip":
	default:
		return nil, damaged(ingest.MediaType, "the content encoding is not known", nil)
	}
	size, err := inflate(io.Discard, p.data, h.limits.BodyBytes)
	switch {
	case err != nil:
		return nil, damaged(ingest.Compression, "the compressed data is damaged", err)
	case size > h.limits.BodyBytes:
		return nil, damaged(ingest.BodyTooLarge, "decompressed it is larger than an object may be", nil)
	}
	release, err := h.inflate(ctx, holder, 2*size) // the journal's transaction contains the events once more
	if err != nil {
		return nil, err
	}
	once := p.release
	p.release = func() { release(); once() }
	plain := bytes.NewBuffer(make([]byte, 0, size+bytes.MinRead))
	if _, err := inflate(plain, p.data, size); err != nil {
		return nil, damaged(ingest.Compression, "the compressed data is damaged", err)
	}
	return plain.Bytes(), nil
}

// inflate writes the decompressed data to w and returns its size. It stops one byte after most.
func inflate(w io.Writer, data []byte, most int64) (int64, error) {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return 0, err
	}
	return io.Copy(w, io.LimitReader(z, most+1))
}
