package s3

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"time"

	"auditrelay"
	"auditrelay/runtime"
)

// auditName matches an audit object's key, whatever its prefix: the folder audit_logs, a day,
// possibly an hour, and a file whose name is a time or a batch's. A name that would be too long
// is cut and ends with a digest. Names of request logs differ, including those of a team called
// audit_logs.
var auditName = regexp.MustCompile(`^(?s:.*/)?audit_logs/\d{4}-\d{2}-\d{2}/(?:\d{2}/)?` +
	`(?:\d{2}-\d{2}-\d{2}_[^/]*\.json|\d{2}-\d{2}-\d{2}_[^/]*_[0-9a-f]{64}|(batch_\d{2}-\d{2}-\d{2}_[0-9a-f]{32}\.jsonl))$`)

// kind is the kind of an object by its key.
type kind int

const (
	otherObject kind = iota
	auditObject
	auditBatch // by its key it may also be a batch of request logs of a team called audit_logs
)

func kindOf(key string) kind {
	switch m := auditName.FindStringSubmatch(key); {
	case m == nil:
		return otherObject
	case m[1] != "":
		return auditBatch
	}
	return auditObject
}

// serveObject serves a request for an object.
func (h *Handler) serveObject(w http.ResponseWriter, r *request) *Error {
	what := kindOf(r.key)
	switch {
	case what != otherObject && r.signed.method == http.MethodPut:
		return h.putEvents(w, r, what)
	case what == otherObject && h.forward != nil:
		return h.forward.serve(w, r)
	case r.signed.method == http.MethodPut:
		r.operation = opForward
		return h.putOther(w, r)
	}
	r.operation = opObject
	switch r.signed.method {
	case http.MethodGet, http.MethodHead:
		return fail("NoSuchKey", "the relay keeps events, not objects: read them with auditrelay explain, or where its callbacks deliver")
	case http.MethodDelete:
		return fail("AccessDenied", "the relay deletes nothing")
	case http.MethodPost:
		return notTaken("the relay supports only PutObject: no multipart uploads, no forms")
	}
	return fail("MethodNotAllowed", "the specified method is not allowed against this resource")
}

// checkPut rejects puts other than a plain PutObject.
func checkPut(r *request) *Error {
	for name := range r.signed.query {
		if name != "x-id" { // the SDK adds this name of the operation
			return notTaken("the relay supports only PutObject: no parts, tags or access lists")
		}
	}
	if r.Header.Get("X-Amz-Copy-Source") != "" {
		return notTaken("the relay copies nothing")
	}
	return nil
}

// putEvents accepts events.
func (h *Handler) putEvents(w http.ResponseWriter, r *request, what kind) *Error {
	r.operation = opPut
	if fault := checkPut(r); fault != nil {
		return fault
	}
	until := h.now().Add(h.hold)
	if fault := h.await(r.Context(), until); fault != nil {
		return fault
	}
	p, fault := h.readPayload(r.Request, r.signed)
	if fault != nil {
		if fault.Code == "EntityTooLarge" {
			fault = fault.kept()
		}
		return fault
	}
	defer func() { p.release() }()
	var logs []byte
	if what == auditBatch {
		p.data, logs = splitBatch(p.data)
	}
	if p.data != nil {
		if fault := h.takeEvents(r, p, until); fault != nil {
			return fault
		}
	}
	if logs != nil {
		return h.putLogs(w, r, p, logs)
	}
	done(w, r, p)
	return nil
}

// takeEvents makes an object's events durable.
func (h *Handler) takeEvents(r *request, p *payload, until time.Time) *Error {
	from := auditrelay.Provenance{Source: source, Principal: r.signed.key.Name, Address: peer(r.Request)}
	count, fault := h.takeHeld(r, p, from, until)
	h.counts.took(count)
	h.seen(from.Principal, count.all())
	if fault != nil {
		return fault.kept()
	}
	h.accepting()
	return nil
}

// done responds with 200 as S3 does.
func done(w http.ResponseWriter, r *request, p *payload) {
	head := w.Header()
	head.Set("ETag", p.etag())
	if p.checksum != "" {
		head.Set(p.checksum, r.Header.Get(p.checksum))
	}
	head.Set("Content-Length", "0")
	w.WriteHeader(http.StatusOK)
}

// takeHeld is take, repeated while the relay does not accept and the hold lasts.
func (h *Handler) takeHeld(r *request, p *payload, from auditrelay.Provenance, until time.Time) (count eventCounts, fault *Error) {
	for {
		var n eventCounts
		n, fault = h.take(r.Context(), p, r.Header.Get("Content-Type"), r.key, from, r.signed.key.Namespace)
		count.add(n)
		r.signed.key.Rates.Count(int(n.accepted + n.duplicates + n.quarantined + n.discarded))
		if fault == nil || fault.Code != codeSlowDown || !h.now().Add(holdPoll).Before(until) || !pause(r.Context()) || h.await(r.Context(), until) != nil {
			return count, fault
		}
	}
}

// holdPoll is how often a held request checks whether the relay accepts again.
const holdPoll = 20 * time.Millisecond

// await holds a request while the relay does not accept, at most until then. Older versions of
// LiteLLM drop an event after a 503. A request whose body is not read yet uses no memory.
func (h *Handler) await(ctx context.Context, until time.Time) *Error {
	held := false
	for err := h.rt.Ready(); err != nil; err = h.rt.Ready() {
		if errors.Is(err, runtime.ErrClosed) || !h.now().Before(until) {
			return engineError(err)
		}
		if !held {
			h.counts.held()
			held = true
		}
		if !pause(ctx) {
			return engineError(err) // the producer is gone
		}
	}
	return nil
}

// pause waits for holdPoll. It returns false if ctx ends first.
func pause(ctx context.Context) bool {
	timer := time.NewTimer(holdPoll)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// putOther responds to an object without audit events that is not forwarded.
func (h *Handler) putOther(w http.ResponseWriter, r *request) *Error {
	if !h.discardOther {
		return refuseOther()
	}
	if fault := checkPut(r); fault != nil {
		return fault
	}
	p, fault := h.readPayload(r.Request, r.signed)
	if fault != nil {
		return fault
	}
	defer func() { p.release() }()
	return h.other(w, p)
}

// other verifies and discards an object, or rejects it.
func (h *Handler) other(w http.ResponseWriter, p *payload) *Error {
	if !h.discardOther {
		return refuseOther()
	}
	h.sayDiscarding()
	h.counts.discarded(int64(len(p.data)))
	head := w.Header()
	head.Set("ETag", p.etag())
	head.Set("Content-Length", "0")
	w.WriteHeader(http.StatusOK)
	return nil
}

// refuseOther is a rejection after which current versions of LiteLLM may drop an object. It
// will never be accepted, and retries would delay the audit events after it.
func refuseOther() *Error {
	return fail("InvalidRequest", "by its name this object is not an audit event, and the relay accepts only audit events. "+
		"In LiteLLM's configuration put its endpoint under s3_audit_callback_params, which is for audit events, and not under s3_callback_params, which carries request logs too; "+
		"or let the relay pass other objects on with ingest.s3.forward_to, or drop them with ingest.s3.discard_other_objects: true")
}
