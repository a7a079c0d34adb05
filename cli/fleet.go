package cli

import (
	"fmt"
	"strings"
	"time"

	"auditrelay/cli/internal/api"
)

type fleetCommands struct {
	List    fleetList    `cmd:"" default:"withargs" help:"Show the relays of the fleet, and which one leads (the default)."`
	Drain   fleetDrain   `cmd:"" help:"Move the lead away from a relay, before you stop it."`
	Undrain fleetUndrain `cmd:"" help:"Let a drained relay lead again."`
}

type fleetList struct {
	remote
	JSON bool `help:"Print JSON."`
}

func (c *fleetList) Run(a *program) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	f, err := cl.Fleet(a.ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(f)
	}
	return a.printFleet(f)
}

func (a *program) printFleet(f api.Fleet) error {
	rows := [][]string{{"RELAY", "STATE", "ADDRESS", "VERSION", "CONFIGURATION", "SEEN", "FAILURE"}}
	for _, r := range f.Relays {
		rows = append(rows, []string{r.Name, r.State, r.Address, r.Version, r.Digest, r.Seen.Round(100*time.Millisecond).String() + " ago", shortened(r.Failure)})
	}
	if err := a.table(rows); err != nil {
		return err
	}
	var notes []string
	if f.Leader == "" {
		notes = append(notes, "no relay leads: events get 503 until one does")
	}
	if !f.Agree {
		notes = append(notes, "the relays differ in configuration or version: the newest leads")
	}
	if f.Reason != "" {
		notes = append(notes, "nothing newer is known: "+f.Reason)
	}
	if len(notes) > 0 {
		fmt.Fprintf(a.stderr, "%s\n", escaped([]byte(strings.Join(notes, "\n"))))
	}
	return nil
}

type fleetDrain struct {
	remote
	why
	Name string `arg:"" help:"The relay." placeholder:"RELAY"`
}

func (c *fleetDrain) Run(a *program) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	f, err := cl.DrainRelay(a.ctx, c.Name, c.api())
	if err != nil {
		return err
	}
	if f.Leader == c.Name {
		fmt.Fprintf(a.stderr, "%s leads until another relay can: auditrelay fleet shows when\n", c.Name)
	}
	return a.printFleet(f)
}

type fleetUndrain struct {
	remote
	why
	Name string `arg:"" help:"The relay." placeholder:"RELAY"`
}

func (c *fleetUndrain) Run(a *program) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	f, err := cl.UndrainRelay(a.ctx, c.Name, c.api())
	if err != nil {
		return err
	}
	return a.printFleet(f)
}
