package api

import "auditrelay/runtime"

// Rebuild asks for the store to be filled from the journal.
type Rebuild struct {
	DryRun bool `json:"dry_run,omitempty"`
}

// Rebuilt says what was begun: a replay of the store's callback.
type Rebuilt struct {
	Callback string `json:"callback"`
	runtime.ReplayStarted
}
