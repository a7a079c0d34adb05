package cli

import (
	"fmt"

	"auditrelay/cli/internal/app"
)

type configCommands struct {
	Translate translateCommand `cmd:"" help:"Print LiteLLM's configuration in auditrelay's own format, with what was chosen and why."`
}

type translateCommand struct {
	File string `arg:"" help:"LiteLLM's configuration." type:"path"`
}

func (c *translateCommand) Run(a *program) error {
	if err := readable(c.File); err != nil {
		return err
	}
	native, notes, err := app.Translate(c.File, makers(a.sinks))
	if err != nil {
		return err
	}
	a.printNotes(c.File, notes)
	_, err = fmt.Fprintf(a.stdout, "%s", native)
	return err
}
