package cli

import (
	"fmt"
	"os"
	"path/filepath"

	"auditrelay/cli/internal/app"
)

type configCommands struct {
	Show      showCommand      `cmd:"" help:"Print a configuration as the relay understands it: all files together, defaults named, secrets hidden; or by a digest from a receipt what was in force (asks the running relay, role comply)."`
	Translate translateCommand `cmd:"" help:"Print a LiteLLM configuration in auditrelay's format, and explain the choices."`
}

type showCommand struct {
	configFile
	remote
	Defaults bool `help:"Also print keys that are not given, commented out, with their defaults." default:"true" negatable:""`
}

func (c *showCommand) Run(a *program) error {
	if len(c.Path) == 1 {
		if digest := filepath.Base(c.Path[0]); policyDigest.MatchString(digest) {
			if _, err := os.Stat(c.Path[0]); err != nil {
				return c.showKept(a, digest)
			}
		}
	}
	files, err := c.files()
	if err != nil {
		return err
	}
	text, notes, err := app.Show(files, makers(a.sinks), c.Defaults)
	if err != nil {
		return err
	}
	a.printNotes(notes)
	_, err = fmt.Fprintf(a.stdout, "%s", text)
	return err
}

// showKept prints what the running relay stores under a digest.
func (c *showCommand) showKept(a *program, digest string) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	t, err := cl.Config(a.ctx, digest)
	if err != nil {
		return err
	}
	return a.printKept(&t, "")
}

type translateCommand struct {
	File string `arg:"" help:"The LiteLLM configuration." type:"path"`
}

func (c *translateCommand) Run(a *program) error {
	if _, err := readable([]string{c.File}); err != nil {
		return err
	}
	native, notes, err := app.Translate(c.File, makers(a.sinks))
	if err != nil {
		return err
	}
	a.printNotes(notes)
	_, err = fmt.Fprintf(a.stdout, "%s", native)
	return err
}
