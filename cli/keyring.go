package cli

import (
	"auditrelay/cli/internal/api"
	"fmt"
)

type keyringCommands struct {
	List    keyringList    `cmd:"" help:"List the encryption periods (role admin)."`
	Destroy keyringDestroy `cmd:"" help:"Destroy a period's key, so that its events can never be read again (role admin)."`
}

type keyringList struct {
	remote
	JSON bool `help:"Print JSON."`
}

func (c *keyringList) Run(a *program) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	periods, err := cl.Keyring(a.ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(periods)
	}
	if len(periods) == 0 {
		_, err := fmt.Fprintln(a.stderr, "nothing is encrypted: the journal has no keyring")
		return err
	}
	rows := [][]string{{"PERIOD", "STATE", "BEGAN", "UNTIL", "SEQUENCES", "EVENTS", "DESTROYED"}}
	for _, p := range periods {
		rows = append(rows, []string{count(p.Number), p.State, moment(p.Began), moment(p.Until), sequencesOf(p), count(p.To - p.From), moment(p.Destroyed)})
	}
	return a.table(rows)
}

func sequencesOf(p api.Period) string {
	if p.From == p.To {
		return ""
	}
	return fmt.Sprintf("%d-%d", p.From, p.To-1)
}

type keyringDestroy struct {
	remote
	why
	Period          uint64 `arg:"" help:"The period's number, from keyring list."`
	WithDeadLetters bool   `help:"Discard the period's dead letters first."`
	Yes             bool   `help:"Confirm; this cannot be undone."`
	JSON            bool   `help:"Print JSON."`
}

func (c *keyringDestroy) Run(a *program) error {
	if !c.Yes {
		return usage("the events of period %d could never be read again, here or in a copy made from then on; say --yes if that is meant", c.Period)
	}
	if err := c.required("a key is destroyed"); err != nil {
		return err
	}
	cl, err := c.client()
	if err != nil {
		return err
	}
	q := api.DestroyQuery{Reason: c.Reason}
	if c.WithDeadLetters {
		q.DeadLetters = api.DiscardFirst
	}
	gone, err := cl.DestroyPeriod(a.ctx, c.Period, q)
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(gone)
	}
	_, err = fmt.Fprintf(a.stdout, "period %d is destroyed; its %d stored events can never be read again\n", gone.Number, gone.To-gone.From)
	return err
}
