package cli

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"

	"auditrelay/cli/internal/api"
)

type pseudonymCommand struct {
	remote
	ValueFile string `help:"File with the value; - for standard input. One line feed at its end does not count. The value is not an argument, since those show in process lists and shell histories." required:"" placeholder:"FILE"`
	Callback  string `help:"Only of this callback." placeholder:"NAME"`
	Key       string `help:"Only with this key." placeholder:"NAME"`
	Field     string `help:"The name of the key that the value stands under, for policies that separate pseudonyms by callback and field." placeholder:"NAME"`
	JSON      bool   `help:"Print JSON."`
}

// maxValue limits a value, so that the relay accepts a request with it.
const maxValue = 128 << 10

func (c *pseudonymCommand) Run(a *program) error {
	value, err := c.value(a)
	if err != nil {
		return err
	}
	cl, err := c.client()
	if err != nil {
		return err
	}
	found, err := cl.LookUp(a.ctx, api.LookUp{Value: value, Callback: c.Callback, Key: c.Key, Field: c.Field})
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(found)
	}
	rows := [][]string{{"CALLBACK", "FILTER", "KEY", "VERSION", "FIELD", "PSEUDONYM"}}
	for _, p := range found.Pseudonyms {
		rows = append(rows, pseudonymRow(p))
	}
	return a.table(rows)
}

func pseudonymRow(p api.Pseudonym) []string {
	callback, version, pseudonym := p.Callback, strconv.Itoa(p.Version), p.Pseudonym
	if callback == "" {
		callback = "(all)" // the filter runs before the journal
	}
	if p.Current {
		version += " (current)"
	}
	field := "(all)" // shared by all fields, or created before the policy separated them
	if p.Separate {
		field = cmp.Or(p.Field, "(each)")
	}
	if p.Separate && p.Pseudonym == "" {
		pseudonym = "(give --field)"
	}
	if p.Destroyed {
		pseudonym = "(destroyed)"
	}
	return []string{callback, p.Filter, p.Key, version, field, pseudonym}
}

func (c *pseudonymCommand) value(a *program) (string, error) {
	in := a.stdin
	if c.ValueFile != "-" {
		f, err := os.Open(c.ValueFile)
		if err != nil {
			return "", fmt.Errorf("read the value: %w", err)
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, maxValue+1))
	if err != nil {
		return "", fmt.Errorf("read the value: %w", err)
	}
	value := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	switch {
	case len(data) > maxValue:
		return "", usage("the value is larger than %d KiB", maxValue>>10)
	case value == "":
		return "", usage("the value is empty: the empty value has no pseudonym")
	case !utf8.ValidString(value):
		return "", usage("the value is not UTF-8")
	}
	return value, nil
}
