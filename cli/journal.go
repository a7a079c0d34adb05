package cli

import (
	"cmp"
	"fmt"

	"auditrelay/cli/internal/app"
	"auditrelay/runtime"
)

type journalCommands struct {
	Recover journalRecover `cmd:"" help:"Show the damage to a journal that does not open, and with --yes open what is whole."`
	Move    journalMove    `cmd:"" help:"Bring the journal of a stopped relay from its data directory to Postgres, or back."`
}

type journalRecover struct {
	configFlag
	DataDir  string `help:"Use this data directory in place of the configuration's." placeholder:"DIR" type:"path"`
	Reason   string `help:"Why, in your words; the relay's own record contains it." placeholder:"TEXT"`
	Yes      bool   `help:"Recover. Without it nothing is changed."`
	Restored bool   `help:"The journal is on Postgres, and its server was restored from a backup: begin a new incarnation although nothing is missing."`
	JSON     bool   `help:"Print JSON."`
}

func (c *journalRecover) Run(a *program) error {
	files, err := c.files()
	if err != nil {
		return err
	}
	place, err := app.JournalOf(files, makers(a.sinks))
	if err != nil {
		return err
	}
	place.DataDir = cmp.Or(c.DataDir, place.DataDir)
	var r runtime.Recovery
	if c.Yes {
		r, err = runtime.Recover(place, commandLine(c.Reason), c.Restored)
	} else {
		r, err = runtime.Examine(place)
	}
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(r)
	}
	rows := [][]string{{"damage", r.Damage}}
	if r.To > r.From {
		rows = append(rows, []string{"sequences", fmt.Sprintf("%d to %d cannot be read in their place", r.From, r.To-1)})
	} else {
		rows = append(rows, []string{"sequences", "none is missing: only callbacks' state is"})
	}
	rows = append(rows, []string{"since", moment(r.Since)})
	if !c.Yes {
		rows = append(rows,
			[]string{"behind it", fmt.Sprintf("%d whole events, which are accepted again under new sequences", r.Behind)},
			[]string{"to recover", "stop the relay, then auditrelay journal recover --yes"})
		return a.table(rows)
	}
	rows = append(rows,
		[]string{"accepted again", fmt.Sprintf("%d events from behind the damage; callbacks may deliver them twice", r.Saved)},
		[]string{"incarnation", r.After},
		[]string{"damaged files", r.Kept})
	return a.table(rows)
}

type journalMove struct {
	configFlag
	To      string `help:"Where to: postgres (the configuration's journal.postgres) or data-dir." required:"" enum:"postgres,data-dir" placeholder:"postgres|data-dir"`
	DataDir string `help:"Use this data directory in place of the configuration's." placeholder:"DIR" type:"path"`
	Reason  string `help:"Why, in your words; the relay's own record contains it." placeholder:"TEXT"`
	JSON    bool   `help:"Print JSON."`
}

func (c *journalMove) Run(a *program) error {
	files, err := c.files()
	if err != nil {
		return err
	}
	place, err := app.JournalOf(files, makers(a.sinks))
	if err != nil {
		return err
	}
	place.DataDir = cmp.Or(c.DataDir, place.DataDir)
	moved, err := runtime.MoveJournal(place, c.To == "data-dir", commandLine(c.Reason))
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(moved)
	}
	return a.table([][]string{
		{"moved", fmt.Sprintf("%d events; the next sequence is %d", moved.Events, moved.Next)},
		{"journal", moved.Journal},
		{"the old one", moved.Kept + ", which the relay refuses; remove it when you do not need it any more"},
	})
}
