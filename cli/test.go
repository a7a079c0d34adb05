package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"auditrelay/cli/internal/app"
	"auditrelay/config"
)

type testCommand struct {
	configFile
	moduleFlags
	Tests    []string `help:"Files of tests, or directories of them. Default: the directory tests beside the configuration; in it, where it is a directory." placeholder:"PATH" type:"path"`
	Callback string   `help:"Only run the tests of this callback." placeholder:"NAME"`
	Require  bool     `help:"Fail if a callback has no tests."`
	JSON     bool     `help:"Print JSON."`
}

// Reasons why test fails.
var (
	errTests    = errors.New("a test failed")
	errUntested = errors.New("a callback has no tests")
)

// tested is the result of one callback's tests in the form of --json.
type tested struct {
	Callback string       `json:"callback"`
	Tests    []testResult `json:"tests"`
	Error    string       `json:"error,omitempty"` // why they could not run
}

type testResult struct {
	Name     string        `json:"name"`
	File     string        `json:"file"`
	Line     int           `json:"line"`
	OK       bool          `json:"ok"`
	Problems []app.Problem `json:"problems,omitempty"`
}

func (c *testCommand) Run(a *program) error {
	files, err := c.files()
	if err != nil {
		return err
	}
	modules, clean, err := c.modules(a)
	if err != nil {
		return err
	}
	defer clean()
	all, err := app.LoadTriers(files, app.TryOptions{Sinks: makers(a.sinks), Compiler: compiler(), Worker: guestWorker(), Modules: modules})
	if err != nil {
		return err
	}
	defer all.Close()
	tests, err := c.read(files[0], all.Callbacks())
	if err != nil {
		return err
	}
	var results []tested
	for _, callback := range all.Callbacks() {
		if c.Callback == "" || c.Callback == callback {
			one, err := c.callback(a, all, callback, tests)
			if err != nil {
				return err
			}
			results = append(results, one)
		}
	}
	if len(results) == 0 {
		return usage("no callback is called %q; there are: %s", c.Callback, strings.Join(all.Callbacks(), ", "))
	}
	if c.JSON {
		err = a.printJSON(results)
	} else {
		err = a.printTests(results)
	}
	return errors.Join(err, c.verdict(results))
}

// read reads the tests. It returns none if no file is named and the directory does not exist.
func (c *testCommand) read(file string, callbacks []string) ([]app.Test, error) {
	paths := c.Tests
	if len(paths) == 0 {
		beside := filepath.Join(config.Dir(file), "tests")
		if _, err := os.Stat(beside); errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		paths = []string{beside}
	}
	files, err := app.TestFiles(paths)
	if err != nil {
		return nil, err
	}
	return app.ReadTests(files, callbacks)
}

// callback runs one callback's tests. An error stops the command. A callback that cannot be
// tried only fails its own tests.
func (c *testCommand) callback(a *program, all *app.Triers, callback string, tests []app.Test) (tested, error) {
	out := tested{Callback: callback, Tests: []testResult{}}
	var trier *app.Trier
	for i := range tests {
		t := &tests[i]
		if t.Callback != callback {
			continue
		}
		r := testResult{Name: t.Name, File: t.Place.File, Line: t.Place.Line}
		if trier == nil && out.Error == "" {
			var err error
			if trier, err = all.Trier(a.ctx, callback); err != nil {
				if a.ctx.Err() != nil {
					return out, a.ctx.Err()
				}
				out.Error = err.Error()
			} else {
				defer trier.Close()
			}
		}
		if trier != nil {
			var err error
			if r.Problems, err = trier.Run(a.ctx, t); err != nil {
				return out, fmt.Errorf("%s:%d: test %q: %w", r.File, r.Line, t.Name, err)
			}
			r.OK = len(r.Problems) == 0
		}
		out.Tests = append(out.Tests, r)
	}
	return out, nil
}

func (c *testCommand) verdict(results []tested) error {
	var untested bool
	for _, r := range results {
		untested = untested || len(r.Tests) == 0
		for _, t := range r.Tests {
			if !t.OK {
				return errTests
			}
		}
	}
	if c.Require && untested {
		return errUntested
	}
	return nil
}

func (a *program) printTests(results []tested) error {
	ok, failed, untested := 0, 0, 0
	for _, r := range results {
		if len(r.Tests) == 0 {
			untested++
			fmt.Fprintf(a.stdout, "%s: no tests\n", r.Callback)
			continue
		}
		fmt.Fprintf(a.stdout, "%s\n", r.Callback)
		if r.Error != "" {
			fmt.Fprintf(a.stdout, "  cannot be tried: %s\n", printable(r.Error))
		}
		for _, t := range r.Tests {
			if t.OK {
				ok++
				fmt.Fprintf(a.stdout, "  ok    %s\n", printable(t.Name))
				continue
			}
			failed++
			fmt.Fprintf(a.stdout, "  FAIL  %s (%s:%d)\n", printable(t.Name), t.File, t.Line)
			for _, p := range t.Problems {
				if err := a.printProblem(p); err != nil {
					return err
				}
			}
		}
	}
	_, err := fmt.Fprintf(a.stdout, "%d tests: %d ok, %d failed; %d callbacks without tests\n", ok+failed, ok, failed, untested)
	return err
}

func (a *program) printProblem(p app.Problem) error {
	of := p.Of
	if p.Step > 0 {
		of = fmt.Sprintf("step %d: %s", p.Step, p.Of)
	}
	if p.Text != "" {
		_, err := fmt.Fprintf(a.stdout, "        %s: %s\n", of, printable(p.Text))
		return err
	}
	got := p.Got
	if got == nil {
		got = []byte("(nothing)")
	}
	fmt.Fprintf(a.stdout, "        %s: - expected, + got\n", of)
	return a.difference(p.Want, got)
}
