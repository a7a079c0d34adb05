package runtime_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"auditrelay"
	"auditrelay/filter"
	"auditrelay/runtime"
)

// shut is a gate for the member secret of event(), unless it was redacted.
var shut = auditrelay.MustNotLeave{Paths: []string{"**.~secret"}}

// masking redacts secret, except in the event with the id leaky.
var masking = fn(func(c *filter.Call) (auditrelay.Verdict, error) {
	if c.Event.ID == "leaky" {
		return auditrelay.Keep, nil // and claims success
	}
	for n := c.Document.Child(0, -1); n != -1; n = c.Document.Child(0, n) {
		if string(c.Document.AppendKey(nil, n)) == "secret" {
			return auditrelay.Keep, c.Document.SetString(n, []byte("***"))
		}
	}
	return auditrelay.Keep, nil
})

// leakedOnce checks that of three events the second one, leaky, was dead-lettered and left a
// tombstone.
func leakedOnce(t *testing.T, r *runtime.Runtime, sink *memorySink, rule string) {
	t.Helper()
	if got, want := account(t, r, "archive"), (runtime.Account{Assigned: 3, Delivered: 2, DeadLettered: 1, Balanced: true}); got != want {
		t.Errorf("account\n got %+v\nwant %+v", got, want)
	}
	for sequence, line := range sink.lines() {
		if strings.Contains(line, "s3cr3t") {
			t.Errorf("sequence %d left: %s", sequence, line)
		}
	}
	if ts := asTombstone(t, sink.lines()[2]); ts.Cause != "leak" || ts.Outcome != "dead_lettered" {
		t.Errorf("tombstone: %+v", ts)
	}
	if end := ending(t, r, "leaky", "archive"); end.Outcome != auditrelay.DeadLettered || end.Cause != auditrelay.CauseLeak || !strings.Contains(end.Error, rule) || strings.Contains(end.Error, "s3cr3t") {
		t.Errorf("explained: %+v", end)
	}
}

// TestTheGateHoldsBackWhatFiltersLeft fails without gate (a).
func TestTheGateHoldsBackWhatFiltersLeft(t *testing.T) {
	for name, at := range map[string]string{
		"top level":        `"secret":"s3cr3t"`,
		"nested":           `"updated_values":{"a":[{"Secret":"s3cr3t"}]}`,
		"in a JSON string": `"updated_values":"{\"a\":{\"se\\u0063ret\":\"s3cr3t\"}}"`,
	} {
		t.Run(name, func(t *testing.T) {
			sink, l := &memorySink{}, &logs{}
			r := start(t, runtime.Options{Logger: l.logger(), Callbacks: []runtime.Callback{
				quick(runtime.Callback{Name: "archive", Sink: sink, MustNotLeave: shut, Steps: []runtime.Step{{Name: "mask", Filter: masking.filter()}}})}})
			leaky := strings.Replace(event("leaky", "deleted"), `"secret":"s3cr3t"`, at, 1)
			submit(t, r, event("a", "created"), leaky, event("c", "updated"))
			settle(t, r)
			leakedOnce(t, r, sink, "path **.~secret")
			s := await(t, r, "archive", "withholding", inState(runtime.StateWithholding))
			if s.Causes["leak"] != 1 || s.Reason == "" {
				t.Errorf("status: %+v", s)
			}

			submit(t, r, strings.Replace(leaky, "leaky", "leaky2", 1))
			settle(t, r)
			if s := await(t, r, "archive", "withholding still", inState(runtime.StateWithholding)); name != "top level" && s.Causes["leak"] != 2 {
				t.Errorf("counted: %+v", s.Causes)
			}
			if n := l.count("callback is withholding", "level=ERROR"); n != 1 {
				t.Errorf("told %d times, want once", n)
			}
			if l.count("s3cr3t") > 0 {
				t.Error("the log tells the secret")
			}
			if err := r.Resume(t.Context(), "archive", runtime.By{Principal: "ops"}); err != nil {
				t.Fatal(err)
			}
			await(t, r, "archive", "active", inState(runtime.StateActive))
		})
	}
}

