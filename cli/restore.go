package cli

import (
	"errors"
	"fmt"

	"auditrelay/cli/internal/app"
	"auditrelay/runtime"
)

type restoreCommand struct {
	Reason  string `help:"Why, in your words; the relay's own record contains it." placeholder:"TEXT"`
	Backup  string `arg:"" help:"The backup's directory." type:"existingdir"`
	DataDir string `arg:"" help:"The data directory to create; it must be missing or empty." type:"path"`
}

func (c *restoreCommand) Run(a *program) error {
	var stores []string
	err := runtime.Restore(c.Backup, c.DataDir, commandLine(c.Reason), func(dir string) (err error) {
		stores, err = app.RestoreStores(c.Backup, dir)
		return err
	})
	if errors.Is(err, runtime.ErrUnverified) {
		fmt.Fprintln(a.stderr, "warning:", err)
	} else if err != nil {
		return err
	}
	for _, name := range stores {
		fmt.Fprintf(a.stderr, "the store of callback %s is restored to where a data directory has it; move it where the configuration gives it a path of its own\n", name)
	}
	_, err = fmt.Fprintf(a.stdout, "restored to %s, as a new incarnation: its deliveries never overwrite earlier ones\n", c.DataDir)
	return err
}

type backupCommands struct {
	Make   backupCommand `cmd:"" default:"withargs" help:"Back up a running relay's journal and store, on its machine (the default)."`
	Verify backupVerify  `cmd:"" help:"Check every file of a backup against its digest."`
}

type backupVerify struct {
	Backup string `arg:"" help:"The backup's directory." type:"existingdir"`
}

func (c *backupVerify) Run(a *program) error {
	if err := runtime.VerifyBackup(c.Backup); err != nil {
		return err
	}
	_, err := fmt.Fprintf(a.stdout, "%s is whole\n", c.Backup)
	return err
}
