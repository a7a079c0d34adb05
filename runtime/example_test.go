package runtime_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"strings"

	"auditrelay"
	"auditrelay/document"
	"auditrelay/filter"
	"auditrelay/runtime"
)

// printer is a custom sink: it prints what it delivers.
type printer struct{}

// Render puts all records of a chunk into one payload.
func (printer) Render(c auditrelay.Chunk) ([]auditrelay.Payload, error) {
	p := auditrelay.Payload{Key: fmt.Sprintf("%s-%d", c.Journal, c.From)}
	for _, r := range c.Records {
		p.Body = append(append(p.Body, r.Data...), '\n')
		p.Sequences = append(p.Sequences, r.Sequence)
	}
	return []auditrelay.Payload{p}, nil
}

func (printer) Deliver(_ context.Context, p auditrelay.Payload) (auditrelay.Receipt, error) {
	fmt.Println(strings.TrimSpace(string(p.Body)))
	return auditrelay.Receipt{Location: p.Key}, nil
}

// Embed the relay in a Go program. Name a Dir to keep the journal on disk.
func ExampleOpen() {
	ctx := context.Background()
	r, err := runtime.Open(ctx, runtime.Options{
		Logger:    slog.New(slog.DiscardHandler),
		Callbacks: []runtime.Callback{{Name: "print", Sink: printer{}}},
	})
	if err != nil {
		log.Fatal(err)
	}
	results, err := r.Submit(ctx, runtime.Submission{
		Data: []byte(`{"id":"7f3a","action":"blocked","table_name":"LiteLLM_TeamTable"}`),
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("durable as sequence", results[0].Sequence)
	if err := r.Drain(ctx); err != nil { // deliver the rest and close
		log.Fatal(err)
	}
	// Output:
	// durable as sequence 1
	// {"id":"7f3a","action":"blocked","table_name":"LiteLLM_TeamTable"}
}

// hideNames is a native filter: a type that implements filter.Filter.
type hideNames struct{ path *document.Path }

func (f hideNames) Open(context.Context) (filter.Instance, error) { return f, nil }
func (f hideNames) Close() error                                  { return nil }

// Apply edits the event or drops it. An error dead-letters it: it never continues.
func (f hideNames) Apply(_ context.Context, c *filter.Call) (auditrelay.Verdict, error) {
	if c.Event.Action == auditrelay.ActionCreated {
		c.Reason = "not of interest"
		return auditrelay.Drop, nil
	}
	if n := c.Document.Find(f.path); n != document.None {
		if err := c.Document.SetString(n, []byte("***")); err != nil {
			return auditrelay.NoVerdict, &filter.Error{Cause: auditrelay.CauseFail, Err: err}
		}
	}
	return auditrelay.Keep, nil
}

// A filter written in Go is placed before a sink like a guest.
func ExampleOpen_nativeFilter() {
	path, err := document.ParsePath("changed_by")
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	r, err := runtime.Open(ctx, runtime.Options{
		Logger: slog.New(slog.DiscardHandler),
		Callbacks: []runtime.Callback{{Name: "print", Sink: printer{},
			Steps: []runtime.Step{{Name: "hide-names", Filter: hideNames{path}}}}},
	})
	if err != nil {
		log.Fatal(err)
	}
	_, err = r.Submit(ctx,
		runtime.Submission{Data: []byte(`{"id":"1","action":"deleted","changed_by":"ann"}`)},
		runtime.Submission{Data: []byte(`{"id":"2","action":"created","changed_by":"bob"}`)})
	if err != nil {
		log.Fatal(err)
	}
	if err := r.Drain(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// {"id":"1","action":"deleted","changed_by":"***"}
}
