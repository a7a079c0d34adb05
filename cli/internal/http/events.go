package http

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"slices"
	"strings"

	"auditrelay"
	"auditrelay/cli/internal/api"
	"auditrelay/cli/internal/sources"
	"auditrelay/internal/ingest"
	"auditrelay/runtime"
)

const (
	// A request's events become durable in slices as they arrive, so that a large body is never
	// in memory as a whole.
	sliceBytes  = 1 << 20
	sliceEvents = 1000

	// A request that needs at most this much memory takes it from a budget that large requests
	// cannot exhaust.
	smallRequest = 256 << 10
)

// postEvents accepts events. See docs/reference/events.md for the accepted forms and
// docs/reference/http.md for the responses.
func (s *Server) postEvents(w http.ResponseWriter, r *http.Request, who principal) {
	atomic, err := boolParam(r.URL.Query().Get("atomic"))
	if err != nil {
		respondError(w, badRequest("atomic: expected true or false", ""))
		return
	}
	if refused := s.checkBody(r); refused != nil {
		s.senders.Seen(who.by(), 1)
		respondError(w, refused)
		return
	}
	held := &holding{server: s, ctx: r.Context(), who: who.by(), full: min(s.memoryOf(r, atomic, who.schema.Unwraps()), s.large.most()), atomic: atomic, event: int64(s.limits.EventBytes)}
	defer held.release()
	first := held.want(0)
	if r.Header.Get("Content-Encoding") != "" {
		first = held.full // a few bytes may decompress to many
	}
	if held.grow(first) != nil {
		s.senders.Seen(who.by(), 1)
		respondError(w, busy())
		return
	}

	in := intake{
		server: s, ctx: r.Context(), atomic: atomic,
		reserved:  who.roles[roleRelay],
		namespace: who.namespace,
		schema:    who.schema,
		rates:     who.rates,
		from:      auditrelay.Provenance{Source: "http", Principal: who.name, Address: peerAddress(r)},
	}
	// A slice is finished even if the client disconnects, so that its acceptance does not
	// depend on when the connection breaks.
	in.ctx = context.WithoutCancel(in.ctx)
	in.accept(w, r, in.reader(&heldReader{pacedReader: newPacedReader(w, r, s.patience.body), h: held}, r), who.by())
}

// reader returns a reader of the request's events. A body that a schema unwraps is first read
// as a whole.
func (in *intake) reader(body io.Reader, r *http.Request) *ingest.Reader {
	limits := in.server.limits.Ingest()
	if in.schema.Unwraps() {
		limits.EventBytes = limits.BodyBytes
	}
	return ingest.NewReader(body, r.Header.Get("Content-Type"), r.Header.Get("Content-Encoding"), limits)
}

// accept accepts the events and responds.
func (in *intake) accept(w http.ResponseWriter, r *http.Request, reader *ingest.Reader, sender string) {
	s := in.server
	err := in.run(reader)
	if err == nil {
		err = in.bury()
	}
	if err != nil {
		in.answer.Error = s.failure(r, err)
	}
	in.rates.Count(in.seen()) // before the response, after which the next request may arrive
	s.metrics.submitted(&in.answer)
	s.senders.Seen(sender, in.seen())
	status := in.status()
	if in.answer.Error != nil {
		in.answer.Error.Status = status
		errorHead(w, in.answer.Error)
	}
	respond(w, status, appendSubmitted(nil, &in.answer))
}

// checkBody rejects requests for reasons known before the body is read.
func (s *Server) checkBody(r *http.Request) *api.Error {
	if declared := r.Header.Get("Content-Type"); declared != "" {
		media, _, err := mime.ParseMediaType(declared)
		if err != nil || !takenMedia(media) {
			return &api.Error{
				Status: http.StatusUnsupportedMediaType, Reason: api.ReasonMediaType,
				Message: "this Content-Type is not taken",
				Hint:    "send application/json or application/x-ndjson; with curl: -H 'Content-Type: application/json' --data-binary @FILE",
			}
		}
	}
	if r.ContentLength > int64(s.limits.BodyBytes) {
		return s.bodyTooLarge()
	}
	return nil
}

func takenMedia(media string) bool {
	switch media {
	case "text/json", "text/plain", "application/octet-stream":
		return true
	}
	sub, ok := strings.CutPrefix(media, "application/")
	return ok && (strings.HasSuffix(sub, "json") || strings.HasSuffix(sub, "jsonl") || strings.HasSuffix(sub, "jsonlines"))
}

// memoryOf returns the maximum memory of a request's body while it arrives. It excludes the
// journal's copy of an atomic body, which is short-lived, one at a time for each principal.
func (s *Server) memoryOf(r *http.Request, atomic, wrapped bool) int64 {
	event := int64(s.limits.EventBytes)
	need := 2*(sliceBytes+event) + event // the slice, its copy in the journal, and the reader's buffer
	if atomic {
		need = int64(s.limits.BodyBytes)*5/4 + event
	}
	if wrapped {
		need += 3 * int64(s.limits.BodyBytes) // the wrapper, its events, and the events being submitted
	}
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" {
		need += ingest.DecompressionMemory(encoding)
	} else if r.ContentLength >= 0 {
		times := int64(3)
		if wrapped {
			times = 6
		}
		need = min(need, times*r.ContentLength+32<<10)
	}
	return need
}

