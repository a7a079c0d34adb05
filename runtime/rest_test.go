package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"auditrelay"
	"auditrelay/filter"
	"auditrelay/runtime"
)

// restless fails on every event while it is bad, and pauses between two.
type restless struct{ bad atomic.Bool }

func (f *restless) Open(context.Context) (filter.Instance, error) { return f, nil }
func (f *restless) Close() error                                  { return nil }
func (f *restless) Apply(context.Context, *filter.Call) (auditrelay.Verdict, error) {
	if f.bad.Load() {
		return auditrelay.NoVerdict, &filter.Error{Cause: auditrelay.CauseTrap, Err: errors.New("it trapped")}
	}
	return auditrelay.Keep, nil
}
func (f *restless) Resting() error {
	if f.bad.Load() {
		return errors.New("it rests")
	}
	return nil
}

// A pausing module that tries one event now and then does not make its callback healthy each
// time: no event succeeded.
func TestAProbeOfARestingFilterDoesNotMakeTheCallbackActive(t *testing.T) {
	var log logs
	f := &restless{}
	f.bad.Store(true)
	r := start(t, runtime.Options{Logger: log.logger(), Callbacks: []runtime.Callback{
		quick(runtime.Callback{Name: "archive", Sink: &memorySink{}, Steps: []runtime.Step{{Name: "f", Filter: f}}}),
	}})
	for i := range 5 {
		submit(t, r, event(fmt.Sprint(i), "created"))
		settle(t, r)
		s := await(t, r, "archive", "degraded", inState(runtime.StateDegraded))
		if s.Account.DeadLettered != uint64(i+1) || s.LastError != "filter f: it rests" {
			t.Errorf("after %d probes: %+v", i+1, s)
		}
	}
	if n := log.count("callback is active"); n != 0 {
		t.Errorf("%d times active, and no event was judged well", n)
	}
	f.bad.Store(false)
	submit(t, r, event("good", "created"))
	settle(t, r)
	await(t, r, "archive", "active", inState(runtime.StateActive))
}
