package runtime_test

import (
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"auditrelay"
	"auditrelay/runtime"
)

// bookkeeper is a sink with manifests that accepts several payloads at a time.
type bookkeeper struct {
	memorySink
	refuses atomic.Bool // manifests
	unable  atomic.Bool // cannot render manifests
	mu2     sync.Mutex
	told    []auditrelay.Manifest
}

func (*bookkeeper) Concurrency() int { return 4 }

func (b *bookkeeper) RenderManifest(m auditrelay.Manifest) (auditrelay.Payload, error) {
	if b.unable.Load() {
		panic("no")
	}
	body, err := json.Marshal(m)
	return auditrelay.Payload{Key: fmt.Sprint("manifest-", m.Number), Body: body}, err
}

// keeping returns an answer for both: manifests, and data according to answer.
func (b *bookkeeper) keeping(answer func(auditrelay.Payload) error) func(auditrelay.Payload) error {
	return func(p auditrelay.Payload) error {
		if len(p.Sequences) > 0 {
			return answer(p)
		}
		if b.refuses.Load() {
			return refuse(auditrelay.Refused)
		}
		var m auditrelay.Manifest
		if err := json.Unmarshal(p.Body, &m); err != nil {
			return err
		}
		b.mu2.Lock()
		defer b.mu2.Unlock()
		b.told = append(b.told, m)
		return nil
	}
}

func (b *bookkeeper) manifests() []auditrelay.Manifest {
	b.mu2.Lock()
	defer b.mu2.Unlock()
	return append([]auditrelay.Manifest(nil), b.told...)
}

// TestManifestFollowsItsChunk: it lists the delivered records, and the replacements of refused
// ones.
func TestManifestFollowsItsChunk(t *testing.T) {
	sink := &bookkeeper{}
	var fixed atomic.Bool
	sink.deliver = sink.keeping(func(p auditrelay.Payload) error {
		if !fixed.Load() {
			return errDown
		}
		return refuseID("e6", refuse(auditrelay.Refused))(p)
	})
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "archive", Sink: sink})}})
	submit(t, r, tenEvents()...)
	await(t, r, "archive", "tried", func(s runtime.CallbackStatus) bool { return s.Attempts > 3 })
	if told := sink.manifests(); len(told) != 0 {
		t.Errorf("a manifest tells of what is not there: %+v", told)
	}
	fixed.Store(true)
	settle(t, r)
	await(t, r, "archive", "told", func(s runtime.CallbackStatus) bool { return len(sink.manifests()) >= 2 && s.InFlight == 0 })

	current := map[uint64]int{} // payload -> records, after all amendments
	previous := ""
	numbers := map[uint64]bool{}
	for _, m := range sink.manifests() {
		if (m.Previous == "") != (previous == "") {
			t.Errorf("manifest %d names %q as the one before", m.Number, m.Previous)
		}
		previous = "there is one"
		numbers[m.Number] = true
		for _, p := range m.Payloads {
			current[p.Number] = p.Records
			numbers[p.Number] = true
		}
		for _, a := range m.Amends {
			delete(current, a.Number)
		}
		for _, a := range m.Amends {
			for _, p := range a.By {
				numbers[p.Number] = true
				amended := false
				for _, b := range m.Amends {
					amended = amended || b.Number == p.Number
				}
				if !amended {
					current[p.Number] = p.Records
				}
			}
		}
	}
	records := 0
	for _, n := range current {
		records += n
	}
	if records != 10 {
		t.Errorf("the manifests tell of %d records, want 10: %+v", records, sink.manifests())
	}
	s, err := r.Callback("archive")
	if err != nil || uint64(len(numbers)) != s.Payloads {
		t.Errorf("the manifests tell of %d numbers, %d were given (%v)", len(numbers), s.Payloads, err)
	}
}

// TestManifestsThatAreRefused: each is given up once.
func TestManifestsThatAreRefused(t *testing.T) {
	sink := &bookkeeper{}
	sink.refuses.Store(true)
	sink.deliver = sink.keeping(func(auditrelay.Payload) error { return nil })
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "archive", Sink: sink})}})
	submit(t, r, event("a", "created"))
	settle(t, r)
	if s, err := r.Callback("archive"); err != nil || s.Attempts != 2 || s.Account.Delivered != 1 || s.Payloads != 2 {
		t.Errorf("status: %+v, %v", s, err)
	}
}

// TestManifestThatCannotBeRendered: the chunk waits, since nothing is sealed without its
// manifest.
func TestManifestThatCannotBeRendered(t *testing.T) {
	sink := &bookkeeper{}
	sink.unable.Store(true)
	var l logs
	r := start(t, runtime.Options{Logger: l.logger(), Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "archive", Sink: sink})}})
	submit(t, r, event("a", "created"))
	s := await(t, r, "archive", "degraded", func(s runtime.CallbackStatus) bool {
		return s.State == runtime.StateDegraded && s.Failures["filter"] >= 2
	})
	if s.Account.Pending != 1 || !s.Account.Balanced || s.InFlight != 0 {
		t.Errorf("while it cannot: %+v", s)
	}
	sink.unable.Store(false)
	settle(t, r)
	s = await(t, r, "archive", "active", inState(runtime.StateActive))
	if s.Account.Delivered != 1 || s.Payloads != 2 || s.LastError != "" {
		t.Errorf("after it can: %+v", s)
	}
	if n := l.count("could not record its progress"); n != 1 {
		t.Errorf("logged %d times", n)
	}
}
