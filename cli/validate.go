package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"auditrelay/cli/internal/app"
	"auditrelay/config"
)

type validateCommand struct {
	configFile
	Online  bool          `help:"Also check every sink's destination, and the server that keeps the journal."`
	Timeout time.Duration `help:"Time limit for each destination." default:"30s"`
	JSON    bool          `help:"Print JSON."`
}

// errProbes reports that a destination did not answer as required.
var errProbes = errors.New("a destination could not be used")

func (c *validateCommand) Run(a *program) error {
	files, err := c.files()
	var done app.Checked
	if err == nil {
		done, err = app.Check(a.ctx, files, app.CheckOptions{
			Sinks: makers(a.sinks), Compiler: compiler(), Worker: guestWorker(), Online: c.Online, Timeout: c.Timeout,
		})
	}
	if err == nil && slices.ContainsFunc(done.Probes, func(p app.Probe) bool { return p.Result == app.ProbeFailed }) {
		err = errProbes
	}
	file := strings.Join(files, ", ")
	switch {
	case c.JSON:
		return errors.Join(c.printJSON(a, file, done, err), err)
	case err != nil && !errors.Is(err, errProbes):
		return err
	}
	return errors.Join(c.print(a, file, done), err)
}

// fault is one fault in the form of --json.
type fault struct {
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Key     string `json:"key,omitempty"`
	Message string `json:"message"`
}

func faults(err error) []fault {
	var all []fault
	if many, ok := errors.AsType[config.Errors](err); ok {
		for _, e := range many {
			all = append(all, fault{e.File, e.Line, e.Column, e.Key, e.Msg})
		}
		return all
	}
	if e, ok := errors.AsType[*config.Error](err); ok {
		return []fault{{e.File, e.Line, e.Column, e.Key, e.Msg}}
	}
	return []fault{{Message: err.Error()}}
}

func (c *validateCommand) printJSON(a *program, file string, done app.Checked, failed error) error {
	type note struct {
		File  string     `json:"file"`
		Line  int        `json:"line,omitempty"`
		Level slog.Level `json:"level"`
		Text  string     `json:"text"`
	}
	out := struct {
		Config    string      `json:"config"`
		Valid     bool        `json:"valid"`
		Errors    []fault     `json:"errors,omitempty"`
		Callbacks int         `json:"callbacks"`
		Filters   int         `json:"filters"`
		Notes     []note      `json:"notes"`
		Probes    []app.Probe `json:"probes,omitempty"`
	}{Config: file, Valid: failed == nil || errors.Is(failed, errProbes), Notes: []note{}, Probes: done.Probes}
	if failed != nil {
		out.Errors = faults(failed)
	}
	if done.Config != nil {
		out.Callbacks, out.Filters = len(done.Config.Callbacks), len(done.Config.Filters)
		for _, n := range done.Config.Notes {
			out.Notes = append(out.Notes, note{n.File, n.Line, n.Level, n.Text})
		}
	}
	return a.printJSON(out)
}

func (c *validateCommand) print(a *program, file string, done app.Checked) error {
	a.printNotes(done.Config.Notes)
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

// printNotes prints the notes on a configuration for operators.
func (a *program) printNotes(notes []config.Note) {
	for _, n := range notes {
		word := "note"
		if n.Level >= slog.LevelWarn {
			word = "warning"
		}
		at := n.File
		if n.Line > 0 {
			at = fmt.Sprintf("%s:%d", n.File, n.Line)
		}
		fmt.Fprintf(a.stderr, "%s: %s: %s\n", at, word, n.Text)
	}
}