func busy() *api.Error {
	return &api.Error{
		Status: http.StatusServiceUnavailable, Reason: api.ReasonBusy, RetryAfter: retrySoon,
		Message: "too many large requests are under way", Hint: "send fewer at a time, or smaller ones",
	}
}

// intake processes one request.
type intake struct {
	server    *Server
	ctx       context.Context
	atomic    bool
	from      auditrelay.Provenance
	namespace string // namespace of the events; empty: the default one
	// reserved: events may be own records of another relay.
	reserved bool
	schema   *runtime.Schema // schema of the events; nil: LiteLLM's
	rates    sources.Rates   // limits of the sender
	// lenient: invalid events go into quarantine, or the whole body if there are many.
	lenient bool
	whole   []byte
	bad     []runtime.Quarantined
	kept    bool // bad contains the whole body

	arena   []byte // the slice's events, one after the other
	pending []pendingEvent
	batch   []runtime.Submission

	answer      api.Submitted
	unframeable *ingest.EventError // the error that ended the body, or that of a single event
	conflicts   int
	innocent    int // number of events rejected because of another event of an atomic request
}

// pendingEvent is an event of the slice: its index in the body, and its position in the arena,
// which moves when it grows.
type pendingEvent struct{ index, start, end int }

// run processes all events of the body. Its error is the runtime's: the events after the last
// result were not processed.
func (in *intake) run(reader *ingest.Reader) error {
	left := in.server.limits.Events // elements of lists count too
	for {
		raw, err := reader.Next()
		if err == io.EOF {
			return in.flush()
		}
		var events [][]byte
		if err == nil && in.schema.Unwraps() {
			events, err = in.schema.Unwrap(raw.Data, left)
			left -= len(events)
		}
		if err != nil {
			// Earlier events come first in the response.
			if !in.atomic {
				if err := in.flush(); err != nil {
					return err
				}
			}
			fault := asEventError(err)
			if fault.Rest {
				if in.quarantineLater(nil, fault) {
					return in.flush()
				}
				in.unframeable = fault
				in.answer.Error = restError(fault, in.server.limits)
				return in.flush()
			}
			if !in.quarantineLater(nil, fault) {
				in.refuse(fault.Index, fault)
			}
			continue
		}
		if !in.schema.Unwraps() {
			if err := in.add(raw.Index, raw.Data); err != nil {
				return err
			}
			continue
		}
		for _, data := range events {
			if err := in.add(raw.Index, data); err != nil {
				return err
			}
		}
		if len(events) == 0 {
			if err := in.none(raw.Index); err != nil {
				return err
			}
		}
	}
}

// none adds a result for an object of the body without events, after those of earlier objects.
func (in *intake) none(index int) error {
	if !in.atomic {
		if err := in.flush(); err != nil {
			return err
		}
	}
	in.answer.Results = append(in.answer.Results, api.Result{Index: index, Empty: true})
	return nil
}

// add adds one event to the slice, after submitting the slice if it is full.
func (in *intake) add(index int, data []byte) error {
	if !in.atomic && (len(in.arena)+len(data) > sliceBytes || len(in.pending) >= min(sliceEvents, in.server.limits.Events)) {
		if err := in.flush(); err != nil {
			return err
		}
	}
	if in.atomic && (len(in.pending) >= auditrelay.MaxAtomic || len(in.arena)+len(data) > int(auditrelay.MaxAtomicBytes)) {
		return fmt.Errorf("%w: an atomic request holds at most %d events in %v", runtime.ErrTooLarge, auditrelay.MaxAtomic, auditrelay.MaxAtomicBytes)
	}
	start := len(in.arena)
	in.arena = append(in.arena, data...)
	in.pending = append(in.pending, pendingEvent{index: index, start: start, end: len(in.arena)})
	return nil
}

// flush submits the slice and sets its results.
func (in *intake) flush() error {
	if in.atomic {
		return in.flushAtomic()
	}
	if len(in.pending) == 0 {
		return nil
	}
	results, err := in.server.rt.Submit(in.ctx, in.submissions()...)
	if err != nil {
		return err
	}
	in.answer.Results = slices.Grow(in.answer.Results, len(results))
	for i, res := range results {
		if p := in.pending[i]; res.Err == nil || !in.quarantineLater(in.arena[p.start:p.end], res.Err) {
			in.settle(p.index, res)
		}
	}
	in.arena, in.pending = in.arena[:0], in.pending[:0]
	return nil
}

