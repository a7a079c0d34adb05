package http

import (
	"context"
	"errors"
	"time"

	"auditrelay/builtin/wasm"
	"auditrelay/cli/internal/alerts"
	"auditrelay/cli/internal/api"
	"auditrelay/internal/auditstore"
	"auditrelay/runtime"
)

// Control is the process around the runtime. Its methods are safe for concurrent use. If an
// error is an *api.Error, it is the response. Any other error is logged, and the response is a
// failure. by names the caller in own records.
type Control interface {
	// Reload puts the configuration file in force, all of it or nothing. Its error is about the
	// configuration and is sent to the client.
	Reload(ctx context.Context, by runtime.By) (api.Reloaded, error)
	// Backup copies the journal and the stores to a new directory.
	Backup(ctx context.Context, by runtime.By) (api.BackedUp, error)
	// LookUp returns a value's pseudonyms once the look-up is recorded.
	LookUp(ctx context.Context, want api.LookUp, by runtime.By) (api.LookedUp, error)
	// PolicyText returns a text that decided about events, by its digest in receipts: a policy,
	// a callback's must_not_leave, or the detectors. A prefix of at least eight digits is
	// enough.
	PolicyText(digest string) (api.KeptText, error)
	// ConfigText returns a configuration, or a callback's part with its filters, without
	// secrets, by its digest in own records or receipts. A prefix of at least eight digits is
	// enough.
	ConfigText(digest string) (api.KeptText, error)
	Modules
	// ListSearches, SaveSearch and ForgetSearch manage named searches of the store. The caller
	// has checked the query.
	ListSearches() ([]api.SavedSearch, error)
	SaveSearch(ctx context.Context, want api.SaveSearch, by runtime.By) (api.SavedSearch, error)
	ForgetSearch(ctx context.Context, name string, by runtime.By) error
	// RaisedAlerts returns the raised alerts. It never blocks.
	RaisedAlerts() []alerts.Alert
	// CanaryResults returns the last canary's results by callback, and when it was sent. It
	// returns nil if none has finished or none is configured. It never blocks.
	CanaryResults() (results map[string]runtime.CanaryResult, sent time.Time)
	// Try runs events through a running callback's filters, PolicyDiff through two policies.
	// Neither changes anything. Both return contents of events.
	Try(ctx context.Context, want api.Try) ([]api.Tried, error)
	PolicyDiff(ctx context.Context, want api.PolicyDiff) (api.PolicyChange, error)
	// ListPolicies returns the policies in force.
	ListPolicies() ([]api.PolicyInForce, error)
	// UsePolicy puts another policy of a native filter in force, between two chunks of each
	// of its callbacks.
	UsePolicy(ctx context.Context, filter string, want api.UsePolicy, by runtime.By) (api.PolicyUsed, error)
	Shadows
	Rollouts
}

// Rollouts are new versions of filters that process a share of the events.
type Rollouts interface {
	StartRollout(ctx context.Context, want api.StartRollout, by runtime.By) (api.Rollout, error)
	// ListRollouts returns the rollout in progress, or the last one. It never blocks.
	ListRollouts() ([]api.Rollout, error)
	// PromoteRollout puts its version in force for all events. RollBack reverts it.
	PromoteRollout(ctx context.Context, filter string, by runtime.By) (api.Rollout, error)
	RollBack(ctx context.Context, filter string, by runtime.By) (api.Rollout, error)
}

// Shadows are trials of other modules and policies on live events, by callback.
type Shadows interface {
	StartShadow(ctx context.Context, want api.StartShadow, by runtime.By) (api.Shadow, error)
	// ListShadows never blocks.
	ListShadows() []api.Shadow
	// UseShadow puts a shadow's version in force; DropShadow deletes the shadow. Both end it.
	UseShadow(ctx context.Context, callback string, by runtime.By) (api.ShadowUsed, error)
	DropShadow(ctx context.Context, callback string, by runtime.By) error
}

// Modules are the uploaded WebAssembly modules and the filters that run them. A digest may be a
// prefix of at least eight digits.
type Modules interface {
	Push(ctx context.Context, name, filter string, code []byte, by runtime.By) (api.Pushed, error)
	ListModules() ([]api.Module, error)
	InspectModule(digest string) (api.Inspection, error)
	// CheckModule runs all checks of an uploaded module; with a filter's name also as that
	// filter and with its cases. CheckUpload does so for a module that is not stored. Both
	// change nothing.
	CheckModule(ctx context.Context, digest, filter string) (api.ModuleChecked, error)
	CheckUpload(ctx context.Context, name, filter string, code []byte) (api.ModuleChecked, error)
	// ModuleContent returns a module's bytes and its full digest.
	ModuleContent(digest string) (sha256 string, code []byte, err error)
	DeleteModule(digest string, by runtime.By) (api.StoredModule, error)

	ListFilters() ([]api.Filter, error)
	// UseModule switches a filter to another module between two events.
	UseModule(ctx context.Context, filter string, want api.Use, by runtime.By) (api.Used, error)
	ResetBreaker(filter string, by runtime.By) error
	// FilterStates returns the state of each guest filter by name. It never blocks, so that a
	// scrape does not wait for a compilation.
	FilterStates() map[string]FilterState
}

// FilterState is a guest filter's state for the metrics.
type FilterState struct {
	Open, Loaded bool
	Failures     int64             // number in a row
	Counts       map[string]uint64 // by the guest's own metrics
	Locks        *wasm.Locks       // nil if its guests run in the relay's process
	Workers      int
	Lost         uint64 // number of workers that ended, or were killed, while they had events
}

// Stores are the stores that the audit API reads.
type Stores interface {
	// Serving returns the store to search, or ErrNoStore.
	Serving() (Store, error)
}

// Store is a callback whose sink can be searched.
type Store interface {
	Callback() string
	// Place returns the database without secrets. Relays of a fleet compare it.
	Place() string
	// Read returns the store, open for reading. The owner closes it.
	Read(ctx context.Context) (*auditstore.Store, error)
}

// ErrNoStore: no callback's sink is a store.
var ErrNoStore = errors.New("no callback's sink is a store")
