package api

import (
	"encoding/json"

	"auditrelay/runtime"
)

// Explained answers GET /v1/events/{id}; Data only where it was asked for.
type Explained struct {
	runtime.Explanation
	Data json.RawMessage `json:"data,omitempty"`
}

// DeadLetter answers for one dead letter, contents included.
type DeadLetter struct {
	runtime.DeadLetter
	Data json.RawMessage `json:"data,omitempty"`
}
