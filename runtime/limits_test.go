package runtime_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/document"
	"auditrelay/filter"
	"auditrelay/runtime"
)

// nested returns a value of n levels.
func nested(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

// TestTheGreatestBoundsAreKept: the engine supports the maxima of the root package. A test of
// the program compares the configuration's maxima with them.
func TestTheGreatestBoundsAreKept(t *testing.T) {
	t.Run("one event emits the most records, as deep as events may be", func(t *testing.T) {
		const depth = 512
		record := []byte(`{"a":` + nested(depth-1) + `}`)
		many := fn(func(c *filter.Call) (auditrelay.Verdict, error) {
			for range auditrelay.MaxEmitCount {
				c.Emitted = append(c.Emitted, filter.Emit{Target: "alerts", Data: record})
			}
			return auditrelay.Keep, nil
		})
		r := start(t, runtime.Options{Limits: runtime.Limits{Depth: depth}, Callbacks: []runtime.Callback{
			quick(runtime.Callback{Name: "archive", Sink: &memorySink{}, Steps: []runtime.Step{{Name: "many", Filter: many.filter(), Emits: []string{"alerts"}}}}),
			quick(runtime.Callback{Name: "alerts", Receives: auditrelay.ReceivesEmitted, Sink: &memorySink{}}),
		}})
		submit(t, r, event("a", "created"))
		settle(t, r)
		if got := account(t, r, "alerts").Delivered; got != auditrelay.MaxEmitCount {
			t.Errorf("%d records were delivered", got)
		}
	})
	t.Run("workers that emit the most at once", func(t *testing.T) {
		many := fn(func(c *filter.Call) (auditrelay.Verdict, error) {
			for range auditrelay.MaxEmitCount {
				c.Emitted = append(c.Emitted, filter.Emit{Target: "alerts", Data: []byte(`{}`)})
			}
			return auditrelay.Keep, nil
		})
		const most = 10 // events; two of them fill a transaction
		sealed := &memorySink{}
		r := start(t, runtime.Options{Workers: 4, Callbacks: []runtime.Callback{
			quick(runtime.Callback{Name: "archive", Sink: sealed, Steps: []runtime.Step{{Name: "many", Filter: many.filter(), Emits: []string{"alerts"}}}}),
			quick(runtime.Callback{Name: "alerts", Receives: auditrelay.ReceivesEmitted, Sink: &memorySink{}}),
		}})
		var events []string
		for i := range most {
			events = append(events, event(fmt.Sprint(i), "created"))
		}
		submit(t, r, events...)
		settle(t, r)
		if got := account(t, r, "alerts").Delivered; got != most*auditrelay.MaxEmitCount {
			t.Errorf("%d records were delivered", got)
		}
		if writes, _ := sealed.count(); writes < most/2 {
			t.Errorf("%d chunks: what the workers made together was sealed in one", writes)
		}
	})
	t.Run("a chunk, and a submission, of the most events", func(t *testing.T) {
		sink := &memorySink{}
		r := start(t, runtime.Options{Limits: runtime.Limits{Events: auditrelay.MaxAtomic}, Callbacks: []runtime.Callback{
			{Name: "archive", Sink: sink, Chunk: auditrelay.Chunking{Events: auditrelay.MaxChunkEvents, Bytes: auditrelay.MaxChunkBytes, Age: time.Hour}},
		}})
		events := make([]runtime.Submission, auditrelay.MaxAtomic)
		for i := range events {
			events[i].Data = fmt.Appendf(nil, `{"id":"%d","action":"created"}`, i)
		}
		if _, err := r.SubmitAtomic(t.Context(), events...); err != nil {
			t.Fatal(err)
		}
		settle(t, r)
		if writes, _ := sink.count(); writes != 1 || account(t, r, "archive").Delivered != auditrelay.MaxChunkEvents {
			t.Errorf("%d payloads for one chunk", writes)
		}
		_, err := r.SubmitAtomic(t.Context(), append(events, runtime.Submission{})...)
		if !errors.Is(err, runtime.ErrTooLarge) {
			t.Errorf("one event more: %v", err)
		}
	})
	t.Run("a chunk of the most bytes", func(t *testing.T) {
		sink := &memorySink{}
		r := start(t, runtime.Options{Limits: runtime.Limits{EventBytes: auditrelay.MaxChunkBytes}, Callbacks: []runtime.Callback{
			{Name: "archive", Sink: sink, Chunk: auditrelay.Chunking{Bytes: auditrelay.MaxChunkBytes, Age: time.Hour}},
		}})
		const each = 4 << 20
		for i := range int(auditrelay.MaxChunkBytes) / each {
			head := fmt.Sprintf(`{"id":"%d","action":"created","object_id":"`, i)
			submit(t, r, head+strings.Repeat("x", each-len(head)-2)+`"}`)
		}
		settle(t, r)
		if writes, _ := sink.count(); writes != 1 {
			t.Errorf("%d payloads for one chunk of %v", writes, auditrelay.MaxChunkBytes)
		}
	})
	t.Run("one event emits and edits the most bytes", func(t *testing.T) {
		text := strings.Repeat("x", int(auditrelay.MaxEmitBytes)-1024)
		large := fn(func(c *filter.Call) (auditrelay.Verdict, error) {
			c.Emitted = append(c.Emitted, filter.Emit{Target: "alerts", Data: []byte(`{"a":"` + text + `"}`)})
			return auditrelay.Keep, c.Document.Put(document.Root, []byte("more"), []byte(`"`+text+`"`))
		})
		r := start(t, runtime.Options{Limits: runtime.Limits{EventBytes: auditrelay.MaxEmitBytes}, Callbacks: []runtime.Callback{
			quick(runtime.Callback{Name: "archive", Sink: &memorySink{}, Steps: []runtime.Step{{Name: "large", Filter: large.filter(), Emits: []string{"alerts"}}}}),
			quick(runtime.Callback{Name: "alerts", Receives: auditrelay.ReceivesEmitted, Sink: &memorySink{}}),
		}})
		submit(t, r, event("a", "created"))
		settle(t, r)
		for _, name := range []string{"archive", "alerts"} {
			if got := account(t, r, name).Delivered; got != 1 {
				t.Errorf("%s: %d delivered: %+v", name, got, ending(t, r, "a", "archive"))
			}
		}
	})
}

// If filters emit more than the limits, the filter that exceeds them fails, and the callback
// continues.
func TestEmittingBeyondTheBoundsFailsTheFilter(t *testing.T) {
	half := fn(func(c *filter.Call) (auditrelay.Verdict, error) {
		for range auditrelay.MaxEmitCount/2 + 1 {
			c.Emitted = append(c.Emitted, filter.Emit{Target: "alerts", Data: []byte(`{}`)})
		}
		return auditrelay.Keep, nil
	})
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{
		quick(runtime.Callback{Name: "archive", Sink: &memorySink{}, Steps: []runtime.Step{
			{Name: "first", Filter: half.filter(), Emits: []string{"alerts"}}, {Name: "second", Filter: half.filter(), Emits: []string{"alerts"}}}}),
		quick(runtime.Callback{Name: "alerts", Receives: auditrelay.ReceivesEmitted, Sink: &memorySink{}}),
	}})
	submit(t, r, event("a", "created"))
	settle(t, r)
	end := ending(t, r, "a", "archive")
	if end.Outcome != auditrelay.DeadLettered || end.Cause != auditrelay.CauseRejectedOutput || end.Filter != "second" {
		t.Errorf("explained: %+v", end)
	}
}

