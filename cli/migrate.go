package cli

import (
	"fmt"

	"auditrelay/runtime"
)

type migrateCommand struct {
	DataDir string `arg:"" help:"The data directory; the relay must be stopped." type:"existingdir"`
}

func (c *migrateCommand) Run(a *program) error {
	if err := runtime.Migrate(c.DataDir); err != nil {
		return err
	}
	_, err := fmt.Fprintf(a.stdout, "%s has the format of this program\n", c.DataDir)
	return err
}
