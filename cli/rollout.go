package cli

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"auditrelay/cli/internal/api"
	"auditrelay/config"
)

type rolloutCommands struct {
	Show    rolloutShow    `cmd:"" default:"withargs" help:"Show the rollout that is under way, or the last one (the default)."`
	Start   rolloutStart   `cmd:"" help:"Have a new version of a filter judge a share of the events (role admin)."`
	Promote rolloutPromote `cmd:"" help:"Put the new version in force for all events (role admin)."`
	Back    rolloutBack    `cmd:"" help:"Have the version in force judge all events again."`
}

type rolloutStart struct {
	why
	remote
	rolloutShare
	Filter string `arg:"" help:"The filter's name in the configuration."`
	Module string `help:"The uploaded module: its digest, or at least its first 8 digits." placeholder:"DIGEST"`
	Policy string `help:"The file of the policy." placeholder:"FILE"`
	JSON   bool   `help:"Print JSON."`
}

// rolloutShare are the flags that limit a rollout.
type rolloutShare struct {
	Share      string `help:"The share of events that it judges, by their ids. Default: 5%." placeholder:"N%"`
	RollbackAt string `help:"Roll back if more than this share of them fail on a callback: set aside or discarded by the version, the gate or the destination. Default: 1%." placeholder:"N%"`
	After      uint64 `help:"The bound holds from so many events on. Default: 100." placeholder:"N"`
}

// given reports whether a flag requests a rollout.
func (c *rolloutShare) given() bool { return c.Share != "" || c.RollbackAt != "" || c.After > 0 }

// want completes a request.
func (c *rolloutShare) want(request api.StartRollout) (api.StartRollout, error) {
	var err error
	if request.Share, err = percent("--share", c.Share, 100); err != nil {
		return request, err
	}
	if request.Bound, err = percent("--rollback-at", c.RollbackAt, math.Nextafter(100, 0)); err != nil {
		return request, err
	}
	request.Events = c.After
	return request, nil
}

// percent reads a share above 0. An empty text is 0.
func percent(flag, text string, most float64) (float64, error) {
	if text == "" {
		return 0, nil
	}
	number, ok := strings.CutSuffix(text, "%")
	n, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil || !(n > 0 && n <= most) {
		return 0, usage("%s: expected a share above 0 such as 5%%", flag)
	}
	return n / 100, nil
}

func (c *rolloutStart) Run(a *program) error {
	if (c.Module == "") == (c.Policy == "") {
		return usage("give --module or --policy")
	}
	request, err := c.want(api.StartRollout{Filter: c.Filter, Module: c.Module, Reason: c.Reason})
	if err != nil {
		return err
	}
	if c.Policy != "" {
		text, err := config.Read(c.Policy)
		if err != nil {
			return err
		}
		request.Policy = string(text)
	}
	return a.startRollout(&c.remote, request, c.JSON)
}

func (a *program) startRollout(r *remote, request api.StartRollout, asJSON bool) error {
	cl, err := r.client()
	if err != nil {
		return err
	}
	o, err := cl.StartRollout(a.ctx, request)
	if err != nil {
		return err
	}
	if asJSON {
		return a.printJSON(o)
	}
	_, err = fmt.Fprintf(a.stdout, "filter %s: %s %.12s judges %s of the events; it is rolled back if more than %s of them fail, of at least %d\nshow it with: auditrelay rollout\n",
		o.Filter, o.Kind, o.Digest, share(o.Share), share(o.Bound), o.Events)
	return err
}

func share(s float64) string { return strconv.FormatFloat(math.Round(s*1e8)/1e6, 'g', -1, 64) + "%" }

type rolloutShow struct {
	remote
	JSON bool `help:"Print JSON."`
}

func (c *rolloutShow) Run(a *program) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	all, err := cl.Rollouts(a.ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(all)
	}
	if len(all) == 0 {
		_, err := fmt.Fprintln(a.stdout, "there was no rollout")
		return err
	}
	for i := range all {
		if err := a.showRollout(&all[i]); err != nil {
			return err
		}
	}
	return nil
}

func (a *program) showRollout(o *api.Rollout) error {
	rows := [][]string{{"filter", o.Filter}, {"state", strings.ReplaceAll(o.State, "_", " ")}}
	if o.Why != "" {
		rows = append(rows, []string{"why", o.Why})
	}
	rows = append(rows, []string{o.Kind, o.Digest}, []string{"beside", o.Running}, []string{"share", share(o.Share)},
		[]string{"rolled back at", fmt.Sprintf("more than %s failed, of at least %d", share(o.Bound), o.Events)},
		[]string{"started", moment(o.Started) + " by " + o.By})
	if !o.Ended.IsZero() {
		rows = append(rows, []string{"ended", moment(o.Ended) + " by " + o.EndedBy})
	}
	rows = append(rows, []string{"version", o.ID})
	if err := a.table(rows); err != nil {
		return err
	}
	fmt.Fprintln(a.stdout)
	rows = [][]string{{"CALLBACK", "FROM", "JUDGED", "FAILED", "RATIO"}}
	for _, n := range o.Counts {
		ratio := ""
		if n.Judged > 0 {
			ratio = share(float64(n.Failed) / float64(n.Judged))
		}
		rows = append(rows, []string{n.Callback, number(o.From[n.Callback]), number(n.Judged), number(n.Failed), ratio})
	}
	return a.table(rows)
}

type rolloutPromote struct {
	why
	remote
	Filter string `arg:"" help:"The filter."`
	JSON   bool   `help:"Print JSON."`
}

func (c *rolloutPromote) Run(a *program) error {
	cl, err := c.clientFor(c.Seen)
	if err != nil {
		return err
	}
	o, err := cl.PromoteRollout(a.ctx, c.Filter, c.api())
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(o)
	}
	_, err = fmt.Fprintf(a.stdout, "filter %s: %s %.12s judges all events\n", o.Filter, o.Kind, o.Digest)
	return err
}

type rolloutBack struct {
	why
	remote
	Filter string `arg:"" help:"The filter."`
	JSON   bool   `help:"Print JSON."`
}

func (c *rolloutBack) Run(a *program) error {
	cl, err := c.clientFor(c.Seen)
	if err != nil {
		return err
	}
	o, err := cl.RollBack(a.ctx, c.Filter, c.api())
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(o)
	}
	_, err = fmt.Fprintf(a.stdout, "filter %s: %.12s judges all events again\n", o.Filter, o.Running)
	return err
}
