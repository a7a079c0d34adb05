package runtime_test

import (
	"bytes"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/document"
	"auditrelay/filter"
	"auditrelay/runtime"
)

// binarySink writes what is no text, as a sink that encrypts does.
type binarySink struct{ *memorySink }

func (s binarySink) Render(c auditrelay.Chunk) ([]auditrelay.Payload, error) {
	payloads, err := s.memorySink.Render(c)
	for i := range payloads {
		payloads[i].Body = append([]byte{0, 1, 2}, payloads[i].Body...)
	}
	return payloads, err
}

// canaryMasks takes the canary's secrets out.
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

// Each way in which a canary can fare is told as what it is: masked, exposed, in a payload
// that cannot be searched, filtered, still on its way; and after a restart, delivered unseen
// or still on its way until it arrives.
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

	r = start(t, runtime.Options{Dir: dir, Callbacks: callbacks()})
	last, err := r.LastCanary()
	if err != nil || last == nil || last.ID != c.ID || last.Ended {
		t.Fatalf("the canary after a restart: %+v, %v", last, err)
	}
	results(r, last, map[string]runtime.CanaryResult{"masked": runtime.CanaryUnseen, "exposed": runtime.CanaryUnseen, "binary": runtime.CanaryUnseen,
		"dropped": "filtered: drop", "held": runtime.CanaryPending})
	held.set(nil)
	results(r, last, map[string]runtime.CanaryResult{"masked": runtime.CanaryUnseen, "exposed": runtime.CanaryUnseen, "binary": runtime.CanaryUnseen,
		"dropped": "filtered: drop", "held": runtime.CanaryMasked})
	for _, p := range held.objects {
		for _, secret := range c.Secrets {
			if bytes.Contains(p.Body, []byte(secret)) {
				t.Errorf("%s was delivered", secret)
			}
		}
	}
}
