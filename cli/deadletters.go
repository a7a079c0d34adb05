package cli

import (
	"fmt"
	"strconv"

	"auditrelay/cli/internal/api"
)

type deadLetterCommand struct {
	List    deadLetterList    `cmd:"" help:"List dead letters, without contents."`
	Show    deadLetterShow    `cmd:"" help:"Show one dead letter with its contents (role comply)."`
	Discard deadLetterDiscard `cmd:"" help:"Discard dead letters for good."`
	Replay  deadLetterReplay  `cmd:"" help:"Process dead letters again: named ones, all, or by filter."`
	Jobs    deadLetterJobs    `cmd:"" help:"List replays by filter."`
	Cancel  deadLetterCancel  `cmd:"" help:"End a replay by filter."`
}

type deadLetterList struct {
	remote
	Callback string `arg:"" optional:"" help:"Only of this callback. Default: all."`
	After    uint64 `help:"Only after this sequence." placeholder:"SEQUENCE"`
	Limit    int    `help:"Maximum number for each callback." default:"100"`
	JSON     bool   `help:"Print JSON."`
}

func (c *deadLetterList) Run(a *program) error {
	if c.Limit < 1 || c.Limit > 1000 {
		return usage("--limit: a number from 1 to 1000")
	}
	cl, err := c.client()
	if err != nil {
		return err
	}
	names := []string{c.Callback}
	if c.Callback == "" {
		names = nil
		all, err := cl.Callbacks(a.ctx)
		if err != nil {
			return err
		}
		for _, s := range all {
			if s.Replay == "" {
				names = append(names, s.Name)
			}
		}
	}
	letters := []api.DeadLetter{}
	for _, name := range names {
		some, err := cl.DeadLetters(a.ctx, name, api.DeadLetterQuery{After: c.After, Limit: c.Limit})
		if err != nil {
			return err
		}
		letters = append(letters, some...)
		if len(some) == c.Limit {
			fmt.Fprintf(a.stderr, "%s: there may be more; continue with: --after %d\n", name, some[len(some)-1].Sequence)
		}
	}
	if c.JSON {
		return a.printJSON(letters)
	}
	rows := [][]string{{"CALLBACK", "SEQUENCE", "ID", "ACTION", "SET ASIDE", "CAUSE", "FILTER", "TIMES", "ERROR"}}
	for _, l := range letters {
		rows = append(rows, []string{
			l.Callback, count(l.Sequence), l.ID, l.Action, moment(l.At), string(l.Cause), l.Filter, strconv.Itoa(l.Attempts), l.Error,
		})
	}
	return a.table(rows)
}

type deadLetterShow struct {
	remote
	Callback string `arg:"" help:"The callback."`
	Sequence uint64 `arg:"" help:"The event's sequence."`
	JSON     bool   `help:"Print JSON."`
}

func (c *deadLetterShow) Run(a *program) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	letter, err := cl.DeadLetter(a.ctx, c.Callback, c.Sequence)
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(letter)
	}
	err = a.table([][]string{
		{"callback", letter.Callback},
		{"sequence", count(letter.Sequence)},
		{"id", letter.ID},
		{"received", moment(letter.Received)},
		{"set aside", moment(letter.At)},
		{"cause", string(letter.Cause)},
		{"filter", letter.Filter},
		{"error", letter.Error},
		{"times", strconv.Itoa(letter.Attempts)},
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "\n%s\n", escaped(letter.Data))
	return err
}

type deadLetterDiscard struct {
	remote
	why
	Callback  string   `arg:"" help:"The callback."`
	Sequences []uint64 `arg:"" optional:"" help:"The events' sequences."`
	All       bool     `help:"All of the callback."`
	JSON      bool     `help:"Print JSON."`
}

func (c *deadLetterDiscard) Run(a *program) error {
	if err := c.required("events are given up"); err != nil {
		return err
	}
	if c.All == (len(c.Sequences) > 0) {
		return usage("name sequences, or use --all")
	}
	cl, err := c.client()
	if err != nil {
		return err
	}
	changed, err := cl.DiscardDeadLetters(a.ctx, c.Callback, api.DeadLetters{Sequences: c.Sequences, All: c.All, Reason: c.Reason})
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(changed)
	}
	_, err = fmt.Fprintf(a.stdout, "%d discarded\n", changed.Changed)
	return err
}