// TestACallbackWithoutFiltersHasItsGate: only the gate is between the event and the
// destination.
func TestACallbackWithoutFiltersHasItsGate(t *testing.T) {
	sink := &memorySink{}
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "archive", Sink: sink, MustNotLeave: shut})}})
	clean := func(id string) string {
		return strings.Replace(event(id, "created"), `"s3cr3t"`, `"***"`, 1)
	}
	submit(t, r, clean("a"), event("leaky", "deleted"), clean("c"))
	settle(t, r)
	leakedOnce(t, r, sink, "path **.~secret")
}

func TestDetectorsHoldBack(t *testing.T) {
	const key = "AKIAIOSFODNN7ABCDEFG"
	sink := &memorySink{}
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{
		quick(runtime.Callback{Name: "archive", Sink: sink, MustNotLeave: auditrelay.MustNotLeave{Detectors: []string{"secrets"}}})}})
	bare := func(id string) string { return strings.Replace(event(id, "created"), `,"secret":"s3cr3t"`, "", 1) }
	submit(t, r, bare("a"), strings.Replace(bare("leaky"), `"t1"`, `"`+key+`"`, 1), bare("c"))
	settle(t, r)
	leakedOnce(t, r, sink, "detector ")
}

// deriving is a sink that adds data to its records.
type deriving struct {
	*memorySink
	derive func(r auditrelay.Record, p *auditrelay.Payload)
	each   bool // one payload per record
}

func (s deriving) Render(c auditrelay.Chunk) ([]auditrelay.Payload, error) {
	var out []auditrelay.Payload
	for i, r := range c.Records {
		p := auditrelay.Payload{Key: fmt.Sprintf("%d", r.Sequence), Body: append(bytes.Clone(r.Data), '\n'), Sequences: []uint64{r.Sequence}}
		if s.derive != nil && !r.Tombstone {
			s.derive(r, &p)
		}
		if i == 0 || s.each {
			out = append(out, p)
			continue
		}
		last := &out[len(out)-1]
		last.Body = append(last.Body, p.Body...)
		last.Sequences = append(last.Sequences, p.Sequences...)
		if p.Headers != nil {
			last.Headers = p.Headers
		}
		last.Key += "-" + p.Key
	}
	return out, nil
}

func (s deriving) Deliver(ctx context.Context, p auditrelay.Payload) (auditrelay.Receipt, error) {
	return s.memorySink.Deliver(ctx, p)
}

// TestTheGateHoldsBackWhatTheSinkDerives fails without gate (b): the documents are clean, but
// the sink's output for one of them is not.
func TestTheGateHoldsBackWhatTheSinkDerives(t *testing.T) {
	const key = "AKIAIOSFODNN7ABCDEFG"
	for name, derive := range map[string]func(r auditrelay.Record, p *auditrelay.Payload){
		"body": func(_ auditrelay.Record, p *auditrelay.Payload) {
			p.Body = append([]byte(`{"envelope":{"token":"\u0041`+key[1:]+`"},"event":`), append(bytes.TrimSpace(p.Body), "}\n"...)...)
		},
		"key":    func(_ auditrelay.Record, p *auditrelay.Payload) { p.Key += "/" + key },
		"header": func(_ auditrelay.Record, p *auditrelay.Payload) { p.Headers = map[string]string{"X-Tag": "k=" + key} },
	} {
		for _, each := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, each alone %t", name, each), func(t *testing.T) {
				sink := deriving{memorySink: &memorySink{}, each: each, derive: func(r auditrelay.Record, p *auditrelay.Payload) {
					if r.ID == "leaky" {
						derive(r, p)
					}
				}}
				r := start(t, runtime.Options{Callbacks: []runtime.Callback{
					quick(runtime.Callback{Name: "archive", Sink: sink, MustNotLeave: auditrelay.MustNotLeave{Detectors: []string{"secrets"}},
						Steps: []runtime.Step{{Name: "mask", Filter: fn(func(c *filter.Call) (auditrelay.Verdict, error) {
							return auditrelay.Keep, c.Document.Replace([]byte(`{"clean":true}`))
						}).filter()}}})}})
				submit(t, r, event("a", "created"), event("leaky", "deleted"), event("c", "updated"))
				settle(t, r)
				leakedOnce(t, r, sink.memorySink, "detector ")
				for k, p := range sink.objects {
					if strings.Contains(k+fmt.Sprint(p.Headers)+string(p.Body), key[1:]) {
						t.Errorf("it left: %s %v %s", k, p.Headers, p.Body)
					}
				}
			})
		}
	}
}

