package api

import (
	"time"

	"auditrelay"
)

// StoredModule is an uploaded module.
type StoredModule struct {
	SHA256  string    `json:"sha256"`
	Name    string    `json:"name"` // as given by the push
	Size    int64     `json:"size"`
	Pushed  time.Time `json:"pushed"`
	By      string    `json:"by"`                // the user
	Version string    `json:"version,omitempty"` // from the module's manifest
}

// Module is an uploaded module with the filters that run it.
type Module struct {
	StoredModule
	Filters []string `json:"filters,omitempty"`
}

// PushQuery goes with a pushed module. If Filter is set, the module must also load as
// that filter.
type PushQuery struct {
	Name   string `query:"name"`
	Filter string `query:"filter"`
	Reason string `query:"reason"` // in the user's words
	// Check: the module is checked as CheckModule does, and not stored; the answer has
	// Checked, and is no error if a check fails.
	Check bool `query:"check"`
}

// Pushed answers a push.
type Pushed struct {
	StoredModule
	Added   bool           `json:"added"` // false: it was stored already
	Checked *ModuleChecked `json:"checked,omitempty"`
}

// Inspection is what a module shows without running it. Refusals says why it would be
// rejected.
type Inspection struct {
	SHA256      string              `json:"sha256"`
	Size        int                 `json:"size"`
	Name        string              `json:"name,omitempty"`
	Version     string              `json:"version,omitempty"`
	Description string              `json:"description,omitempty"`
	Asks        *Asks               `json:"asks,omitempty"` // nil: it has no manifest
	Imports     []Function          `json:"imports"`
	Exports     []Function          `json:"exports"`
	MemoryMin   auditrelay.ByteSize `json:"memory_min"`
	MemoryMax   auditrelay.ByteSize `json:"memory_max"`
	Start       bool                `json:"start,omitempty"` // has a start function
	Refusals    []string            `json:"refusals,omitempty"`
	Checks      []ModuleCheck       `json:"checks,omitempty"` // one by one
}

// The states of a ModuleCheck.
const (
	CheckPassed = "passed"
	CheckFailed = "failed"
	CheckNotRun = "not run" // an earlier check failed, or it does not apply
)

// ModuleCheck is one check of a module, with the reason of its result.
type ModuleCheck struct {
	Check string `json:"check"`
	State string `json:"state"`
	Why   string `json:"why"`
}

// CheckModule asks for all checks of a module. If Filter is set, the module is also loaded
// and started as that filter, and run on its recorded cases. Nothing is stored or switched.
type CheckModule struct {
	Filter string `json:"filter,omitempty"`
}

// ModuleChecked is the result of all checks.
type ModuleChecked struct {
	SHA256 string        `json:"sha256"`
	Filter string        `json:"filter,omitempty"`
	OK     bool          `json:"ok"`
	Checks []ModuleCheck `json:"checks"`
	Cases  []ModuleCase  `json:"cases,omitempty"`
}

// ModuleCase is the result of one recorded case. Differs names the differences,
// such as verdict or event; the contents of a case are not shown.
type ModuleCase struct {
	Name    string   `json:"name"`
	OK      bool     `json:"ok"`
	Differs []string `json:"differs,omitempty"`
	Fuel    int64    `json:"fuel"`
	Memory  int64    `json:"memory"` // bytes
}

// Asks is what a module's manifest asks for.
type Asks struct {
	Reads    []string `json:"reads,omitempty"`
	Writes   []string `json:"writes,omitempty"`
	Emits    bool     `json:"emits,omitempty"`
	Keys     []string `json:"keys,omitempty"`
	Metrics  []string `json:"metrics,omitempty"`
	Optional []string `json:"optional,omitempty"`
}

// Function is an imported or exported function.
type Function struct {
	Name  string `json:"name"`
	Type  string `json:"type"`
	Needs string `json:"needs,omitempty"` // the grant that it requires
}

// Filter is a running guest filter.
type Filter struct {
	Name      string   `json:"name"`
	Callbacks []string `json:"callbacks"`
	SHA256    string   `json:"sha256,omitempty"` // of the running module; empty: none
	// Source is file, uploaded or none.
	Source   string `json:"source"`
	Previous string `json:"previous,omitempty"` // the module that module use --previous returns to
	// Grants are what the configuration allows a module of this filter.
	Grants  Grants  `json:"grants"`
	Breaker Breaker `json:"breaker"`
	// Workers are the processes that run the filter's guests, one for each callback.
	Workers []GuestWorker `json:"workers,omitempty"`
}

// Grants are the rights of a filter's module.
type Grants struct {
	Emit    []string `json:"emit,omitempty"` // callbacks
	Write   []string `json:"write,omitempty"`
	Keys    []string `json:"keys,omitempty"`
	Metrics []string `json:"metrics,omitempty"`
}

// GuestWorker is a process that runs guests.
type GuestWorker struct {
	Callback string `json:"callback,omitempty"` // empty: none uses it yet
	PID      int    `json:"pid"`
	Memory   int64  `json:"memory_bytes"` // that nobody else has
}

// Breaker is the state of a module's circuit breaker.
type Breaker struct {
	Open     bool             `json:"open"`
	Failures int64            `json:"failures"` // in a row
	Cause    auditrelay.Cause `json:"cause,omitempty"`
	Until    time.Time        `json:"until,omitzero"`
}

// Use asks a filter to run another module. Set exactly one of the first three fields.
type Use struct {
	SHA256     string `json:"sha256,omitempty"`     // the digest, or a prefix of at least 8 digits
	Previous   bool   `json:"previous,omitempty"`   // the previous module
	Configured bool   `json:"configured,omitempty"` // the configured module
	Reason     string `json:"reason,omitempty"`     // in the user's words
}

// Used is the module that runs now.
type Used struct {
	Filter   string `json:"filter"`
	SHA256   string `json:"sha256"`
	Previous string `json:"previous,omitempty"`
	Changed  bool   `json:"changed"`
	// From is the first sequence that the module sees, by callback.
	From map[string]uint64 `json:"from,omitempty"`
}

// KeptText is the text of what decides or decided about events, by the digest that
// receipts and audit events name: a policy, a must_not_leave, the detectors, a
// configuration.
type KeptText struct {
	Digest string    `json:"digest"`
	Kind   string    `json:"kind"`
	Name   string    `json:"name"`  // what had this digest, such as a filter
	Since  time.Time `json:"since"` // the first time that it was in force
	// Until is when it was last in force. Head is the sequence that came next then.
	Until time.Time `json:"until,omitzero"`
	Head  uint64    `json:"head,omitempty"`
	Text  string    `json:"text"`
}
