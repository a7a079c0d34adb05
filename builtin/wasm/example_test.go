package wasm_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"

	"auditrelay"
	"auditrelay/builtin/wasm"
	"auditrelay/runtime"
)

// lines is a sink that prints what it delivers.
type lines struct{}

func (lines) Render(c auditrelay.Chunk) ([]auditrelay.Payload, error) {
	p := auditrelay.Payload{Key: fmt.Sprintf("%s-%d", c.Journal, c.From)}
	for _, r := range c.Records {
		p.Body = append(append(p.Body, r.Data...), '\n')
		p.Sequences = append(p.Sequences, r.Sequence)
	}
	return []auditrelay.Payload{p}, nil
}

func (lines) Deliver(_ context.Context, p auditrelay.Payload) (auditrelay.Receipt, error) {
	fmt.Printf("%s", p.Body)
	return auditrelay.Receipt{Location: p.Key}, nil
}

// Load a guest and let it redact the events of a callback.
func ExampleLoad() {
	ctx := context.Background()
	guest, err := wasm.Load(ctx, wasm.Options{
		Name:   "no-secrets",
		File:   "../../testdata/wasm/reference-c/reference-c.wasm",
		Grants: wasm.Grants{Write: []string{"changed_by_api_key", "updated_values.**"}},
		Budget: wasm.NewBudget(256 << 20), // all guests should share one
		Logger: slog.New(slog.DiscardHandler),
		// With an empty CacheDir, modules are compiled in this process at every start. CacheDir
		// stores compiled code. With Compiler, a helper process compiles it.
	})
	if err != nil {
		log.Fatal(err)
	}
	r, err := runtime.Open(ctx, runtime.Options{
		Logger: slog.New(slog.DiscardHandler),
		Callbacks: []runtime.Callback{{
			Name:  "print",
			Steps: []runtime.Step{{Name: "no-secrets", Filter: guest}},
			Sink:  lines{},
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	_, err = r.Submit(ctx, runtime.Submission{
		Data: []byte(`{"id":"7f3a","action":"updated","changed_by_api_key":"sk-1","updated_values":{"password":"hunter2"}}`),
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := r.Drain(ctx); err != nil { // deliver the rest and close
		log.Fatal(err)
	}
	if err := guest.Close(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// {"id":"7f3a","action":"updated","changed_by_api_key":"***","updated_values":{}}
}
