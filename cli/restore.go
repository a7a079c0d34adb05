package cli

import (
	"errors"
	"fmt"
	"os"

	"auditrelay/cli/internal/app"
	"auditrelay/runtime"
)

type restoreCommand struct {
	Backup  string `arg:"" help:"The backup's directory." type:"existingdir"`
	DataDir string `arg:"" help:"The data directory to create; it must be missing or empty." type:"path"`
}

func (c *restoreCommand) Run(a *program) error {
	entries, err := os.ReadDir(c.DataDir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("restore: %s is not empty; nothing is ever restored over a data directory", c.DataDir)
	}
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return err
	}
	if err := runtime.Restore(c.Backup, c.DataDir); err != nil {
		return err
	}
	stores, err := app.RestoreStores(c.Backup, c.DataDir)
	if err != nil {
		return err
	}
	for _, name := range stores {
		fmt.Fprintf(a.stderr, "the store of callback %s is restored to where a data directory has it; move it where the configuration gives it a path of its own\n", name)
	}
	_, err = fmt.Fprintf(a.stdout, "restored to %s, as a new incarnation: what it delivers never takes the place of what was delivered before\n", c.DataDir)
	return err
}