func TestBoundsThatTheEngineCannotKeepAreRefused(t *testing.T) {
	for path, c := range map[string]runtime.Callback{
		"chunk.events": {Chunk: auditrelay.Chunking{Events: auditrelay.MaxChunkEvents + 1}},
		"chunk.bytes":  {Chunk: auditrelay.Chunking{Bytes: auditrelay.MaxChunkBytes + 1}},
		"in_flight":    {InFlight: auditrelay.MaxInFlight + 1},
		"timeout":      {Timeout: auditrelay.MaxTimeout + 1},
		"retain.age":   {Retain: auditrelay.Retain{Age: -1}},
		"backoff.max":  {Backoff: auditrelay.Backoff{Max: -1}},
	} {
		c.Name, c.Sink = "a", &memorySink{}
		_, err := runtime.Open(t.Context(), runtime.Options{Callbacks: []runtime.Callback{c}})
		if err == nil || !strings.Contains(err.Error(), "callback a: "+path+": ") {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// A submission larger than the whole quota can never succeed, so the sender is not told to
// retry.
func TestWhatExceedsTheQuotaIsTooLarge(t *testing.T) {
	r := start(t, runtime.Options{Journal: runtime.JournalOptions{Quota: 16 << 20}, Limits: runtime.Limits{EventBytes: 32 << 20}})
	head := `{"id":"a","action":"created","object_id":"`
	_, err := r.Submit(t.Context(), runtime.Submission{Data: []byte(head + strings.Repeat("x", 9<<20) + `"}`)})
	var unavailable *runtime.UnavailableError
	if !errors.Is(err, runtime.ErrTooLarge) || errors.As(err, &unavailable) {
		t.Errorf("got %v", err)
	}
	submit(t, r, event("b", "created"))
}
