package api

import (
	"time"

	"auditrelay/cli/internal/sources/postgres"
	"auditrelay/runtime"
)

// QuarantineItem answers for one item, contents included.
type QuarantineItem struct {
	runtime.QuarantineItem
	Data []byte `json:"data"` // base64, since it may be anything
}

// QuarantineChange names items: some by number, or all, of a reason or source, above
// After. All has to be said, so that an empty request does not delete everything.
type QuarantineChange struct {
	Numbers []uint64 `json:"numbers,omitempty"`
	All     bool     `json:"all,omitempty"`
	Reason  string   `json:"reason,omitempty"`
	Source  string   `json:"source,omitempty"`
	After   uint64   `json:"after,omitempty"`
}

// QuarantineChanged says what a QuarantineChange did.
type QuarantineChanged struct {
	Changed int                `json:"changed"`          // items
	Events  int                `json:"events,omitempty"` // that came of a replay
	Failed  []QuarantineFailed `json:"failed,omitempty"` // that are still there
	Next    uint64             `json:"next,omitempty"`   // After of the next request, 0: that was all
}

// QuarantineFailed is an item that was not changed.
type QuarantineFailed struct {
	Number uint64 `json:"number"`
	Error  *Error `json:"error"`
}

// Source is a way in that events are awaited from.
type Source struct {
	Name     string    `json:"name"`
	Kind     string    `json:"kind"`
	Since    time.Time `json:"since"`  // what follows counts from then
	Events   uint64    `json:"events"` // that came, whatever became of them
	LastSeen time.Time `json:"last_seen,omitzero"`
	Silent   bool      `json:"silent,omitempty"` // none came
	Causes   []string  `json:"causes,omitempty"` // why that may be, the likely ones first
	// Tail is how a source stands that reads a table.
	Tail *postgres.Status `json:"tail,omitempty"`
}
