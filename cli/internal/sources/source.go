// Package sources is the contract of the ways in by which events reach the relay:
// POST /v1/events, an S3 endpoint, a table in Postgres. Package sourcetest holds an
// implementation to it.
//
// A new source is a folder beside these with its options, its Source and its tests; one
// line in the wiring of package app; its page in docs/; nothing else.
package sources

import (
	"context"
	"log/slog"
	"net"
	"net/http"

	"auditrelay/cli/internal/api"
	"auditrelay/config"
	"auditrelay/internal/ingest"
	"auditrelay/runtime"

	"github.com/prometheus/client_golang/prometheus"
)

// Source is one way in. Prepare, Run and the changes that Prepare returns are called
// from one goroutine at a time each; all else is safe for concurrent use.
//
// A source accepts by runtime.Submit and acknowledges nothing before that returned. What
// it takes and cannot submit goes into quarantine where its sender cannot see an error.
type Source interface {
	// Kind is the source's key under ingest, and the kind of its senders: http, s3.
	Kind() string
	// Prepare reads the source's part of a configuration and makes all that can fail: it
	// opens listeners and reads files, and changes nothing that is in force. The caller
	// calls either of the change's functions, once.
	Prepare(ctx context.Context, cfg *config.Config) (Change, error)
	// Run takes events by what was applied until ctx ends, and returns once nothing of
	// the source's runs any more. It is called once, after the first Apply. An error
	// means that the source cannot go on: the relay ends, to be started again.
	Run(ctx context.Context) error
	// Stop stops fetching events and returns once those that were fetched are submitted.
	// A source with a listener goes on to answer until Run ends: the runtime refuses.
	Stop()
	// Status has a line for each sender that events are awaited from.
	Status() []api.Source
	// Silence says why nothing may have come by this way, the likely causes first. What
	// is true of every way is added by Set.
	Silence() []string
	// Metrics are the source's own beside those of its senders; nil: none.
	Metrics() prometheus.Collector
}

// Change is a configuration that a source is ready for. Neither function fails or
// blocks.
type Change struct {
	Apply   func() // puts it in force
	Discard func() // gives up what was made for it
	// Restart names options that changed and are read at start alone.
	Restart []string
}

// Reconciler is a source that can compare what it reads with the journal.
type Reconciler interface {
	// Reconcile calls fn with each difference. The error is ErrNothingRead while the
	// configuration names nothing to read.
	Reconcile(ctx context.Context, want api.Reconcile, fn func(api.Difference) error) (api.Reconciled, error)
}

// Host is what the process offers to its sources. Runtime and Door are there before the
// first Apply, not yet in the first Prepare: a port that is taken costs no recovery.
type Host struct {
	Runtime *runtime.Runtime
	Door    Door
	Logger  *slog.Logger
	Limits  ingest.Limits // of one event and of one body
}

// Door serves listeners within the process's bounds: connections, header sizes, TLS, how
// slowly a body may come, and the memory that bodies take together.
type Door interface {
	// Serve answers on l until ctx ends and requests under way are done. It closes l.
	Serve(ctx context.Context, l net.Listener, h http.Handler) error
	// Reserve waits for memory of so many bytes and returns what gives it back.
	Reserve(ctx context.Context, bytes int64) (release func(), err error)
	// Inflate is Reserve for a decompressed body, for callers that hold what Reserve gave.
	Inflate(ctx context.Context, bytes int64) (release func(), err error)
}
