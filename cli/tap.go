package cli

import (
	"encoding/json"
	"fmt"

	"auditrelay/cli/internal/api"
)

type tapCommand struct {
	remote
	Stage    string `help:"Only at this stage: ${enum}." enum:"accepted,filtered,delivered," default:"" placeholder:"STAGE"`
	Callback string `help:"Only on this callback." placeholder:"NAME"`
	Action   string `help:"Only with this action." placeholder:"ACTION"`
	Table    string `help:"Only of this table_name." placeholder:"NAME"`
	ID       string `help:"Only the event with this id." placeholder:"ID"`
	JSON     bool   `help:"Print one JSON object a line."`
}

func (c *tapCommand) Run(a *program) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	query := api.TapQuery{Stage: c.Stage, Callback: c.Callback, Action: c.Action, Table: c.Table, ID: c.ID}
	encoder := json.NewEncoder(a.stdout)
	encoder.SetEscapeHTML(false)
	return cl.Tap(a.ctx, query, func(l *api.TapLine) error {
		if l.Lost > 0 {
			fmt.Fprintf(a.stderr, "%d lines were lost: this reads too slowly\n", l.Lost)
		}
		if l.Stage == "" {
			return nil
		}
		if c.JSON {
			return encoder.Encode(l)
		}
		_, err := fmt.Fprintln(a.stdout, tapText(l))
		return err
	})
}

// tapText formats a line for people.
func tapText(l *api.TapLine) string {
	where := l.Stage
	if l.Callback != "" {
		where += " " + printable(l.Callback)
	}
	if l.Payload != 0 {
		text := fmt.Sprintf("%s %s payload %d, %d records", moment(l.At), where, l.Payload, l.Records)
		if l.Error != "" {
			text += ": " + printable(l.Error)
		}
		return text
	}
	text := fmt.Sprintf("%s %s %d %s %s", moment(l.At), where, l.Sequence, printable(l.ID), printable(l.Action))
	if l.Callback != "" {
		text += " " + l.Outcome.String()
	}
	for _, part := range []string{string(l.Cause), l.Filter, string(l.Data)} {
		if part != "" {
			text += " " + printable(part)
		}
	}
	return text
}
