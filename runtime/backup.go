package runtime

import (
	"context"

	"auditrelay/runtime/internal/journal"
)

// Backup copies the journal, as it is at one moment, to a directory that must
// not be there yet. Events go on being accepted.
func (r *Runtime) Backup(_ context.Context, dir string) error {
	return journal.Backup(r.journal, dir)
}

// Migrate brings a data directory that no runtime has open to the format of this
// program. Where it has it already nothing changes.
func Migrate(dataDir string) error {
	return journal.Migrate(journalDir(dataDir), journal.Options{})
}

// Restore makes a data directory from a backup. The journal there gets a new
// incarnation, so that what it numbers from now on is never taken for what the
// original numbered.
func Restore(backup, dataDir string) error {
	return journal.Restore(backup, journalDir(dataDir), journal.Options{})
}
