package runtime_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"auditrelay"
	"auditrelay/runtime"
)

func TestSubmitTellsEachEventApart(t *testing.T) {
	r := start(t, runtime.Options{})
	from := auditrelay.Provenance{Source: "submit", Principal: "ann"}
	equal := strings.ReplaceAll(event("a", "created"), `"id"`, ` "id"`)
	results, err := r.Submit(t.Context(),
		runtime.Submission{Data: []byte(event("a", "created")), Provenance: from},
		runtime.Submission{Data: []byte(equal), Provenance: auditrelay.Provenance{Source: "http"}},
		runtime.Submission{Data: []byte(event("a", "deleted"))},
		runtime.Submission{Data: []byte(`{"id":`)},
		runtime.Submission{Data: []byte(event("b", "renamed"))},
	)
	if err != nil {
		t.Fatal(err)
	}
	if x := results[0]; x.Err != nil || x.Sequence != 1 || x.Duplicate || x.Received.IsZero() {
		t.Errorf("the first: %+v", x)
	}
	if x := results[1]; x.Err != nil || x.Sequence != 1 || !x.Duplicate {
		t.Errorf("an equal one: %+v", x)
	}
	if x := results[2]; !errors.Is(x.Err, runtime.ErrConflict) || x.Sequence != 0 {
		t.Errorf("an unequal one: %+v", x)
	}
	if e, ok := errors.AsType[*runtime.EventError](results[3].Err); !ok || e.Index != 3 {
		t.Errorf("one that is no JSON: %+v", results[3])
	}
	if x := results[4]; x.Err != nil || !x.UnknownAction || x.Sequence != 2 {
		t.Errorf("an unknown action: %+v", x)
	}
	s := r.Stats()
	if s.Accepted != 2 || s.Duplicates != 1 || s.Conflicts != 1 || s.Rejected != 1 || s.UnknownActions != 1 {
		t.Errorf("stats: %+v", s)
	}
	x, err := r.Explain(t.Context(), auditrelay.NamespaceLiteLLM, "a")
	if err != nil || x.Provenance != from || len(x.AlsoFrom) != 1 || x.AlsoFrom[0].Source != "http" || x.TimeFrom != "event" || x.Action != "created" {
		t.Errorf("explained: %+v, %v", x, err)
	}
}

// TestSubmitAtomic accepts all or nothing.
func TestSubmitAtomic(t *testing.T) {
	r := start(t, runtime.Options{})
	submit(t, r, event("a", "created"))
	cases := []struct {
		name   string
		second string
		err    bool
	}{
		{"one that is wrong", `{"id":7}`, true},
		{"one that conflicts", event("a", "deleted"), true},
		{"one that is a duplicate", event("a", "created"), false},
	}
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			id := fmt.Sprint("new", i)
			results, err := r.SubmitAtomic(t.Context(), runtime.Submission{Data: []byte(event(id, "created"))}, runtime.Submission{Data: []byte(c.second)})
			if err != nil {
				t.Fatal(err)
			}
			if (results[1].Err != nil) != c.err || results[0].Err != nil || (results[0].Sequence == 0) != c.err {
				t.Errorf("results: %+v", results)
			}
			_, err = r.Explain(t.Context(), "", id)
			if errors.Is(err, runtime.ErrNotSeen) != c.err {
				t.Errorf("explain: %v", err)
			}
		})
	}
}

func TestSubmitBounds(t *testing.T) {
	r := start(t, runtime.Options{Limits: runtime.Limits{Events: 2, EventBytes: 300}})
	if results, err := r.Submit(t.Context()); err != nil || len(results) != 0 {
		t.Errorf("of nothing: %v, %v", results, err)
	}
	if _, err := r.Submit(t.Context(), make([]runtime.Submission, 3)...); !errors.Is(err, runtime.ErrTooLarge) {
		t.Errorf("of too many: %v", err)
	}
	long := submit(t, r, event(strings.Repeat("x", 200), "created"))
	if e, ok := errors.AsType[*runtime.EventError](long[0].Err); !ok || strings.Contains(e.Error(), "s3cr3t") {
		t.Errorf("of one that is too large: %v", long[0].Err)
	}
}

