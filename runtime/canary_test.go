package runtime_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/document"
	"auditrelay/filter"
	"auditrelay/runtime"
)

// binarySink writes binary data, like a sink that encrypts.
type binarySink struct{ *memorySink }

func (s binarySink) Render(c auditrelay.Chunk) ([]auditrelay.Payload, error) {
	payloads, err := s.memorySink.Render(c)
	for i := range payloads {
		payloads[i].Body = append([]byte{0, 1, 2}, payloads[i].Body...)
	}
	return payloads, err
}

// readSink is a sink whose destination contains what back returns.
type readSink struct {
	*memorySink
	back func(p auditrelay.Payload) ([]byte, error)
}

func (s readSink) ReadBack(_ context.Context, p auditrelay.Payload, _ auditrelay.Receipt) ([]byte, error) {
	return s.back(p)
}

// If the destination is read back, its content counts, not the sent bytes.
func TestCanaryIsReadBack(t *testing.T) {
	var sent atomic.Pointer[runtime.Canary]
	same := func(p auditrelay.Payload) ([]byte, error) { return p.Body, nil }
	backs := map[string]func(p auditrelay.Payload) ([]byte, error){
		"same":      same,
		"not asked": func(auditrelay.Payload) ([]byte, error) { panic("it was read") },
		"exposed": func(p auditrelay.Payload) ([]byte, error) {
			for sent.Load() == nil {
				time.Sleep(time.Millisecond)
			}
			return append(bytes.Clone(p.Body), sent.Load().Secrets[1]...), nil
		},
		"missing":  func(auditrelay.Payload) ([]byte, error) { return nil, fmt.Errorf("read: %w", auditrelay.ErrMissing) },
		"another":  func(auditrelay.Payload) ([]byte, error) { return []byte("{}\n"), nil },
		"denied":   func(auditrelay.Payload) ([]byte, error) { return nil, errDown },
		"panics":   func(auditrelay.Payload) ([]byte, error) { panic("no") },
		"binary":   func(p auditrelay.Payload) ([]byte, error) { return append([]byte{0}, p.Body...), nil },
		"no sight": nil,
	}
	want := map[string]runtime.CanaryResult{"same": runtime.CanaryMasked, "not asked": runtime.CanaryMasked, "exposed": runtime.CanaryExposed, "missing": runtime.CanaryMissing,
		"another": runtime.CanaryMissing, "denied": runtime.CanaryUnread, "panics": runtime.CanaryUnread, "binary": runtime.CanaryUnreadable, "no sight": runtime.CanaryUnread}
	var callbacks []runtime.Callback
	var asked []string
	wanted := map[string]runtime.CanaryResult{}
	for name, back := range backs {
		id := strings.ReplaceAll(name, " ", "-")
		wanted[id] = want[name]
		c := runtime.Callback{Name: id, Steps: []runtime.Step{{Name: "masked", Filter: fn(canaryMasks).filter()}}, Sink: &memorySink{}}
		if back != nil {
			c.Sink = readSink{&memorySink{}, back}
		}
		if name != "not asked" {
			asked = append(asked, id)
		}
		callbacks = append(callbacks, quick(c))
	}
	r := start(t, runtime.Options{Dir: t.TempDir(), Callbacks: callbacks})
	c, err := r.SendCanary(t.Context(), asked...)
	if err != nil {
		t.Fatal(err)
	}
	sent.Store(c)
	deadline := time.Now().Add(20 * time.Second)
	for {
		got, err := r.CanaryResults(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if maps.Equal(got, wanted) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("results %v, want %v", got, wanted)
		}
		time.Sleep(time.Millisecond)
	}
}

// A policy may hide the event's id. Then the sequence identifies the sent payload. The canary
// still arrives masked or exposed, and the destination can still be read.
func TestCanaryWithoutItsID(t *testing.T) {
	hides := func(c *filter.Call) (auditrelay.Verdict, error) {
		for _, name := range []string{"id", "object_id"} {
			path, err := document.ParsePath(name)
			if err != nil {
				return auditrelay.NoVerdict, err
			}
			if err := c.Document.SetString(c.Document.Each(path, document.None), []byte("***")); err != nil {
				return auditrelay.NoVerdict, err
			}
		}
		return auditrelay.Keep, nil
	}
	hidden := runtime.Step{Name: "hidden", Filter: fn(hides).filter()}
	masked := runtime.Step{Name: "masked", Filter: fn(canaryMasks).filter()}
	same := func(p auditrelay.Payload) ([]byte, error) { return p.Body, nil }
	callbacks := []runtime.Callback{
		{Name: "masked", Steps: []runtime.Step{masked, hidden}, Sink: &memorySink{}},
		{Name: "exposed", Steps: []runtime.Step{hidden}, Sink: &memorySink{}},
		{Name: "read", Steps: []runtime.Step{masked, hidden}, Sink: readSink{&memorySink{}, same}},
		{Name: "gone", Steps: []runtime.Step{masked, hidden}, Sink: readSink{&memorySink{}, func(auditrelay.Payload) ([]byte, error) { return nil, nil }}},
	}
	for i := range callbacks {
		callbacks[i] = quick(callbacks[i])
	}
	r := start(t, runtime.Options{Dir: t.TempDir(), Callbacks: callbacks})
	c, err := r.SendCanary(t.Context(), "read", "gone")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]runtime.CanaryResult{"masked": runtime.CanaryMasked, "exposed": runtime.CanaryExposed, "read": runtime.CanaryMasked, "gone": runtime.CanaryMissing}
	deadline := time.Now().Add(20 * time.Second)
	for tick := time.NewTicker(time.Millisecond); ; <-tick.C {
		got, err := r.CanaryResults(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if maps.Equal(got, want) {
			tick.Stop()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("results %v, want %v", got, want)
		}
	}
}

