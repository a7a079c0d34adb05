package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"auditrelay"
	"auditrelay/cli/internal/api"
)

type moduleCommands struct {
	Push    modulePush    `cmd:"" help:"Upload a module to a running relay."`
	List    moduleList    `cmd:"" help:"Show uploaded modules."`
	Inspect moduleInspect `cmd:"" help:"Show the contents and requests of a module: an uploaded one, or one that a receipt names."`
	Check   moduleCheck   `cmd:"" help:"Check an uploaded module: each check with its reason; with --filter also as that filter, on its recorded cases (role admin)."`
	Get     moduleGet     `cmd:"" help:"Download a module."`
	Delete  moduleDelete  `cmd:"" help:"Delete an uploaded module that no filter uses."`
	Use     moduleUse     `cmd:"" help:"Switch a filter to another module, from the next event on."`
	Filters moduleFilters `cmd:"" help:"Show the guest filters, their modules, and their breakers."`
	Reset   moduleReset   `cmd:"" help:"Reset a filter's breaker, so that it works again at once."`
}

type modulePush struct {
	why
	remote
	File   string `arg:"" help:"The module, a .wasm file." type:"existingfile"`
	Name   string `help:"The module's name, as filters use it. Default: the file's name." placeholder:"NAME"`
	Filter string `help:"Also start it with this filter's configuration; refuse it if it does not start." placeholder:"FILTER"`
	JSON   bool   `help:"Print JSON."`
}

// maxModuleFile limits the bytes read of a module file. The relay has its own limits.
const maxModuleFile = 256 << 20

func readModule(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	wasm, err := io.ReadAll(io.LimitReader(f, maxModuleFile+1))
	if err == nil && len(wasm) > maxModuleFile {
		err = fmt.Errorf("%s is larger than %v, no module is", name, auditrelay.ByteSize(maxModuleFile))
	}
	return wasm, err
}

func (c *modulePush) Run(a *program) error {
	wasm, err := readModule(c.File)
	if err != nil {
		return err
	}
	cl, err := c.client()
	if err != nil {
		return err
	}
	name := c.Name
	if name == "" {
		name = strings.TrimSuffix(filepath.Base(c.File), ".wasm")
	}
	pushed, err := cl.Push(a.ctx, api.PushQuery{Name: name, Filter: c.Filter, Reason: c.Reason}, wasm)
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(pushed)
	}
	if !pushed.Added {
		fmt.Fprintf(a.stderr, "it was kept already, as %s\n", pushed.Name)
	}
	_, err = fmt.Fprintln(a.stdout, pushed.SHA256)
	return err
}

type moduleList struct {
	remote
	JSON bool `help:"Print JSON."`
}

func (c *moduleList) Run(a *program) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	all, err := cl.Modules(a.ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(all)
	}
	rows := [][]string{{"NAME", "VERSION", "DIGEST", "SIZE", "PUSHED", "BY", "FILTERS"}}
	for _, m := range all {
		rows = append(rows, []string{m.Name, m.Version, m.SHA256, auditrelay.ByteSize(m.Size).String(), m.Pushed.Format(time.RFC3339), m.By, strings.Join(m.Filters, ", ")})
	}
	return a.table(rows)
}

// digestFlags are the flags of commands on one uploaded module.
type digestFlags struct {
	remote
	Digest string `arg:"" help:"The module's digest, or at least its first 8 digits."`
}

type moduleInspect struct {
	digestFlags
	JSON bool `help:"Print JSON."`
}

func (c *moduleInspect) Run(a *program) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	seen, err := cl.InspectModule(a.ctx, c.Digest)
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(seen)
	}
	return a.printInspection(&seen)
}

type moduleCheck struct {
	digestFlags
	Filter string `help:"Check it as this filter: its configuration, grants and recorded cases." placeholder:"FILTER"`
	JSON   bool   `help:"Print JSON."`
}

// errChecks reports that a check of a module failed.
var errChecks = errors.New("the module does not pass all checks")

func (c *moduleCheck) Run(a *program) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	checked, err := cl.CheckModule(a.ctx, c.Digest, c.Filter)
	if err != nil {
		return err
	}
	if c.JSON {
		err = a.printJSON(checked)
	} else {
		rows := [][]string{{"CHECK", "RESULT", "WHY"}}
		for _, one := range checked.Checks {
			rows = append(rows, []string{one.Check, one.State, one.Why})
		}
		for _, one := range checked.Cases {
			result, why := api.CheckPassed, fmt.Sprintf("%d units of fuel", one.Fuel)
			if !one.OK {
				result, why = api.CheckFailed, "other "+strings.Join(one.Differs, ", ")
			}
			rows = append(rows, []string{"case " + strconv.Quote(one.Name), result, why})
		}
		err = a.table(rows)
	}
	if err == nil && !checked.OK {
		err = errChecks
	}
	return err
}

// cutName shortens a very long name.
func cutName(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	return fmt.Sprintf("%s... (%d bytes)", strings.ToValidUTF8(s[:most], ""), len(s))
}

