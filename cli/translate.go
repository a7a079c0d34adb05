package cli

import (
	"fmt"

	"auditrelay/cli/internal/app"
)

type configCommands struct {
	Translate translateCommand `cmd:"" help:"Print a LiteLLM configuration in auditrelay's format, and explain the choices."`
}

type translateCommand struct {
	File string `arg:"" help:"The LiteLLM configuration." type:"path"`
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