// TestSubmitFromManyGoroutines: every acknowledged event has its own sequence and is delivered
// once.
func TestSubmitFromManyGoroutines(t *testing.T) {
	sink := &memorySink{}
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "archive", Sink: sink})}})
	var wg sync.WaitGroup
	var mu sync.Mutex
	sequences := map[uint64]string{}
	for g := range 64 {
		wg.Go(func() {
			for i := range 20 {
				id := fmt.Sprintf("%d-%d", g, i)
				results, err := r.Submit(t.Context(), runtime.Submission{Data: []byte(event(id, "created"))})
				if err != nil || results[0].Err != nil {
					t.Errorf("submit: %v, %v", results, err)
					return
				}
				mu.Lock()
				sequences[results[0].Sequence] = id
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	settle(t, r)
	lines := sink.lines()
	if len(sequences) != 64*20 || len(lines) != 64*20 {
		t.Fatalf("%d sequences and %d lines, want %d", len(sequences), len(lines), 64*20)
	}
	for sequence, id := range sequences {
		if lines[sequence] != event(id, "created") {
			t.Fatalf("sequence %d is %s, want %s", sequence, lines[sequence], id)
		}
	}
	if got := account(t, r, "archive"); got.Delivered != 64*20 {
		t.Errorf("account: %+v", got)
	}
}

// TestRecord: the relay's own changes are normal audit events.
func TestRecord(t *testing.T) {
	sink := &memorySink{}
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "archive", Sink: sink})}})
	if err := r.Record(t.Context(), runtime.Change{By: runtime.By{Principal: "config file"}, Action: auditrelay.ActionUpdated,
		Table: "auditrelay_config", Object: "relay.yaml", After: map[string]string{"digest": "abc"}}); err != nil {
		t.Fatal(err)
	}
	settle(t, r)
	e, err := r.Event(t.Context(), 1)
	if err != nil || e.Namespace != auditrelay.NamespaceRelay || e.Provenance.Source != "relay" {
		t.Errorf("event: %+v, %v", e, err)
	}
	line := sink.lines()[1]
	for _, want := range []string{`"action":"updated"`, `"object_id":"relay.yaml"`, `"updated_values":{"digest":"abc"}`, `"before_value":null`} {
		if !strings.Contains(line, want) {
			t.Errorf("%s is not in %s", want, line)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := r.Record(t.Context(), runtime.Change{}); !errors.Is(err, runtime.ErrClosed) {
		t.Errorf("after close: %v", err)
	}
}

// TestWhen: each way in which a condition matches, by fields and by query.
func TestWhen(t *testing.T) {
	cases := []struct {
		name string
		when auditrelay.When
		want bool
	}{
		{"nothing is asked", auditrelay.When{}, true},
		{"a value of the list", auditrelay.When{Fields: map[string][]string{"action": {"deleted", "created"}}}, true},
		{"another value", auditrelay.When{Fields: map[string][]string{"action": {"deleted"}}}, false},
		{"a field that is no string", auditrelay.When{Fields: map[string][]string{"n": {"1"}}}, false},
		{"a field that is absent", auditrelay.When{Fields: map[string][]string{"gone": {""}}}, false},
		{"all fields must match", auditrelay.When{Fields: map[string][]string{"action": {"created"}, "id": {"b"}}}, false},
		{"a query that finds", auditrelay.When{Query: "deep.x"}, true},
		{"a query that finds false", auditrelay.When{Query: "no"}, false},
		{"a query that finds null", auditrelay.When{Query: "nil"}, false},
		{"a query that finds nothing", auditrelay.When{Query: "deep.y"}, false},
		{"a query with an empty result", auditrelay.When{Query: `list.#(x=="z")#`}, false},
		{"a field with a dot in its name", auditrelay.When{Fields: map[string][]string{"a.b": {"c"}}}, true},
	}
	data := `{"id":"a","action":"created","n":1,"deep":{"x":"y"},"no":false,"nil":null,"list":[{"x":"y"}],"a.b":"c"}`
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := start(t, runtime.Options{Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "archive", Sink: &memorySink{}, When: &c.when})}})
			submit(t, r, data)
			settle(t, r)
			end := ending(t, r, "a", "archive")
			if got := end.Outcome == auditrelay.Delivered; got != c.want || (!c.want && end.Cause != auditrelay.CauseWhen) {
				t.Errorf("%+v", end)
			}
		})
	}
}

// TestTwoRuntimesShareNothing: in one process they share only the data directory's lock.
func TestTwoRuntimesShareNothing(t *testing.T) {
	dir := t.TempDir()
	one, oneSink := callbackOf("archive", now)
	two, twoSink := callbackOf("archive", now)
	a := start(t, runtime.Options{Dir: dir, Callbacks: []runtime.Callback{one}})
	b := start(t, runtime.Options{Callbacks: []runtime.Callback{two}})
	third, thirdSink := callbackOf("archive", now)
	if _, err := runtime.Open(t.Context(), runtime.Options{Dir: dir, Callbacks: []runtime.Callback{third}}); err == nil {
		t.Error("a second owner of one directory")
	}
	if _, closed := thirdSink.count(); closed != 1 {
		t.Errorf("what a failed Open was given was closed %d times", closed)
	}
	submit(t, a, event("x", "created"))
	settle(t, a)
	settle(t, b)
	if len(oneSink.lines()) != 1 || len(twoSink.lines()) != 0 || a.Stats().Journal == b.Stats().Journal {
		t.Error("they share something")
	}
}
