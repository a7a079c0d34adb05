package api

import (
	"time"

	"auditrelay/cli/internal/sources/postgres"
)

// Reconcile asks for a comparison of the table that is tailed with the journal, over the
// events' own time, To not included.
type Reconcile struct {
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	Repair bool      `json:"repair,omitempty"` // have what the journal lacks accepted; role admin
}

// ReconcileLine is one line of the answer: a difference, or, as the last one, what came
// of it all. A line with Error instead says that it broke off.
type ReconcileLine struct {
	Difference *postgres.Difference `json:"difference,omitempty"`
	Done       *postgres.Reconciled `json:"done,omitempty"`
	Error      *Error               `json:"error,omitempty"`
}