// flushAtomic submits all events, or none if one is already rejected.
func (in *intake) flushAtomic() error {
	if len(in.pending) == 0 {
		return nil
	}
	if in.answer.Refused > 0 || in.answer.Error != nil {
		for _, p := range in.pending {
			in.refuse(p.index, errAtomic)
		}
		sortResults(in.answer.Results)
		return nil
	}
	results, err := in.server.rt.SubmitAtomic(in.ctx, in.submissions()...)
	if err != nil {
		return err
	}
	refused := false
	for _, res := range results {
		refused = refused || res.Err != nil
	}
	for i, res := range results {
		if refused && res.Err == nil {
			res.Err = errAtomic
		}
		in.settle(in.pending[i].index, res)
	}
	return nil
}

// seen returns the number of events that arrived, as far as they were read. It returns at least
// one if the request could not be read or nothing can be accepted.
func (in *intake) seen() int {
	n := in.answer.Accepted + in.answer.Duplicates + in.answer.Refused + in.answer.Quarantined
	if in.answer.Error != nil {
		n++
	}
	return n
}

// errAtomic is the error of a valid event of an atomic request that was not stored.
var errAtomic = errors.New("another event of this atomic request was refused")

func (in *intake) submissions() []runtime.Submission {
	in.batch = slices.Grow(in.batch[:0], len(in.pending))
	for _, p := range in.pending {
		in.batch = append(in.batch, runtime.Submission{Data: in.arena[p.start:p.end:p.end], Provenance: in.from, Namespace: in.namespace, Reserved: in.reserved, Schema: in.schema})
	}
	return in.batch
}

func (in *intake) settle(index int, res runtime.Result) {
	if res.Err != nil {
		in.refuse(index, res.Err)
		in.answer.Results[len(in.answer.Results)-1].ID = res.ID
		return
	}
	if res.Duplicate {
		in.answer.Duplicates++
	} else {
		in.answer.Accepted++
	}
	in.answer.Results = append(in.answer.Results, api.Result{
		Index: index, ID: res.ID, Sequence: res.Sequence, Duplicate: res.Duplicate, UnknownAction: res.UnknownAction, Filtered: res.Filtered,
	})
}

func (in *intake) refuse(index int, err error) {
	why := &api.Error{Reason: api.ReasonInternal, Message: err.Error()}
	if fault, ok := errors.AsType[*ingest.EventError](err); ok {
		why.Field, why.Reason, why.Message = fault.Field, string(fault.Reason), fault.Message
		if fault.Kind == ingest.Unframeable {
			in.unframeable = fault
		}
	}
	switch {
	case errors.Is(err, runtime.ErrConflict):
		why.Field, why.Reason = "id", api.ReasonConflict
		in.conflicts++
	case errors.Is(err, runtime.ErrIngestFilter):
		why.Reason = api.ReasonFilter
	case err == errAtomic:
		why.Reason = api.ReasonAtomic
		in.innocent++
	}
	in.answer.Refused++
	in.answer.Results = append(in.answer.Results, api.Result{Index: index, Error: why})
}

// status returns the response's status. For mixed results it is the one on which the client
// must act first: 503, since the same request can be retried; otherwise 207 if any event was
// stored.
func (in *intake) status() int {
	a := &in.answer
	stored := a.Accepted + a.Duplicates + a.Quarantined
	switch {
	case a.Error != nil && in.unframeable == nil:
		return a.Error.Status // the runtime's
	case a.Error != nil && stored > 0:
		return http.StatusMultiStatus
	case a.Error != nil:
		return a.Error.Status
	case a.Refused == 0:
		return http.StatusOK
	case stored > 0:
		return http.StatusMultiStatus
	case in.conflicts > 0 && in.conflicts+in.innocent == a.Refused:
		return http.StatusConflict
	case in.unframeable != nil && len(a.Results) == 1:
		return unframeableStatus(in.unframeable.Reason)
	}
	return http.StatusUnprocessableEntity
}

func asEventError(err error) *ingest.EventError {
	if fault, ok := errors.AsType[*ingest.EventError](err); ok {
		return fault
	}
	return &ingest.EventError{Kind: ingest.Unframeable, Reason: ingest.Unread, Message: "the body could not be read", Offset: -1, Rest: true, Err: err}
}

// restError says why the rest of a body was not read.
func restError(fault *ingest.EventError, limits Limits) *api.Error {
	e := &api.Error{Status: unframeableStatus(fault.Reason), Reason: string(fault.Reason), Message: fault.Message}
	switch {
	case errors.Is(fault.Err, errTooSlow):
		e.Status, e.Reason, e.Message = http.StatusRequestTimeout, api.ReasonTooSlow, errTooSlow.Error()
	case errors.Is(fault.Err, errBusy):
		return busy()
	case fault.Reason == ingest.BodyTooLarge:
		e.Hint = "at most " + limits.BodyBytes.String() + " in one request, once decompressed"
	}
	return e
}

func unframeableStatus(reason ingest.Reason) int {
	switch reason {
	case ingest.TooLarge, ingest.BodyTooLarge, ingest.TooManyEvents, ingest.Ratio:
		return http.StatusRequestEntityTooLarge
	case ingest.MediaType:
		return http.StatusUnsupportedMediaType
	}
	return http.StatusBadRequest
}

func peerAddress(r *http.Request) string {
	if r.Context().Value(peerKey{}) != nil {
		return "unix socket"
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
