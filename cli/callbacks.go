package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"auditrelay/cli/internal/api"
	"auditrelay/cli/internal/client"
)

type callbackCommands struct {
	List   listCommand         `cmd:"" default:"withargs" help:"Show all callbacks with their accounts (the default)."`
	Show   showCallbackCommand `cmd:"" help:"Show everything about one callback."`
	Pause  pauseCommand        `cmd:"" help:"Stop deliveries; events are retained."`
	Resume resumeCommand       `cmd:"" help:"Continue after a pause, or acknowledge an alert."`
	Detach detachCommand       `cmd:"" help:"Skip pending and new events until you attach it again."`
	Attach attachCommand       `cmd:"" help:"Continue with events from now on."`
}

type listCommand struct {
	remote
	JSON  bool          `help:"Print JSON."`
	Watch bool          `help:"Refresh until interrupted."`
	Every time.Duration `help:"Interval of --watch." default:"2s"`

	SilentAfter time.Duration `help:"Name the likely causes of a source's silence after this long." default:"5m"`
}

func (c *listCommand) Run(a *program) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	if !c.Watch {
		return c.once(a, cl)
	}
	if c.Every < 100*time.Millisecond {
		return usage("--every: at least 100ms")
	}
	ticker := time.NewTicker(c.Every)
	defer ticker.Stop()
	for {
		if terminal(a.stdout) && !c.JSON {
			fmt.Fprint(a.stdout, "\x1b[H\x1b[2J") // cursor home, clear screen
		}
		err := c.once(a, cl)
		if _, away := errors.AsType[*client.UnreachableError](err); away {
			// The user may be watching a restart.
			fmt.Fprintf(a.stderr, "%s  %v; trying again every %v\n", moment(time.Now()), err, c.Every)
		} else if err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-a.ctx.Done():
			return nil
		}
	}
}

func (c *listCommand) once(a *program, cl *client.Client) error {
	all, err := cl.Callbacks(a.ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(all)
	}
	if err := a.printCallbacks(all); err != nil {
		return err
	}
	return a.printIntake(cl, c.SilentAfter)
}

func (a *program) printCallbacks(all []api.CallbackStatus) error {
	rows := [][]string{{"CALLBACK", "STATE", "ASSIGNED", "DELIVERED", "FILTERED", "DEAD", "DISCARDED", "SKIPPED", "PENDING", "LAG", "LAST ERROR"}}
	unbalanced := 0
	for _, s := range all {
		name := s.Name
		if s.Replay != "" {
			name += "@" + s.Replay
		}
		state := s.State
		if s.Done {
			state = "done"
		}
		if s.Reason != "" && s.Reason != s.LastError {
			state += " (" + s.Reason + ")"
		}
		if s.Expiring {
			state += fmt.Sprintf(" (the oldest pending event is %v old; the destination accepts at most %v)", s.Lag.Round(time.Minute), s.MaxAge)
		}
		n := s.Account
		if !n.Balanced {
			unbalanced++
		}
		rows = append(rows, []string{
			name, state, count(n.Assigned), count(n.Delivered), count(n.Filtered), count(n.DeadLettered),
			count(n.Discarded), count(n.Skipped), count(n.Pending), s.Lag.Round(time.Second).String(), shortened(s.LastError),
		})
	}
	if err := a.table(rows); err != nil {
		return err
	}
	if unbalanced > 0 {
		fmt.Fprintf(a.stderr, "%d accounts do not balance: this is a bug in the relay, please report it\n", unbalanced)
	}
	return nil
}

// shownError is how much of an error fits beside the figures. callbacks show and --json show
// all of it.
const shownError = 100

// shortened keeps an error's end, which has the cause, and its beginning, which names the
// operation, if there is room.
func shortened(text string) string {
	runes := []rune(text)
	if len(runes) <= shownError {
		return text
	}
	const head, between = 30, " ... "
	tail := string(runes[len(runes)-(shownError-head-len(between)):])
	if _, cause, ok := strings.Cut(tail, ": "); ok {
		tail = cause // whole parts only
	}
	return strings.TrimRight(string(runes[:head]), ": ") + between + tail
}

type showCallbackCommand struct {
	remote
	Name string `arg:"" help:"The callback."`
	JSON bool   `help:"Print JSON."`
}

func (c *showCallbackCommand) Run(a *program) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	s, err := cl.Callback(a.ctx, c.Name)
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(s)
	}
	if err := a.table(callbackRows(&s)); err != nil || len(s.Recent) == 0 {
		return err
	}
	fmt.Fprintln(a.stdout)
	return a.table(attemptRows(s.Recent))
}

