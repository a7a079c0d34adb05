package cli

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"auditrelay/cli/internal/inspect"
	"auditrelay/cli/internal/scaffold"
	"auditrelay/guests/cases"
	"auditrelay/internal/manifest"
	"auditrelay/internal/profile"
)

type guestCommands struct {
	New     guestNew     `cmd:"" help:"Create a folder for a new guest: source, cases, SDK, Makefile."`
	Inspect guestInspect `cmd:"" help:"Show a module's contents and requests, and why it would be refused."`
	Pack    guestPack    `cmd:"" help:"Put a manifest into a module."`
	Test    guestTest    `cmd:"" help:"Run a guest's cases in the production engine."`
	Profile guestProfile `cmd:"" help:"Show which functions use a guest's fuel, over its cases."`

	Conformance guestConformance `cmd:"" help:"Test this build against the kit of hostile modules."`
}

type guestNew struct {
	Lang string `help:"The language: go, c, rust or assemblyscript." enum:"go,c,rust,assemblyscript" required:"" placeholder:"LANG"`
	Name string `arg:"" help:"The folder to create; its last element names the guest." type:"path"`
}

func (c *guestNew) Run(a *program) error {
	if err := scaffold.New(c.Lang, c.Name); err != nil {
		return err
	}
	_, err := fmt.Fprintf(a.stdout, "Created %s. Build it and run its cases: make -C %s test\n", c.Name, c.Name)
	return err
}

type guestInspect struct {
	File string `arg:"" help:"The module, a .wasm file." type:"existingfile"`
	JSON bool   `help:"Print JSON."`
}

// errRefused: the relay would not load the module.
var errRefused = errors.New("the module would be refused")

func (c *guestInspect) Run(a *program) error {
	code, err := readModule(c.File)
	if err != nil {
		return err
	}
	seen := inspect.Module(strings.TrimSuffix(filepath.Base(c.File), ".wasm"), code)
	if c.JSON {
		err = a.printJSON(seen)
	} else {
		err = a.printInspection(&seen)
	}
	if err == nil && len(seen.Refusals) > 0 {
		err = errRefused
	}
	return err
}

type guestPack struct {
	File     string `arg:"" help:"The module, a .wasm file." type:"existingfile"`
	Manifest string `arg:"" help:"The manifest, JSON." type:"existingfile"`
	Output   string `help:"Write the new module here. Default: replace the given file." short:"o" placeholder:"FILE"`
}

func (c *guestPack) Run(a *program) error {
	code, err := readModule(c.File)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(c.Manifest)
	if err != nil {
		return err
	}
	m, err := manifest.Parse(text)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Manifest, err)
	}
	if code, err = manifest.Pack(code, *m); err != nil {
		return err
	}
	out := c.Output
	if out == "" {
		out = c.File
	}
	return os.WriteFile(out, code, 0o644) //nolint:gosec // a module holds no secret
}

type guestTest struct {
	File   string   `arg:"" help:"The module, a .wasm file." type:"existingfile"`
	Cases  []string `arg:"" optional:"" help:"Case files. Default: cases.json, or cases/*.json, beside the module." type:"existingfile"`
	Update bool     `help:"Accept the guest's present results as the expected ones."`
	JSON   bool     `help:"Print JSON."`
}

// errCases: a case had another result.
var errCases = errors.New("a case had another result")

func (c *guestTest) Run(a *program) error {
	code, err := readModule(c.File)
	if err != nil {
		return err
	}
	files, err := casesOf(c.File, c.Cases)
	if err != nil {
		return err
	}
	name := strings.TrimSuffix(filepath.Base(c.File), ".wasm")
	var all []cases.Result
	for _, file := range files {
		recorded, err := cases.Read(file)
		if err != nil {
			return err
		}
		recorded.Worker, recorded.Compiler = guestWorker(), compiler()
		results, err := recorded.Run(a.ctx, name, code)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if c.Update {
			if err := recorded.Write(file, results); err != nil {
				return err
			}
		}
		all = append(all, results...)
	}
	if c.JSON {
		err = a.printJSON(all)
	} else {
		err = c.print(a, all)
	}
	if err != nil || c.Update {
		return err
	}
	for _, r := range all {
		if !r.OK {
			return errCases
		}
	}
	return nil
}

