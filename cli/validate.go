package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"auditrelay/cli/internal/app"
	"auditrelay/config"
)

type validateCommand struct {
	configFile
	Online  bool          `help:"Also check every sink's destination."`
	Timeout time.Duration `help:"Time limit for each destination." default:"30s"`
	JSON    bool          `help:"Print JSON."`
}

// errProbes says that a destination did not answer as it should.
var errProbes = errors.New("a sink's destination could not be used")

func (c *validateCommand) Run(a *program) error {
	file, err := c.file()
	if err != nil {
		return err
	}
	done, err := app.Check(a.ctx, file, app.CheckOptions{
		Sinks: makers(a.sinks), Compiler: compiler(), Online: c.Online, Timeout: c.Timeout,
	})
	if err != nil {
		return err
	}
	failed := false
	for _, p := range done.Probes {
		failed = failed || p.Result == app.ProbeFailed
	}
	if c.JSON {
		err = c.printJSON(a, file, done)
	} else {
		err = c.print(a, file, done)
	}
	if err == nil && failed {
		err = errProbes
	}
	return err
}

func (c *validateCommand) printJSON(a *program, file string, done app.Checked) error {
	type note struct {
		Line  int        `json:"line,omitempty"`
		Level slog.Level `json:"level"`
		Text  string     `json:"text"`
	}
	out := struct {
		Config    string      `json:"config"`
		Callbacks int         `json:"callbacks"`
		Filters   int         `json:"filters"`
		Notes     []note      `json:"notes"`
		Probes    []app.Probe `json:"probes,omitempty"`
	}{file, len(done.Config.Callbacks), len(done.Config.Filters), []note{}, done.Probes}
	for _, n := range done.Config.Notes {
		out.Notes = append(out.Notes, note{n.Line, n.Level, n.Text})
	}
	return a.printJSON(out)
}

func (c *validateCommand) print(a *program, file string, done app.Checked) error {
	a.printNotes(file, done.Config.Notes)
	if len(done.Probes) > 0 {
		rows := [][]string{{"CALLBACK", "SINK", "RESULT", "REASON"}}
		for _, p := range done.Probes {
			rows = append(rows, []string{p.Callback, p.Sink, p.Result, p.Reason})
		}
		if err := a.table(rows); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(a.stdout, "%s is valid: %d callbacks, %d filters\n", file, len(done.Config.Callbacks), len(done.Config.Filters))
	return err
}

// printNotes tells what an operator should know of a configuration.
func (a *program) printNotes(file string, notes []config.Note) {
	for _, n := range notes {
		word := "note"
		if n.Level >= slog.LevelWarn {
			word = "warning"
		}
		fmt.Fprintf(a.stderr, "%s:%d: %s: %s\n", file, n.Line, word, n.Text)
	}
}
