package api

import (
	"encoding/json"

	"auditrelay/runtime"
)

// AuditPage answers GET /audit. With a cursor there are no totals.
type AuditPage struct {
	Logs       []json.RawMessage `json:"audit_logs"`
	Total      int64             `json:"total"`
	TotalExact bool              `json:"total_exact"` // false: there are more than Total
	Page       int               `json:"page"`
	PageSize   int               `json:"page_size"`
	TotalPages int64             `json:"total_pages"`
	NextCursor string            `json:"next_cursor"` // empty at the end
}

// Rebuild asks for the store to be filled from the journal.
type Rebuild struct {
	DryRun bool `json:"dry_run,omitempty"`
}

// Rebuilt says what was begun: a replay of the store's callback.
type Rebuilt struct {
	Callback string `json:"callback"`
	runtime.ReplayStarted
}