// canaryMasks removes the canary's secrets.
func canaryMasks(c *filter.Call) (auditrelay.Verdict, error) {
	path, err := document.ParsePath("updated_values")
	if err != nil {
		return auditrelay.NoVerdict, err
	}
	for n := c.Document.Each(path, document.None); n != document.None; n = c.Document.Each(path, n) {
		if err := c.Document.SetString(n, []byte("***")); err != nil {
			return auditrelay.NoVerdict, err
		}
	}
	return auditrelay.Keep, nil
}

// Each result of a canary is reported: masked, exposed, in a payload that cannot be searched,
// filtered, still on its way; and after a restart, delivered unseen, or still on its way until
// it arrives.
func TestCanaryResults(t *testing.T) {
	dir := t.TempDir()
	held := &memorySink{deliver: func(auditrelay.Payload) error { return errDown }}
	masked := []runtime.Step{{Name: "masked", Filter: fn(canaryMasks).filter()}}
	callbacks := func() []runtime.Callback {
		all := []runtime.Callback{
			{Name: "masked", Sink: &memorySink{}, Steps: masked},
			{Name: "exposed", Sink: &memorySink{}},
			{Name: "binary", Sink: binarySink{&memorySink{}}, Steps: masked},
			{Name: "dropped", Sink: &memorySink{}, Steps: []runtime.Step{{Name: "no", Filter: fn(func(*filter.Call) (auditrelay.Verdict, error) { return auditrelay.Drop, nil }).filter()}}},
			{Name: "held", Sink: held, Steps: masked},
		}
		for i := range all {
			all[i] = quick(all[i])
		}
		return all
	}
	r := start(t, runtime.Options{Dir: dir, Callbacks: callbacks()})
	c, err := r.SendCanary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	results := func(r *runtime.Runtime, c *runtime.Canary, want map[string]runtime.CanaryResult) {
		t.Helper()
		deadline := time.Now().Add(20 * time.Second)
		for tick := time.NewTicker(time.Millisecond); ; <-tick.C {
			got, err := r.CanaryResults(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			same := len(got) == len(want)
			for name, result := range want {
				same = same && got[name] == result
			}
			if same {
				tick.Stop()
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("results %v, want %v", got, want)
			}
		}
	}
	results(r, c, map[string]runtime.CanaryResult{"masked": runtime.CanaryMasked, "exposed": runtime.CanaryExposed, "binary": runtime.CanaryUnreadable,
		"dropped": "filtered: drop", "held": runtime.CanaryPending})
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}

	r = start(t, runtime.Options{Dir: dir, Callbacks: append(callbacks(), quick(runtime.Callback{Name: "late", Sink: &memorySink{}, Steps: masked}))})
	last, err := r.LastCanary()
	if err != nil || last == nil || last.ID != c.ID || last.Ended {
		t.Fatalf("the canary after a restart: %+v, %v", last, err)
	}
	results(r, last, map[string]runtime.CanaryResult{"masked": runtime.CanaryUnseen, "exposed": runtime.CanaryUnseen, "binary": runtime.CanaryUnseen,
		"dropped": "filtered: drop", "held": runtime.CanaryPending, "late": runtime.CanaryLater})
	held.set(nil)
	results(r, last, map[string]runtime.CanaryResult{"masked": runtime.CanaryUnseen, "exposed": runtime.CanaryUnseen, "binary": runtime.CanaryUnseen,
		"dropped": "filtered: drop", "held": runtime.CanaryMasked, "late": runtime.CanaryLater})
	for _, p := range held.objects {
		for _, secret := range c.Secrets {
			if bytes.Contains(p.Body, []byte(secret)) {
				t.Errorf("%s was delivered", secret)
			}
		}
	}
}