// casesOf finds the cases beside a module, unless some are given.
func casesOf(module string, given []string) ([]string, error) {
	if len(given) > 0 {
		return given, nil
	}
	dir := filepath.Dir(module)
	one := filepath.Join(dir, "cases.json")
	if _, err := os.Stat(one); err == nil {
		return []string{one}, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	many, err := filepath.Glob(filepath.Join(dir, "cases", "*.json"))
	if err == nil && len(many) == 0 {
		err = fmt.Errorf("there are no cases beside %s: expected cases.json or cases/*.json, or files named after it", module)
	}
	return many, err
}

func (c *guestTest) print(a *program, all []cases.Result) error {
	passed, seen := 0, map[string]int{}
	for i := range all {
		r := &all[i]
		seen[r.Got.Verdict]++
		word := "FAIL"
		switch {
		case r.OK:
			word = "ok  "
			passed++
		case c.Update:
			word = "set "
		}
		fmt.Fprintf(a.stdout, "%s  %s  (%s, %d units of fuel, %d KiB)\n", word, printable(r.Name), r.Got.Verdict, r.Fuel, r.Memory>>10)
		for _, p := range r.Problems {
			fmt.Fprintf(a.stdout, "      %s\n", printable(p))
		}
		if !r.OK && !bytes.Equal(r.Want.After(), r.Got.After()) {
			fmt.Fprintln(a.stdout, "      wanted (-) and got (+):")
			if err := a.difference(r.Want.After(), r.Got.After()); err != nil {
				return err
			}
		}
	}
	if c.Update {
		_, err := fmt.Fprintf(a.stdout, "%d of %d cases passed, %d were updated; verdicts: %d keep, %d drop, %d fail\n", passed, len(all), len(all)-passed, seen["keep"], seen["drop"], seen["fail"])
		return err
	}
	_, err := fmt.Fprintf(a.stdout, "%d of %d cases passed; verdicts: %d keep, %d drop, %d fail\n", passed, len(all), seen["keep"], seen["drop"], seen["fail"])
	return err
}

// color reports whether output may be colored.
func (a *program) color() bool { return os.Getenv("NO_COLOR") == "" && terminal(a.stdout) }

type guestProfile struct {
	File  string   `arg:"" help:"The module, a .wasm file; with names, if it was built with them." type:"existingfile"`
	Cases []string `arg:"" optional:"" help:"Case files. Default: those beside the module." type:"existingfile"`
	Times int      `help:"Number of runs of each case." default:"10"`
	Top   int      `help:"Number of functions to show." default:"20"`
	JSON  bool     `help:"Print JSON."`
}

func (c *guestProfile) Run(a *program) error {
	if c.Times < 1 || c.Times > 100_000 || c.Top < 1 {
		return usage("--times: expected 1 to 100000, --top at least 1")
	}
	code, err := readModule(c.File)
	if err != nil {
		return err
	}
	files, err := casesOf(c.File, c.Cases)
	if err != nil {
		return err
	}
	seen := map[string]profile.Function{}
	events, cost := 0, cases.Cost{}
	for _, file := range files {
		recorded, err := cases.Read(file)
		if err != nil {
			return err
		}
		functions, err := recorded.Profile(a.ctx, strings.TrimSuffix(filepath.Base(c.File), ".wasm"), code, c.Times)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		one, err := recorded.Cost(a.ctx, strings.TrimSuffix(filepath.Base(c.File), ".wasm"), code, c.Times)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		cost = cases.Cost{Fuel: cost.Fuel + one.Fuel/int64(len(files)), Time: cost.Time + one.Time/time.Duration(len(files))}
		events += len(recorded.Cases) * c.Times
		for _, f := range functions {
			sum := seen[f.Name]
			seen[f.Name] = profile.Function{Name: f.Name, Calls: sum.Calls + f.Calls, Self: sum.Self + f.Self, Total: sum.Total + f.Total}
		}
	}
	all := slices.SortedFunc(maps.Values(seen), func(x, y profile.Function) int {
		return cmp.Or(cmp.Compare(y.Self, x.Self), cmp.Compare(x.Name, y.Name))
	})
	if c.JSON {
		return a.printJSON(struct {
			Events    int                `json:"events"`
			Cost      cases.Cost         `json:"event"`
			Functions []profile.Function `json:"functions"`
		}{events, cost, all})
	}
	whole := int64(0)
	for _, f := range all {
		whole += f.Self
	}
	rows := [][]string{{"SELF", "%", "TOTAL", "CALLS", "FUNCTION"}}
	for _, f := range all[:min(c.Top, len(all))] {
		rows = append(rows, []string{fmt.Sprint(f.Self), fmt.Sprintf("%.1f", 100*float64(f.Self)/float64(max(1, whole))), fmt.Sprint(f.Total), fmt.Sprint(f.Calls), f.Name})
	}
	if err := a.table(rows); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "%d units of fuel over %d events\nan event takes %d units and %d ns (%.2f ns a unit; without the profile, in this process, the fastest of %d runs)\n",
		whole, events, cost.Fuel, cost.Time.Nanoseconds(), float64(cost.Time.Nanoseconds())/float64(max(1, cost.Fuel)), c.Times)
	return err
}
