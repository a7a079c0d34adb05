package daemon

import (
	"fmt"
	"os"
	"path/filepath"

	"auditrelay/internal/journal"
)

// Restore makes the data directory dir from a backup. What is restored is a new
// incarnation, so that nothing it delivers takes the place of what was delivered
// before.
func Restore(backup, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	return journal.Restore(backup, filepath.Join(dir, "journal"), journal.Options{})
}
