package redact_test

import (
	"bytes"
	"testing"

	"auditrelay/internal/test/corpus"
)

// With the preset litellm no planted secret leaves, in any encoding. Without the descent into
// strings, opaque texts, keys or the event's fields, this test would find one.
func TestNoPlantedSecretLeaves(t *testing.T) {
	events := 60_000
	if testing.Short() {
		events = 6_000
	}
	g := corpus.New(11)
	g.Plant(1)
	r := open(t, policy(t, `{preset: litellm}`))
	var secrets corpus.Secrets
	var delivered bytes.Buffer
	for range events {
		e := g.Next()
		secrets.Add(e.Planted...)
		out, _ := r.apply(t, e.Data)
		delivered.Write(out)
		delivered.WriteByte('\n')
	}
	if secrets.Len() < events {
		t.Fatalf("%d secrets in %d events: the corpus plants too few", secrets.Len(), events)
	}
	byKind := map[string]int{}
	for _, hit := range corpus.Search(delivered.Bytes(), &secrets) {
		byKind[hit.Plant.Kind]++
		if byKind[hit.Plant.Kind] == 1 {
			t.Errorf("%s: a secret left, as %s", hit.Plant.Kind, hit.Form)
		}
	}
	for kind, n := range byKind {
		t.Errorf("%s: %d left", kind, n)
	}
}

// The masked values of events without secrets are shown: none is masked needlessly.
func TestCleanEventsAreLeftAlone(t *testing.T) {
	events := 100_000
	if testing.Short() {
		events = 10_000
	}
	g := corpus.New(12)
	r := open(t, policy(t, `{preset: litellm}`))
	touched := map[string]int{}
	changed := 0
	for range events {
		e := g.Next()
		out, touches := r.apply(t, e.Data)
		if bytes.Equal(out, e.Data) != (len(touches) == 0) {
			t.Fatalf("touched %v, and the event became\n%s, from\n%s", touches, out, e.Data)
		}
		if len(touches) > 0 {
			if changed++; changed <= 3 {
				t.Logf("%v:\n%s", touches, e.Data)
			}
		}
		for _, touch := range touches {
			touched[touch.Operation+" "+touch.Path] += touch.Count
		}
	}
	if changed > 0 {
		t.Errorf("%d of %d clean events were changed: %v", changed, events, touched)
	}
}
