package api

import (
	"time"

	"auditrelay"
)

// StoredModule is an uploaded module.
type StoredModule struct {
	SHA256  string    `json:"sha256"`
	Name    string    `json:"name"` // as it was pushed
	Size    int64     `json:"size"`
	Pushed  time.Time `json:"pushed"`
	By      string    `json:"by"`
	Version string    `json:"version,omitempty"` // its manifest's
}

// Module is an uploaded module and what uses it.
type Module struct {
	StoredModule
	Filters []string `json:"filters,omitempty"` // that run it
}

// PushQuery stands beside a module that is pushed. With a filter named it must load as
// that one too.
type PushQuery struct {
	Name   string `query:"name"`
	Filter string `query:"filter"`
}

// Pushed answers a push.
type Pushed struct {
	StoredModule
	Added bool `json:"added"` // false: it was kept already
}

// Inspection is what can be told of a module without running it.
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

// Function is something that a module imports or exports.
type Function struct {
	Name  string `json:"name"`
	Type  string `json:"type"`
	Needs string `json:"needs,omitempty"` // what must be granted for it
}

// Filter is a guest filter as it runs.
type Filter struct {
	Name      string   `json:"name"`
	Callbacks []string `json:"callbacks"`
	SHA256    string   `json:"sha256,omitempty"` // of the module that runs; empty: none
	// Source is file, uploaded or none.
	Source   string  `json:"source"`
	Previous string  `json:"previous,omitempty"` // what module use --previous goes back to
	Breaker  Breaker `json:"breaker"`
}

// Breaker is the state of a module's circuit breaker.
type Breaker struct {
	Open     bool             `json:"open"`
	Failures int64            `json:"failures"` // in a row
	Cause    auditrelay.Cause `json:"cause,omitempty"`
	Until    time.Time        `json:"until,omitzero"`
}

// Use asks for another module for a filter: one of the three.
type Use struct {
	SHA256     string `json:"sha256,omitempty"`     // or a prefix of it, of at least 8 digits
	Previous   bool   `json:"previous,omitempty"`   // the one before
	Configured bool   `json:"configured,omitempty"` // the configuration's own
}

// Used says what runs now.
type Used struct {
	Filter   string `json:"filter"`
	SHA256   string `json:"sha256"`
	Previous string `json:"previous,omitempty"`
	Changed  bool   `json:"changed"`
}
