package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"auditrelay"
	"auditrelay/cli/internal/client"
)

// remote are the flags of commands that call a relay. A token is never an
// argument: those stand in process lists and shell histories.
type remote struct {
	Server    string `help:"Where the relay is." env:"AUDITRELAY_SERVER" default:"${server}" placeholder:"URL"`
	TokenFile string `help:"File that holds the bearer token. Without it the variable AUDITRELAY_TOKEN is used." placeholder:"FILE"`
	CA        string `help:"File of PEM certificates to trust in place of the system's." placeholder:"FILE"`
}

func (r *remote) client() (*client.Client, error) {
	token := os.Getenv("AUDITRELAY_TOKEN")
	if r.TokenFile != "" {
		data, err := os.ReadFile(r.TokenFile)
		if err != nil {
			return nil, fmt.Errorf("read the token: %w", err)
		}
		token = string(bytes.TrimSpace(data))
		if token == "" {
			return nil, usage("the token file %s is empty", r.TokenFile)
		}
	}
	c, err := client.New(client.Options{Server: r.Server, Token: auditrelay.Secret(token), CAFile: r.CA})
	if err != nil {
		return nil, usageError{err}
	}
	return c, nil
}

func (a *program) printJSON(v any) error {
	e := json.NewEncoder(a.stdout)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// table writes rows in columns.
func (a *program) table(rows [][]string) error {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			if i > 0 {
				fmt.Fprint(w, "\t")
			}
			fmt.Fprint(w, printable(cell))
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}

// printable keeps what came from outside from steering the terminal.
func printable(s string) string {
	clean := true
	for _, c := range s {
		clean = clean && c >= ' ' && c != 0x7f && (c < 0x80 || c > 0x9f)
	}
	if clean {
		return s
	}
	quoted, err := json.Marshal(s)
	if err != nil {
		return "?"
	}
	return string(quoted)
}

// terminal reports whether w is one.
func terminal(w any) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// moment writes a time for people, empty for none.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}