// TestAFileNamedByTheEventsIDIsLookedAt: the document no longer contains the id, but the
// object's key does.
func TestAFileNamedByTheEventsIDIsLookedAt(t *testing.T) {
	sink := deriving{memorySink: &memorySink{}, each: true, derive: func(r auditrelay.Record, p *auditrelay.Payload) {
		p.Key = "audit_logs/" + strings.ReplaceAll(r.ID, "/", "_") + ".json"
	}}
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{
		quick(runtime.Callback{Name: "archive", Sink: sink, MustNotLeave: auditrelay.MustNotLeave{Detectors: []string{"secrets"}},
			Steps: []runtime.Step{{Name: "mask", Filter: fn(func(c *filter.Call) (auditrelay.Verdict, error) {
				return auditrelay.Keep, c.Document.Replace([]byte(`{"clean":true}`))
			}).filter()}}})}})
	submit(t, r, event("a", "created"), event("https://root:hunter2secret@host", "deleted"), event("c", "updated"))
	settle(t, r)
	if got, want := account(t, r, "archive"), (runtime.Account{Assigned: 3, Delivered: 2, DeadLettered: 1, Balanced: true}); got != want {
		t.Errorf("account\n got %+v\nwant %+v", got, want)
	}
	for k := range sink.objects {
		if strings.Contains(k, "hunter2secret") {
			t.Errorf("it left: %s", k)
		}
	}
}

// TestWhatNobodyIsToBlameForIsHeld: nothing of the chunk leaves, and the callback reports it.
func TestWhatNobodyIsToBlameForIsHeld(t *testing.T) {
	var sane atomic.Bool
	for name, spoil := range map[string]func(p *auditrelay.Payload){
		"a leak of the sink's own": func(p *auditrelay.Payload) { p.Headers = map[string]string{"X-Tag": "AKIAIOSFODNN7ABCDEFG"} },
		"a body that cannot be read": func(p *auditrelay.Payload) {
			p.Body = []byte{0, 1, 2}
		},
	} {
		t.Run(name, func(t *testing.T) {
			sane.Store(false)
			sink, l := &memorySink{}, &logs{}
			r := start(t, runtime.Options{Logger: l.logger(), Callbacks: []runtime.Callback{
				quick(runtime.Callback{Name: "archive", Sink: spoiling{sink, func(p *auditrelay.Payload) {
					if len(p.Sequences) > 1 && !sane.Load() { // each alone is accepted
						spoil(p)
					}
				}}, MustNotLeave: auditrelay.MustNotLeave{Detectors: []string{"secrets"}}, Chunk: auditrelay.Chunking{Events: 3}})}})
			bare := func(id string) string { return strings.Replace(event(id, "created"), `,"secret":"s3cr3t"`, "", 1) }
			submit(t, r, bare("a"), bare("b"), bare("c"))
			s := await(t, r, "archive", "misconfigured", inState(runtime.StateMisconfigured))
			if s.Account.Pending != 3 || !strings.Contains(s.LastError, "held back") || len(sink.lines()) != 0 {
				t.Errorf("status: %+v", s)
			}
			if l.count("callback is misconfigured", "level=ERROR") != 1 {
				t.Error("it was not told once")
			}
			sane.Store(true)
			settle(t, r)
			if got := account(t, r, "archive"); got.Delivered != 3 {
				t.Errorf("account: %+v", got)
			}
		})
	}
}

// spoiling changes a sink's rendered output.
type spoiling struct {
	*memorySink
	spoil func(p *auditrelay.Payload)
}

func (s spoiling) Render(c auditrelay.Chunk) ([]auditrelay.Payload, error) {
	payloads, err := s.memorySink.Render(c)
	for i := range payloads {
		s.spoil(&payloads[i])
	}
	return payloads, err
}

