package runtime_test

import (
	"sync"
	"testing"

	"auditrelay"
	"auditrelay/runtime"
)

// A sink gets the origin of each record.
func TestASinkIsToldTheOrigin(t *testing.T) {
	var mu sync.Mutex
	got := map[string][3]string{}
	sink := &memorySink{render: func(c auditrelay.Chunk) error {
		mu.Lock()
		defer mu.Unlock()
		for _, r := range c.Records {
			got[r.ID] = [3]string{r.Namespace, r.Source, r.Principal}
		}
		return nil
	}}
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "archive", Sink: sink})}})
	from := auditrelay.Provenance{Source: "http", Principal: "alice"}
	for id, namespace := range map[string]string{"a": "team-x", "b": ""} {
		results, err := r.Submit(t.Context(), runtime.Submission{Data: []byte(`{"id":"` + id + `","action":"created"}`), Provenance: from, Namespace: namespace})
		if err != nil || results[0].Err != nil {
			t.Fatal(results, err)
		}
	}
	if err := r.Settled(t.Context()); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if got["a"] != [3]string{"team-x", "http", "alice"} || got["b"] != [3]string{"litellm", "http", "alice"} {
		t.Errorf("the origins are %v", got)
	}
}
