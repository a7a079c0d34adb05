package cli

import (
	"fmt"

	"auditrelay/cli/internal/api"
)

type controlCommands struct {
	List controlList `cmd:"" default:"withargs" help:"List own records from the journal, oldest first (role comply; the default)."`
}

type controlList struct {
	remote
	From uint64 `help:"From this sequence on. Default: the oldest that the journal has." placeholder:"SEQUENCE"`
	Act  string `help:"Only this act, such as detach or discard." placeholder:"ACT"`
	By   string `help:"Only acts of this principal." placeholder:"NAME"`
	JSON bool   `help:"Print JSON, one record a line."`
}

func (c *controlList) Run(a *program) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	rows := [][]string{{"SEQUENCE", "RECEIVED", "BY", "WITH", "ADDRESS", "ACT", "ON", "OUTCOME", "REASON"}}
	for q := (api.ControlQuery{From: c.From, Limit: 1000}); ; {
		some, err := cl.Control(a.ctx, q)
		if err != nil {
			return err
		}
		for _, e := range some.Records {
			r, err := e.OwnRecord()
			if err != nil {
				return err
			}
			if c.Act != "" && c.Act != r.Control.Act || c.By != "" && c.By != r.By {
				continue
			}
			if c.JSON {
				if _, err := fmt.Fprintf(a.stdout, "%s\n", escaped(e.Data)); err != nil {
					return err
				}
				continue
			}
			rows = append(rows, []string{count(e.Sequence), moment(e.Received), r.By, r.Control.With, r.Control.Address,
				r.Control.Act, r.Table + " " + r.Object, r.Control.Outcome, r.Control.Reason})
		}
		if some.Next == 0 {
			break
		}
		q.From = some.Next
	}
	if c.JSON {
		return nil
	}
	return a.table(rows)
}