// TestEmittedRecordsInheritTheGate: a value that must not leave in the event must not leave in
// any record emitted from it, to any destination.
func TestEmittedRecordsInheritTheGate(t *testing.T) {
	for _, onError := range []auditrelay.OnError{auditrelay.OnErrorDeadLetter, auditrelay.OnErrorDiscard} {
		sink, alerts := &memorySink{}, &memorySink{}
		telling := fn(func(c *filter.Call) (auditrelay.Verdict, error) {
			c.Emitted = append(c.Emitted, filter.Emit{Target: "alerts", Data: []byte(`{"well":"yes"}`)})
			if c.Event.ID == "leaky" {
				c.Emitted = append(c.Emitted, filter.Emit{Target: "alerts", Data: []byte(`{"it":{"secret":"s3cr3t"}}`)})
			}
			c.Reason = "told"
			return auditrelay.Drop, nil
		})
		r := start(t, runtime.Options{Callbacks: []runtime.Callback{
			quick(runtime.Callback{Name: "archive", Sink: sink, MustNotLeave: shut,
				Steps: []runtime.Step{{Name: "tell", Filter: telling.filter(), Emits: []string{"alerts"}, OnError: onError}}}),
			quick(runtime.Callback{Name: "alerts", Receives: auditrelay.ReceivesEmitted, Sink: alerts}),
		}})
		submit(t, r, event("a", "created"), event("leaky", "deleted"))
		settle(t, r)
		if got, want := account(t, r, "archive"), (runtime.Account{Assigned: 2, Filtered: 1, DeadLettered: 1, Balanced: true}); got != want {
			t.Errorf("account\n got %+v\nwant %+v", got, want)
		}
		if end := ending(t, r, "leaky", "archive"); end.Cause != auditrelay.CauseLeak || end.Filter != "tell" {
			t.Errorf("explained: %+v", end)
		}
		if lines := alerts.lines(); len(lines) != 1 {
			t.Errorf("emitted: %v", lines)
		}
	}
}

// TestAnObserverThatTellsFailsAlone: an observer must not change the event, and must not emit a
// value that must not leave.
func TestAnObserverThatTellsFailsAlone(t *testing.T) {
	sink, alerts := &memorySink{}, &memorySink{}
	telling := fn(func(c *filter.Call) (auditrelay.Verdict, error) {
		c.Emitted = append(c.Emitted, filter.Emit{Target: "alerts", Data: []byte(`{"secret":"s3cr3t"}`)})
		return auditrelay.Keep, nil
	})
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{
		quick(runtime.Callback{Name: "archive", Sink: sink, MustNotLeave: shut, Steps: []runtime.Step{
			{Name: "tell", Filter: telling.filter(), Emits: []string{"alerts"}, Role: auditrelay.RoleObserve}, {Name: "mask", Filter: masking.filter()}}}),
		quick(runtime.Callback{Name: "alerts", Receives: auditrelay.ReceivesEmitted, Sink: alerts}),
	}})
	submit(t, r, event("a", "created"))
	settle(t, r)
	s, err := r.Callback("archive")
	if err != nil || s.Account.Delivered != 1 || s.Failures["observer"] != 1 || account(t, r, "alerts").Assigned != 0 {
		t.Errorf("got %+v, %v", s, err)
	}
}

// TestWordsOfFiltersPassTheGate: reasons are stored, and shown to users who may not see
// contents.
func TestWordsOfFiltersPassTheGate(t *testing.T) {
	const key = "AKIAIOSFODNN7ABCDEFG"
	var asked, leaks atomic.Int64
	saying := fn(func(c *filter.Call) (auditrelay.Verdict, error) {
		asked.Add(1)
		if c.Leaks([]byte("the key is "+key)) && !c.Leaks([]byte("nothing")) {
			leaks.Add(1)
		}
		c.Reason = "the key is " + key
		switch c.Event.ID {
		case "dropped":
			return auditrelay.Drop, nil
		case "failed":
			return auditrelay.NoVerdict, errors.New("no")
		}
		c.Reason = "nothing"
		return auditrelay.Drop, nil
	})
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{
		quick(runtime.Callback{Name: "archive", Sink: &memorySink{}, MustNotLeave: auditrelay.MustNotLeave{Detectors: []string{"secrets"}},
			Steps: []runtime.Step{{Name: "say", Filter: saying.filter()}}})}})
	submit(t, r, event("dropped", "created"), event("failed", "deleted"), event("clean", "created"))
	settle(t, r)
	for id, want := range map[string]string{"dropped": "(withheld: must_not_leave)", "failed": "(withheld: must_not_leave)", "clean": "nothing"} {
		if end := ending(t, r, id, "archive"); end.Reason != want {
			t.Errorf("%s: %+v", id, end)
		}
	}
	if asked.Load() != 3 || leaks.Load() != 3 {
		t.Errorf("of %d events %d were told what leaks", asked.Load(), leaks.Load())
	}
}

