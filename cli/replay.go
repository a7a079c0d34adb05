package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"auditrelay/cli/internal/api"
)

type replayCommands struct {
	Start  replayCommand       `cmd:"" default:"withargs" help:"Deliver a range of events again (the default)."`
	Cancel cancelReplayCommand `cmd:"" help:"End a replay: what it has not delivered is skipped."`
}

type cancelReplayCommand struct {
	remote
	why
	Replay string `arg:"" help:"The replay, as callbacks shows it." placeholder:"CALLBACK@ID"`
	JSON   bool   `help:"Print JSON."`
}

func (c *cancelReplayCommand) Run(a *program) error {
	callback, id, ok := strings.Cut(c.Replay, "@")
	if !ok {
		return usage("name the replay as CALLBACK@ID; auditrelay callbacks shows them")
	}
	cl, err := c.clientFor(c.Seen)
	if err != nil {
		return err
	}
	status, err := cl.CancelReplay(a.ctx, callback, id, c.api())
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(status)
	}
	_, err = fmt.Fprintf(a.stdout, "replay %s of %s is cancelled: %d events were delivered, the rest is skipped\n", id, callback, status.Account.Delivered)
	return err
}

type replayCommand struct {
	remote
	why
	Callback string `help:"The callback." required:""`
	From     string `help:"The first event: a sequence, or a time of receipt such as 2026-01-31T00:00:00Z." required:"" placeholder:"SEQUENCE|TIME"`
	To       string `help:"The end, exclusive: a sequence or a time. Default: now." placeholder:"SEQUENCE|TIME"`
	DryRun   bool   `help:"Only show the number of events; start nothing."`
	Emit     bool   `help:"Let filters emit again. By default their records are dropped, since they were emitted before."`
	JSON     bool   `help:"Print JSON."`
}

func (c *replayCommand) Run(a *program) error {
	request := api.Replay{DryRun: c.DryRun, Emit: c.Emit, Reason: c.Reason}
	var err error
	if request.From, request.FromTime, err = bound("--from", c.From); err != nil {
		return err
	}
	if c.To != "" {
		if request.To, request.ToTime, err = bound("--to", c.To); err != nil {
			return err
		}
	}
	if (!request.FromTime.IsZero() && request.To != 0) || (request.From != 0 && !request.ToTime.IsZero()) {
		return usage("--from and --to: two sequences or two times, not one of each")
	}
	cl, err := c.client()
	if err != nil {
		return err
	}
	started, err := cl.Replay(a.ctx, c.Callback, request)
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(started)
	}
	if c.DryRun {
		_, err = fmt.Fprintf(a.stdout, "would replay %d events of %s, sequences %d to %d\n", started.Events, c.Callback, started.From, started.To)
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "replay %s started: %d events of %s, sequences %d to %d; auditrelay callbacks shows its progress\n",
		started.ID, started.Events, c.Callback, started.From, started.To)
	return err
}

// bound reads a sequence or a time.
func bound(flag, s string) (uint64, time.Time, error) {
	if n, err := strconv.ParseUint(s, 10, 63); err == nil {
		if n == 0 {
			return 0, time.Time{}, usage("%s: sequences begin at 1", flag)
		}
		return n, time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return 0, t.UTC(), nil
		}
	}
	return 0, time.Time{}, usage("%s: expected a sequence, or a time such as 2026-01-31T00:00:00Z or 2026-01-31 (UTC)", flag)
}
