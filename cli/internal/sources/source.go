// Package sources defines the contract of the relay's inputs: POST /v1/events, an S3 endpoint,
// a table in Postgres, sockets, topics of Kafka. Package sourcetest tests an implementation
// against it.
//
// To add a source, add a folder beside these with its options, its Source and its tests; one
// line in the wiring of package app; and its page in docs/.
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

// Source is one input. The caller calls Prepare, Run and the functions of a Change from
// one goroutine at a time each. All other methods must be safe for concurrent use.
//
// A source accepts events with runtime.Submit, and acknowledges none before Submit
// returned. If its sender cannot see an error, invalid input goes to quarantine.
type Source interface {
	// Kind returns the source's key under ingest, which is also the kind of its senders:
	// http, s3.
	Kind() string
	// Prepare reads the source's part of a configuration and does everything that can
	// fail, such as opening listeners and reading files. It changes nothing that is in
	// force. The caller calls exactly one of Apply and Discard, once.
	Prepare(ctx context.Context, cfg *config.Config) (Change, error)
	// Run receives events, with the applied configuration, until ctx ends. It returns when no
	// part of the source runs any more. It is called once, after the first Apply. An error
	// means that the source cannot continue: the relay ends, and its supervisor restarts it.
	Run(ctx context.Context) error
	// Stop stops fetching events and returns once all fetched events are submitted. A source
	// with a listener still responds until Run ends; the runtime rejects its events.
	Stop()
	// Status returns one line for each expected sender.
	Status() []api.Source
	// Silence returns the possible causes of missing events, likely ones first. Set adds
	// the causes that all sources share.
	Silence() []string
	// Metrics returns the source's own metrics, in addition to those of its senders; nil: none.
	Metrics() prometheus.Collector
}

// Change is a prepared configuration of a source. Its functions must not fail or block.
type Change struct {
	Apply   func() // puts it in force
	Discard func() // frees what Prepare created
	// Restart names changed options that only take effect at a restart.
	Restart []string
}

// Reconciler is a Source that can compare its data with the journal.
type Reconciler interface {
	// Reconcile calls fn with each difference and returns the totals. ErrNothingRead: no
	// table is configured. ErrReconciling: another comparison runs.
	Reconcile(ctx context.Context, want api.Reconcile, fn func(api.Difference) error) (api.Reconciled, error)
}

// Host has the process's services for its sources. Runtime and Door are set before the first
// Apply, but not yet in the first Prepare. So a port that is in use fails before a long
// recovery.
type Host struct {
	Runtime *runtime.Runtime
	Door    Door
	Logger  *slog.Logger
	Limits  ingest.Limits // limits of one event and one body
}

// Door serves listeners within the process's limits: connections, header size, TLS,
// minimum speed of a body, and total memory of all bodies. It is safe for concurrent use.
type Door interface {
	// Serve serves requests on l until ctx ends and running requests are done. It closes l.
	Serve(ctx context.Context, l net.Listener, h http.Handler) error
	// Reserve waits for that many bytes of memory for a principal; each principal has a share.
	// The caller must call release when it no longer needs them. An error means that there is
	// no memory now, or that ctx ended.
	Reserve(ctx context.Context, principal string, bytes int64) (release func(), err error)
	// Inflate is Reserve for a decompressed body, for callers that already hold memory
	// from Reserve.
	Inflate(ctx context.Context, principal string, bytes int64) (release func(), err error)
}