// printInspection prints the properties of a module.
func (a *program) printInspection(i *api.Inspection) error {
	rows := [][]string{{"digest", i.SHA256}, {"size", auditrelay.ByteSize(i.Size).String()}}
	broken := slices.ContainsFunc(i.Refusals, func(r string) bool { return strings.HasPrefix(r, "manifest") })
	row := func(name, value string) {
		if broken { // its texts have no limit
			value = cutName(value)
		}
		if value != "" {
			rows = append(rows, []string{name, value})
		}
	}
	row("name", i.Name)
	row("version", i.Version)
	row("description", i.Description)
	row("memory", fmt.Sprintf("%v to %v", i.MemoryMin, i.MemoryMax))
	if i.Start {
		row("start", "a start function runs when an instance is made")
	}
	switch {
	case i.Asks == nil && len(i.Refusals) > 0: // the manifest may be there, and be the reason
	case i.Asks == nil:
		row("manifest", "none: it may read events and decide, but not edit or emit (auditrelay guest pack adds one)")
	default:
		row("reads", strings.Join(i.Asks.Reads, ", "))
		row("asks to write", strings.Join(i.Asks.Writes, ", "))
		row("asks for keys", strings.Join(i.Asks.Keys, ", "))
		row("asks for metrics", strings.Join(i.Asks.Metrics, ", "))
		if i.Asks.Emits {
			row("asks to emit", "yes")
		}
		row("can do without", strings.Join(i.Asks.Optional, ", "))
	}
	if err := a.table(rows); err != nil {
		return err
	}
	for _, part := range []struct {
		name string
		list []api.Function
	}{{"IMPORT", i.Imports}, {"EXPORT", i.Exports}} {
		rows := [][]string{{part.name, "TYPE", "NEEDS"}}
		for _, f := range part.list {
			rows = append(rows, []string{cutName(f.Name), cutName(f.Type), f.Needs})
		}
		fmt.Fprintln(a.stdout)
		if err := a.table(rows); err != nil {
			return err
		}
	}
	for _, refusal := range i.Refusals {
		fmt.Fprintf(a.stdout, "\nREFUSED  %s\n", printable(refusal))
	}
	return nil
}

type moduleGet struct {
	digestFlags
	Output string `help:"The file to write; - for standard output." short:"o" default:"-" placeholder:"FILE"`
}

func (c *moduleGet) Run(a *program) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	wasm, err := cl.ModuleContent(a.ctx, c.Digest)
	if err != nil {
		return err
	}
	if c.Output == "-" {
		if terminal(a.stdout) {
			return usage("a module is binary, and this is a terminal: name a file with -o")
		}
		_, err = a.stdout.Write(wasm)
		return err
	}
	return os.WriteFile(c.Output, wasm, 0o600)
}

type moduleDelete struct {
	digestFlags
	why
}

func (c *moduleDelete) Run(a *program) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	stored, err := cl.DeleteModule(a.ctx, c.Digest, c.why.api())
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "deleted %s %s\n", printable(stored.Name), stored.SHA256)
	return err
}

type moduleUse struct {
	why
	remote
	Filter     string `arg:"" help:"The filter's name in the configuration."`
	Digest     string `arg:"" optional:"" help:"The module's digest, or at least its first 8 digits."`
	Previous   bool   `help:"Go back to the module before."`
	Configured bool   `help:"Go back to the configured module."`
	rolloutShare
	JSON bool `help:"Print JSON."`
}

func (c *moduleUse) Run(a *program) error {
	if c.given() {
		if c.Digest == "" || c.Previous || c.Configured || c.Seen != "" {
			return usage("--share, --rollback-at and --after start a rollout of a module: give its digest, and none of --previous, --configured and --if-match")
		}
		request, err := c.want(api.StartRollout{Filter: c.Filter, Module: c.Digest, Reason: c.Reason})
		if err != nil {
			return err
		}
		return a.startRollout(&c.remote, request, c.JSON)
	}
	given := 0
	for _, is := range []bool{c.Digest != "", c.Previous, c.Configured} {
		if is {
			given++
		}
	}
	if given != 1 {
		return usage("give a digest, --previous or --configured")
	}
	cl, err := c.clientFor(c.Seen)
	if err != nil {
		return err
	}
	used, err := cl.UseModule(a.ctx, c.Filter, api.Use{SHA256: c.Digest, Previous: c.Previous, Configured: c.Configured, Reason: c.Reason})
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(used)
	}
	if !used.Changed {
		_, err = fmt.Fprintf(a.stdout, "%s runs %s already\n", used.Filter, used.SHA256)
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "%s runs %s from the next event on; back with: auditrelay module use %s --previous\n", used.Filter, used.SHA256, used.Filter)
	return err
}

type moduleFilters struct {
	remote
	JSON bool `help:"Print JSON."`
}

func (c *moduleFilters) Run(a *program) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	all, err := cl.Filters(a.ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(all)
	}
	rows := [][]string{{"FILTER", "MODULE", "SOURCE", "CALLBACKS", "WORKERS", "BREAKER"}}
	for _, f := range all {
		breaker := "closed"
		if f.Breaker.Open {
			breaker = fmt.Sprintf("open after %d failures (%s), next try %s", f.Breaker.Failures, f.Breaker.Cause, f.Breaker.Until.UTC().Format(time.RFC3339))
		}
		var workers []string
		for _, w := range f.Workers {
			workers = append(workers, strconv.Itoa(w.PID))
		}
		rows = append(rows, []string{f.Name, f.SHA256, f.Source, strings.Join(f.Callbacks, ", "), cmp.Or(strings.Join(workers, ", "), "none"), breaker})
	}
	return a.table(rows)
}

type moduleReset struct {
	why
	remote
	Filter string `arg:"" help:"The filter."`
}

func (c *moduleReset) Run(a *program) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	if err := cl.ResetFilter(a.ctx, c.Filter, c.why.api()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "%s judges again\n", c.Filter)
	return err
}
