package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/document"
	"auditrelay/filter"
	"auditrelay/runtime"
)

// quick closes chunks at once and retries almost without pause.
func quick(c runtime.Callback) runtime.Callback {
	c.Chunk.Age = time.Millisecond
	c.Backoff = auditrelay.Backoff{Initial: time.Millisecond, Max: 5 * time.Millisecond}
	return c
}

func start(t *testing.T, o runtime.Options) *runtime.Runtime {
	t.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	r, err := runtime.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return r
}

func submit(t *testing.T, r *runtime.Runtime, events ...string) []runtime.Result {
	t.Helper()
	subs := make([]runtime.Submission, len(events))
	for i, e := range events {
		subs[i].Data = []byte(e)
	}
	results, err := r.Submit(t.Context(), subs...)
	if err != nil {
		t.Fatal(err)
	}
	return results
}

func settle(t *testing.T, r *runtime.Runtime) {
	t.Helper()
	// Only a hang takes this long: the maximum limits take half a minute with the race
	// detector.
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	if err := r.Settled(ctx); err != nil {
		t.Fatal(err)
	}
}

func account(t *testing.T, r *runtime.Runtime, name string) runtime.Account {
	t.Helper()
	s, err := r.Callback(name)
	if err != nil {
		t.Fatal(err)
	}
	if !s.Account.Balanced {
		t.Errorf("account of %s does not balance: %+v", name, s.Account)
	}
	return s.Account
}

func event(id, action string) string {
	return fmt.Sprintf(`{"id":%q,"updated_at":"2026-03-01T10:00:00+00:00","action":%q,"table_name":"LiteLLM_TeamTable","object_id":"t1","secret":"s3cr3t"}`, id, action)
}

// fn is a native filter made of a function.
type fn func(*filter.Call) (auditrelay.Verdict, error)

func (f fn) filter() filter.Filter { return &fnFilter{f} }

type fnFilter struct{ f fn }

func (f *fnFilter) Open(context.Context) (filter.Instance, error) { return f, nil }
func (f *fnFilter) Close() error                                  { return nil }
func (f *fnFilter) Apply(_ context.Context, c *filter.Call) (auditrelay.Verdict, error) {
	return f.f(c)
}

func TestEventGoesThroughEveryRoom(t *testing.T) {
	sink := &memorySink{}
	secret, err := document.ParsePath("secret")
	if err != nil {
		t.Fatal(err)
	}
	redact := fn(func(c *filter.Call) (auditrelay.Verdict, error) {
		if c.Event.Action == auditrelay.ActionBlocked {
			return auditrelay.Drop, nil
		}
		return auditrelay.Keep, c.Document.SetString(c.Document.Find(secret), []byte("***"))
	})
	r := start(t, runtime.Options{Dir: t.TempDir(), Callbacks: []runtime.Callback{quick(runtime.Callback{
		Name: "archive", Sink: sink,
		When:  &auditrelay.When{Fields: map[string][]string{"action": {"created", "blocked"}}},
		Steps: []runtime.Step{{Name: "redact", Filter: redact.filter()}},
	})}})
	results := submit(t, r, event("a", "created"), event("b", "blocked"), event("c", "deleted"), `{"id":7}`)
	if results[0].Sequence != 1 || results[0].ID != "a" || results[3].Err == nil {
		t.Errorf("results: %+v", results)
	}
	settle(t, r)
	got := account(t, r, "archive")
	want := runtime.Account{Assigned: 3, Delivered: 1, Filtered: 2, Balanced: true}
	if got != want {
		t.Errorf("account\n got %+v\nwant %+v", got, want)
	}
	line := sink.lines()[1]
	if want := `{"id":"a","updated_at":"2026-03-01T10:00:00+00:00","action":"created","table_name":"LiteLLM_TeamTable","object_id":"t1","secret":"***"}`; line != want {
		t.Errorf("delivered\n got %s\nwant %s", line, want)
	}
	x, err := r.Explain(t.Context(), "", "b")
	if err != nil {
		t.Fatal(err)
	}
	if len(x.Callbacks) != 1 || x.Callbacks[0].Outcome != auditrelay.Filtered || x.Callbacks[0].Filter != "redact" {
		t.Errorf("explain b: %+v", x.Callbacks)
	}
	if _, err := r.Explain(t.Context(), "", "nowhere"); !errors.Is(err, runtime.ErrNotSeen) {
		t.Errorf("explain of an unknown id: %v", err)
	}
}
