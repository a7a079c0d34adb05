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

// Control is the process around the runtime. Its methods are safe for concurrent
// use. An error that is an *api.Error is the answer; any other is logged and
// answered as a failure. by names the caller in own records.
type Control interface {
	// Reload puts the configuration in force as its file stands, all of it or none.
	// Its error is about the configuration and goes to the client.
	Reload(ctx context.Context, by runtime.By) (api.Reloaded, error)
	// Backup copies the journal and the stores to a new directory.
	Backup(ctx context.Context, by runtime.By) (api.BackedUp, error)
	// LookUp returns a value's pseudonyms once the look-up is recorded.
	LookUp(ctx context.Context, want api.LookUp, by runtime.By) (api.LookedUp, error)
	// PolicyText returns what decided about events, by the digest in their receipts: a
	// policy, a callback's must_not_leave, or the detectors. A prefix of at least eight
	// digits is enough.
	PolicyText(digest string) (api.KeptText, error)
	// ConfigText returns a configuration, or a callback's with its filters, without
	// secrets, by the digest in own records, or in receipts. A prefix of at least eight
	// digits is enough.
	ConfigText(digest string) (api.KeptText, error)
	Modules
	// ListSearches, SaveSearch and ForgetSearch keep searches of the store by name. The
	// query is checked before.
	ListSearches() ([]api.SavedSearch, error)
	SaveSearch(ctx context.Context, want api.SaveSearch, by runtime.By) (api.SavedSearch, error)
	ForgetSearch(ctx context.Context, name string, by runtime.By) error
	// RaisedAlerts returns the alerts that are raised now. It never blocks.
	RaisedAlerts() []alerts.Alert
	// CanaryResults returns how the last canary fared by callback, and when it was sent; nil
	// where none has ended, or none is asked for. It never blocks.
	CanaryResults() (results map[string]runtime.CanaryResult, sent time.Time)
	// Try runs events through a running callback's filters, PolicyDiff through two
	// policies. Neither changes anything; both answer with contents of events.
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

// Rollouts are new versions of filters that judge a share of the events.
type Rollouts interface {
	StartRollout(ctx context.Context, want api.StartRollout, by runtime.By) (api.Rollout, error)
	// ListRollouts returns the one that is under way, or the last one; it never blocks.
	ListRollouts() ([]api.Rollout, error)
	// PromoteRollout puts its version in force for all events, RollBack takes it back.
	PromoteRollout(ctx context.Context, filter string, by runtime.By) (api.Rollout, error)
	RollBack(ctx context.Context, filter string, by runtime.By) (api.Rollout, error)
}

// Shadows are trials of other modules and policies on live events, by callback.
type Shadows interface {
	StartShadow(ctx context.Context, want api.StartShadow, by runtime.By) (api.Shadow, error)
	// ListShadows never blocks.
	ListShadows() []api.Shadow
	// UseShadow puts in force what a shadow tries; DropShadow forgets it. Both end it.
	UseShadow(ctx context.Context, callback string, by runtime.By) (api.ShadowUsed, error)
	DropShadow(ctx context.Context, callback string, by runtime.By) error
}

// Modules are the uploaded WebAssembly modules and the filters that run them. A
// digest may be a prefix of at least eight digits.
type Modules interface {
	Push(ctx context.Context, name, filter string, code []byte, by runtime.By) (api.Pushed, error)
	ListModules() ([]api.Module, error)
	InspectModule(digest string) (api.Inspection, error)
	// CheckModule runs all checks of an uploaded module, with a filter's name also as that
	// filter and on its cases; CheckUpload those of one that is not stored. Both change
	// nothing.
	CheckModule(ctx context.Context, digest, filter string) (api.ModuleChecked, error)
	CheckUpload(ctx context.Context, name, filter string, code []byte) (api.ModuleChecked, error)
	// ModuleContent returns a module's bytes with its whole digest.
	ModuleContent(digest string) (sha256 string, code []byte, err error)
	DeleteModule(digest string, by runtime.By) (api.StoredModule, error)

	ListFilters() ([]api.Filter, error)
	// UseModule switches a filter to another module between two events.
	UseModule(ctx context.Context, filter string, want api.Use, by runtime.By) (api.Used, error)
	ResetBreaker(filter string, by runtime.By) error
	// FilterStates returns the state of each guest filter by its name. It never blocks:
	// a scrape does not wait for a compilation.
	FilterStates() map[string]FilterState
}

// FilterState is what the metrics show of a guest filter.
type FilterState struct {
	Open, Loaded bool
	Failures     int64             // in a row
	Counts       map[string]uint64 // by the guest's own metrics
	Locks        *wasm.Locks       // nil: its guests run in the relay's process
	Workers      int
	Lost         uint64 // workers that ended, or had to be ended, with events
}

// Stores are what the audit API reads.
type Stores interface {
	// Serving returns the store that is searched, or ErrNoStore.
	Serving() (Store, error)
}

// Store is a callback whose sink can be searched.
type Store interface {
	Callback() string
	// Read returns the store, open for reading. It stays its owner's to close.
	Read(ctx context.Context) (*auditstore.Store, error)
}

// ErrNoStore: no callback's sink is a store.
var ErrNoStore = errors.New("no callback's sink is a store")
