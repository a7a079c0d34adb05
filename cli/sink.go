package cli

import (
	"errors"
	"strconv"
	"time"
)

type sinkCommands struct {
	Test sinkTestCommand `cmd:"" help:"Send a marked test event to a callback's destination and show its answer."`
}

type sinkTestCommand struct {
	remote
	why
	Callback string `arg:"" help:"The callback."`
	JSON     bool   `help:"Print JSON."`
}

// errTestFailed reports that the test ran and the destination did not accept its event.
var errTestFailed = errors.New("the destination did not take the test event")

func (c *sinkTestCommand) Run(a *program) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	result, err := cl.TestSink(a.ctx, c.Callback, c.api())
	if err != nil {
		return err
	}
	var failed error
	if !result.Delivered {
		failed = errTestFailed
	}
	if c.JSON {
		return errors.Join(a.printJSON(result), failed)
	}
	outcome := "delivered"
	if !result.Delivered {
		outcome = "failed"
	}
	rows := [][]string{{"callback", result.Callback}, {"event id", result.ID}, {"result", outcome}}
	add := func(name, value string) {
		if value != "" {
			rows = append(rows, []string{name, value})
		}
	}
	if result.Status != 0 {
		add("status", strconv.Itoa(result.Status))
	}
	add("took", result.Took.Round(time.Microsecond).String())
	add("bytes", strconv.Itoa(result.Bytes))
	add("where", result.Location)
	add("kind", result.Kind)
	add("reason", string(result.Reason))
	add("error", result.Error)
	add("it wrote", result.Answer)
	add("so", result.Effect)
	return errors.Join(a.table(rows), failed)
}
