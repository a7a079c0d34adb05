package journal_test

import (
	"testing"

	"auditrelay/runtime/internal/journal"
	"auditrelay/runtime/internal/journal/journaltest"
)

// TestContract runs the contract on the embedded store.
func TestContract(t *testing.T) {
	journaltest.Run(t, func(t *testing.T) journaltest.Place {
		dir := t.TempDir()
		return func(o journal.Options) (*journal.Journal, error) { return journal.Open(dir, o) }
	})
}