// TestReplayedDeadLettersPassTheGateAgain: dead-lettering does not bypass the gate.
func TestReplayedDeadLettersPassTheGateAgain(t *testing.T) {
	var mended atomic.Bool
	f := fn(func(c *filter.Call) (auditrelay.Verdict, error) {
		if !mended.Load() {
			return auditrelay.Keep, nil
		}
		return auditrelay.Keep, c.Document.Replace([]byte(`{"secret":"***"}`))
	})
	sink := &memorySink{}
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{
		quick(runtime.Callback{Name: "archive", Sink: sink, MustNotLeave: shut, Steps: []runtime.Step{{Name: "mask", Filter: f.filter()}}})}})
	submit(t, r, event("leaky", "created"))
	settle(t, r)
	again := func() {
		t.Helper()
		if n, err := r.ReplayDeadLetters(t.Context(), "archive", runtime.By{Principal: "ops"}); n != 1 || err != nil {
			t.Fatalf("replayed %d: %v", n, err)
		}
		settle(t, r)
	}
	again()
	await(t, r, "archive", "twice set aside", func(s runtime.CallbackStatus) bool {
		dead, err := r.DeadLetters(t.Context(), "archive", 0, 0)
		return err == nil && len(dead) == 1 && dead[0].Attempts == 2 && dead[0].Cause == auditrelay.CauseLeak
	})
	mended.Store(true)
	again()
	await(t, r, "archive", "delivered", func(s runtime.CallbackStatus) bool { return s.Account.DeadLettered == 0 })
	for _, line := range sink.lines() {
		if strings.Contains(line, "s3cr3t") {
			t.Errorf("it left: %s", line)
		}
	}
}

func TestTryShowsTheGatesVerdict(t *testing.T) {
	parse := func(id string) auditrelay.Event {
		e, err := runtime.ParseEvent([]byte(event(id, "created")), runtime.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	callback := runtime.Callback{Name: "archive", Sink: &memorySink{}, MustNotLeave: shut, Steps: []runtime.Step{{Name: "mask", Filter: masking.filter()}}}
	trials, err := runtime.Try(t.Context(), callback, runtime.Limits{}, []auditrelay.Event{parse("a"), parse("leaky")})
	if err != nil {
		t.Fatal(err)
	}
	if a, b := trials[0], trials[1]; a.Outcome != auditrelay.Delivered || b.Outcome != auditrelay.DeadLettered || b.Cause != auditrelay.CauseLeak || b.Err == nil || b.Data != nil {
		t.Errorf("got %+v, %+v", a, b)
	}
	callback.MustNotLeave = auditrelay.MustNotLeave{Detectors: []string{"secrets"}}
	callback.Sink = deriving{memorySink: &memorySink{}, derive: func(_ auditrelay.Record, p *auditrelay.Payload) { p.Key = "AKIAIOSFODNN7ABCDEFG" }}
	if trials, err = runtime.Try(t.Context(), callback, runtime.Limits{}, []auditrelay.Event{parse("a")}); err != nil || trials[0].Cause != auditrelay.CauseLeak || trials[0].Data != nil {
		t.Errorf("what the sink derives: %+v, %v", trials, err)
	}
	callback.MustNotLeave.Detectors = []string{"sekrets"}
	if _, err := runtime.Try(t.Context(), callback, runtime.Limits{}, nil); err == nil || !strings.Contains(err.Error(), "sekrets") {
		t.Errorf("got %v", err)
	}
}

// TestAGateThatIsNotUnderstoodIsRefused: it is never treated as open.
func TestAGateThatIsNotUnderstoodIsRefused(t *testing.T) {
	_, err := runtime.Open(t.Context(), runtime.Options{Callbacks: []runtime.Callback{
		{Name: "archive", Sink: &memorySink{}, MustNotLeave: auditrelay.MustNotLeave{Detectors: []string{"sekrets"}, Paths: []string{"a..b"}}}}})
	if err == nil || !strings.Contains(err.Error(), "sekrets") || !strings.Contains(err.Error(), "a..b") || !strings.Contains(err.Error(), "archive") {
		t.Errorf("got %v", err)
	}
}
