package api

import (
	"time"

	"auditrelay"
)

// StoredModule is an uploaded module.
type StoredModule struct {
	SHA256  string    `json:"sha256"`
	Name    string    `json:"name"` // the name given in the push
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
	// Check: the relay checks the module like CheckModule and does not store it. The response
	// has Checked, and is no error if a check fails.
	Check bool `query:"check"`
}

// Pushed is the response to a push.
type Pushed struct {
	StoredModule
	Added   bool           `json:"added"` // false if it was already stored
	Checked *ModuleChecked `json:"checked,omitempty"`
}

// Inspection has the properties of a module that are known without running it. Refusals says
// why it would be rejected.
type Inspection struct {
	SHA256      string              `json:"sha256"`
	Size        int                 `json:"size"`
	Name        string              `json:"name,omitempty"`
	Version     string              `json:"version,omitempty"`
	Description string              `json:"description,omitempty"`
	Asks        *Asks               `json:"asks,omitempty"` // nil if it has no manifest
	Imports     []Function          `json:"imports"`
	Exports     []Function          `json:"exports"`
	MemoryMin   auditrelay.ByteSize `json:"memory_min"`
	MemoryMax   auditrelay.ByteSize `json:"memory_max"`
	Start       bool                `json:"start,omitempty"` // has a start function
	Refusals    []string            `json:"refusals,omitempty"`
	Checks      []ModuleCheck       `json:"checks,omitempty"` // the single checks
}

// The states of a ModuleCheck.
const (
	CheckPassed = "passed"
	CheckFailed = "failed"
	CheckNotRun = "not run" // an earlier check failed, or the check does not apply
)

// ModuleCheck is one check of a module, with the reason of its result.
type ModuleCheck struct {
	Check string `json:"check"`
	State string `json:"state"`
	Why   string `json:"why"`
}

// CheckModule requests all checks of a module. If Filter is set, the relay also loads and
// starts the module as that filter, and runs its recorded cases. It stores and switches
// nothing.
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

// ModuleCase is the result of one recorded case. Differs names the differences, such as verdict
// or event; the contents of a case are not shown.
type ModuleCase struct {
	Name    string   `json:"name"`
	OK      bool     `json:"ok"`
	Differs []string `json:"differs,omitempty"`
	Fuel    int64    `json:"fuel"`
	Memory  int64    `json:"memory"` // in bytes
}

// Asks has the requests of a module's manifest.
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
	SHA256    string   `json:"sha256,omitempty"` // digest of the running module; empty if there is none
	// Source is file, uploaded or none.
	Source   string `json:"source"`
	Previous string `json:"previous,omitempty"` // the module that module use --previous returns to
	// Grants are the rights that the configuration gives a module of this filter.
	Grants  Grants  `json:"grants"`
	Breaker Breaker `json:"breaker"`
	// Workers are the processes of the filter's guests, one for each callback.
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
	Callback string `json:"callback,omitempty"` // empty if no callback uses it yet
	PID      int    `json:"pid"`
	Memory   int64  `json:"memory_bytes"` // memory that no other process uses
}

// Breaker is the state of a module's circuit breaker.
type Breaker struct {
	Open     bool             `json:"open"`
	Failures int64            `json:"failures"` // number in a row
	Cause    auditrelay.Cause `json:"cause,omitempty"`
	Until    time.Time        `json:"until,omitzero"`
}

// Use makes a filter run another module. Set exactly one of the first three fields.
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
	// From is the first sequence that the module processes, by callback.
	From map[string]uint64 `json:"from,omitempty"`
}

// KeptText is a text that decides or decided about events, by its digest in receipts and audit
// events: a policy, a must_not_leave, the detectors, a configuration.
type KeptText struct {
	Digest string    `json:"digest"`
	Kind   string    `json:"kind"`
	Name   string    `json:"name"`  // the object with this digest, such as a filter
	Since  time.Time `json:"since"` // when it was first in force
	// Until is when it was last in force. Head is the next sequence at that time.
	Until time.Time `json:"until,omitzero"`
	Head  uint64    `json:"head,omitempty"`
	Text  string    `json:"text"`
}