// callbackRows returns everything known about a callback, one item a row.
func callbackRows(s *api.CallbackStatus) [][]string {
	n := s.Account
	rows := [][]string{
		{"callback", s.Name},
		{"state", s.State},
		{"since", moment(s.Since)},
	}
	add := func(name, value string) {
		if value != "" {
			rows = append(rows, []string{name, value})
		}
	}
	add("reason", s.Reason)
	add("last error", s.LastError)
	add("next try", moment(s.NextTry))
	add("filters", strings.Join(s.Filters, ", "))
	add("sink", s.Sink)
	add("assigned", count(n.Assigned))
	add("delivered", count(n.Delivered))
	add("filtered", count(n.Filtered))
	add("dead-lettered", count(n.DeadLettered))
	add("discarded", count(n.Discarded))
	add("skipped", count(n.Skipped))
	add("pending", count(n.Pending))
	add("causes", counts(s.Causes))
	add("oldest pending", moment(s.Oldest))
	add("lag", s.Lag.Round(time.Second).String())
	if s.MaxAge > 0 {
		limit := s.MaxAge.String() + ", beyond which the destination drops events"
		if s.Expiring {
			limit += "; the oldest pending event is close to it"
		}
		add("max age", limit)
	}
	add("version", s.Version)
	add("position", count(s.Cursor)+" of "+count(s.Head))
	add("in flight", strconv.Itoa(s.InFlight)+" payloads")
	add("payloads", count(s.Payloads))
	add("attempts", count(s.Attempts)+" since start")
	add("failures", counts(s.Failures))
	if s.Duplicates > 0 {
		add("duplicate", count(s.Duplicates)+" payloads that the destination already had")
	}
	if s.Unverified > 0 {
		add("unverified", count(s.Unverified)+" payloads whose key the destination already had, without a comparison")
	}
	return rows
}

// counts formats figures by name.
func counts(by map[string]uint64) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(by)) {
		parts = append(parts, name+" "+count(by[name]))
	}
	return strings.Join(parts, ", ")
}

func count(n uint64) string { return strconv.FormatUint(n, 10) }

// changeFlags are the flags of the commands that change one callback's state.
type changeFlags struct {
	remote
	why
	Name string `arg:"" help:"The callback."`
	JSON bool   `help:"Print JSON."`
}

func (c *changeFlags) do(a *program, change func(*client.Client, context.Context, string, api.Why) (api.CallbackStatus, error)) error {
	cl, err := c.clientFor(c.Seen)
	if err != nil {
		return err
	}
	status, err := change(cl, a.ctx, c.Name, c.why.api())
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(status)
	}
	_, err = fmt.Fprintf(a.stdout, "%s is %s; %d pending\n", status.Name, status.State, status.Account.Pending)
	return err
}

type (
	pauseCommand  struct{ changeFlags }
	resumeCommand struct{ changeFlags }
	detachCommand struct{ changeFlags }
	attachCommand struct{ changeFlags }
)

func (c *pauseCommand) Run(a *program) error  { return c.do(a, (*client.Client).Pause) }
func (c *resumeCommand) Run(a *program) error { return c.do(a, (*client.Client).Resume) }
func (c *detachCommand) Run(a *program) error {
	if err := c.required("the callback skips events"); err != nil {
		return err
	}
	return c.do(a, (*client.Client).Detach)
}
func (c *attachCommand) Run(a *program) error { return c.do(a, (*client.Client).Attach) }

type reloadCommand struct {
	remote
	why
	JSON bool `help:"Print JSON."`
}

func (c *reloadCommand) Run(a *program) error {
	cl, err := c.clientFor(c.Seen)
	if err != nil {
		return err
	}
	done, err := cl.Reload(a.ctx, c.why.api())
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(done)
	}
	for _, note := range done.Notes {
		fmt.Fprintln(a.stderr, "note:", note)
	}
	what := "unchanged"
	if done.Changed {
		what = "changed"
	}
	_, err = fmt.Fprintf(a.stdout, "reloaded, %s: %s\n", what, done.After)
	return err
}

type backupCommand struct {
	remote
	why
	JSON bool `help:"Print JSON."`
}

func (c *backupCommand) Run(a *program) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	// The relay finishes the backup even if the client disconnects.
	done, err := cl.Backup(context.WithoutCancel(a.ctx), c.why.api())
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(done)
	}
	_, err = fmt.Fprintln(a.stdout, done.Dir)
	return err
}
