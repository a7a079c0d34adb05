package runtime

import (
	"context"
	"fmt"
	"time"

	"auditrelay"
	"auditrelay/runtime/internal/delivery"
)

// tableTest is the table_name of test events.
const tableTest = "auditrelay_test"

// SinkTest is the result of a test of a callback's sink.
type SinkTest struct {
	Callback  string
	ID        string // the ID of the test event
	Delivered bool
	Took      time.Duration // duration of the sink's Deliver
	Bytes     int           // size of the body
	Status    int           // status code of the destination's response; 0 if none
	Kind      string        // the kind of a failure, as in Attempt
	Reason    auditrelay.AttemptReason
	Effect    string // what the engine would do with an event after such a failure
	Location  string
	Error     string
	Answer    string // the body of the destination's response; only for the role comply
}

// TestSink sends an own event, marked as a test, directly to a callback's destination. Own records report
// its start and its result; by is the user. The sink formats the event and the gate (must_not_leave) checks
// it, as for every event. The condition and the filters are bypassed. The test event is never accepted: it
// appears in no journal, account, manifest or receipt. It counts against the sink's concurrency. TestSink
// works on a callback that is paused, detached or failing.
//
// The destination's failure is part of the result. Errors: ErrNoCallback, also for a callback without a
// sink; ErrClosed; ctx's error.
func (r *Runtime) TestSink(ctx context.Context, callback string, by By) (SinkTest, error) {
	p, release, err := r.borrow(callback)
	if err != nil {
		return SinkTest{}, err
	}
	defer release()
	ctx, cancel := context.WithTimeout(ctx, p.callback.Timeout)
	defer cancel()
	defer context.AfterFunc(r.ctx, cancel)()

	change := Change{By: By{Principal: "auditrelay"}, Act: "test", Action: auditrelay.ActionCreated, Table: tableTest, Object: callback,
		After: map[string]any{"test": true, "note": "a test of this destination by an operator; nothing happened"}}
	e, err := change.event()
	if err != nil {
		return SinkTest{}, err
	}
	e.Received = e.Time
	act, err := r.begin(Change{By: by, Act: "test", Action: auditrelay.ActionCreated, Table: tableCallback, Object: callback,
		After: map[string]any{"id": e.ID}, MakesRoom: true}, "")
	if err != nil {
		return SinkTest{}, fmt.Errorf("test the sink of callback %s: %w", callback, err)
	}
	result, err := p.test(ctx, &e)
	if ended := act.End(map[string]any{"id": e.ID, "delivered": result.Delivered, "status": result.Status}, err); ended != nil {
		r.log.Error("the end of a sink test is recorded at the next start", "callback", callback, "error", ended)
	}
	return result, err
}

// test delivers a test event. It returns an error only if nothing was tried.
func (p *pump) test(ctx context.Context, e *auditrelay.Event) (SinkTest, error) {
	callback := p.callback.Name
	result := SinkTest{Callback: callback, ID: e.ID}
	payloads, err := p.render(e)
	if err != nil {
		result.Reason, result.Error = auditrelay.ReasonRecords, plainText(err.Error())
		result.Effect = "nothing was sent: the sink cannot format the event, or must_not_leave holds it back"
		return result, nil
	}
	for _, payload := range payloads {
		select {
		case p.callback.slots <- struct{}{}:
		case <-ctx.Done():
			return result, fmt.Errorf("test the sink of callback %s: its deliveries under way leave no room for one more: %w", callback, ctx.Err())
		}
		begun := time.Now()
		receipt, err := deliver(ctx, p.callback.Sink, payload)
		<-p.callback.slots
		result.Took += time.Since(begun)
		result.Bytes += len(payload.Body)
		if err != nil {
			result.failed(err)
			return result, nil
		}
		result.Status, result.Location = receipt.Status, receipt.Location
	}
	result.Delivered = true
	return result, nil
}

// borrow returns the pump of a running callback. The pump's sink stays open until the caller calls release.
func (r *Runtime) borrow(callback string) (p *pump, release func(), err error) {
	r.applying.Lock()
	defer r.applying.Unlock()
	if p, err = r.pump(callback); err != nil {
		return nil, nil, err
	}
	if p.callback.Sink == nil {
		return nil, nil, fmt.Errorf("callback %q has no sink: %w", callback, ErrNoCallback)
	}
	used := p.callback.Callback
	r.retain(used)
	return p, func() {
		if err := r.release(used); err != nil {
			r.log.Warn("closing the former sink and filters of a changed callback", "error", err)
		}
	}, nil
}

// render makes the test event's payloads as a replay with the test's name would. Sinks that separate
// replays from the callback's own data separate a test too.
func (p *pump) render(e *auditrelay.Event) ([]auditrelay.Payload, error) {
	judge := p.callback.judge
	w := judge.worker()
	judged := judge.unfiltered(w, e)
	judge.release(w)
	if judged.Outcome != auditrelay.Delivered {
		return nil, judged.Err
	}
	at := p.place
	at.Replay = "test-" + e.ID[:8]
	p.callback.rendering.Lock()
	defer p.callback.rendering.Unlock()
	return delivery.RenderTest(judged, at)
}

// effects describe what the engine does after a failure of each kind.
var effects = map[string]string{
	auditrelay.Transient.String():     "an event would wait, and be tried again with a growing pause",
	auditrelay.Throttled.String():     "an event would wait, and be tried again more slowly",
	auditrelay.Unauthorized.String():  "the callback would stall until the credentials are good: correct them, then auditrelay callbacks resume",
	auditrelay.Misconfigured.String(): "the callback would stall until the configuration or the destination is corrected",
	auditrelay.TooLarge.String():      "a payload would be halved, and a single event dead-lettered",
	auditrelay.Refused.String():       "the event would be dead-lettered, with a tombstone in its place",
}

func (t *SinkTest) failed(err error) {
	var a Attempt
	a.failedWith(err)
	t.Status, t.Kind, t.Reason, t.Error, t.Answer = a.Status, a.Kind, a.Reason, a.Error, a.Answer
	t.Effect = effects[t.Kind]
}
