package cli

import (
	"encoding/json"
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

// ownRecord is what the list shows of an own record.
type ownRecord struct {
	ChangedBy string          `json:"changed_by"`
	Action    string          `json:"action"`
	Table     string          `json:"table_name"`
	Object    string          `json:"object_id"`
	Before    json.RawMessage `json:"before_value"`
	After     json.RawMessage `json:"updated_values"`
	Control   struct {
		Act     string `json:"act"`
		Outcome string `json:"outcome"`
		Reason  string `json:"reason"`
		Address string `json:"address"`
		With    string `json:"with"`
	} `json:"control"`
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
			var r ownRecord
			if err := json.Unmarshal(e.Data, &r); err != nil {
				return fmt.Errorf("own record %d: %w", e.Sequence, err)
			}
			act := r.Control.Act
			if act == "" {
				act = r.Action // of an earlier version
			}
			if c.Act != "" && c.Act != act || c.By != "" && c.By != r.ChangedBy {
				continue
			}
			if c.JSON {
				if _, err := fmt.Fprintf(a.stdout, "%s\n", escaped(e.Data)); err != nil {
					return err
				}
				continue
			}
			rows = append(rows, []string{count(e.Sequence), moment(e.Received), r.ChangedBy, r.Control.With, r.Control.Address,
				act, r.Table + " " + r.Object, r.Control.Outcome, r.Control.Reason})
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
