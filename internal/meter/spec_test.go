package meter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// specDepth is what Options.Depth is by default.
const specDepth = 1 << 18

// generous are limits that leave a module what WebAssembly itself does.
var generous = Options{
	Limits: Limits{
		NameBytes: 1 << 20, Params: 1_000, MemoryPages: maxPages, TableItems: 1<<32 - 1,
	},
}

// The official test suite of core WebAssembly 2.0 passes with every module
// rewritten, under the default limits and under generous ones, those that others
// import from and the host's "spectest" included: valid modules are taken and do
// what the suite says, and what is malformed or invalid is refused by Rewrite
// itself. What the suite has in the text format only is left out.
func TestSpecification(t *testing.T) {
	dir := specification(t)
	host, err := os.ReadFile(filepath.Join(dir, "..", "..", "testdata", "spectest.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	scripts, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(scripts) == 0 {
		t.Fatalf("%d scripts in %s: %v", len(scripts), dir, err)
	}
	for name, o := range map[string]Options{"default": {}, "generous": generous} {
		if name == "generous" && testing.Short() {
			continue
		}
		t.Run(name, func(t *testing.T) { runScripts(t, dir, host, scripts, o) })
	}
}

func runScripts(t *testing.T, dir string, host []byte, scripts []string, o Options) {
	passed := map[string]int{}
	for _, script := range scripts {
		name := strings.TrimSuffix(filepath.Base(script), ".json")
		t.Run(name, func(t *testing.T) {
			s := &specRun{T: t, dir: dir, options: o, host: newHost(t), named: map[string]api.Module{}, passed: passed}
			s.host.slice = 1 << 40
			s.host.budget = 1 << 50
			if _, err := s.instantiate(rewrite(t, host, o), "spectest"); err != nil {
				t.Fatal(err)
			}
			s.run(script)
		})
	}
	t.Logf("%d scripts: %v", len(scripts), passed)
	whole := map[string]int{
		"module": 1599, "action": 155, "assert_return": 45734, "assert_trap": 2408, "assert_exhaustion": 15, "assert_invalid": 2146,
		"assert_malformed": 719, "assert_unlinkable": 83, "assert_uninstantiable": 34,
	}
	if !maps.Equal(passed, whole) {
		t.Errorf("passed %v\nwant %v", passed, whole)
	}
}

// specification returns where the suite is: in wazero's copy in the module cache.
func specification(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/tetratelabs/wazero").Output()
	dir := filepath.Join(strings.TrimSpace(string(out)), "internal", "integration_test", "spectest", "v2", "testdata")
	if err == nil {
		_, err = os.Stat(dir)
	}
	if err != nil {
		missing(t, "the specification's test suite, which comes with wazero's source: "+err.Error())
	}
	return dir
}

type specCommand struct {
	Type       string      `json:"type"`
	Line       int         `json:"line"`
	Name       string      `json:"name"`
	Filename   string      `json:"filename"`
	As         string      `json:"as"`
	ModuleType string      `json:"module_type"`
	Text       string      `json:"text"`
	Expected   []specValue `json:"expected"`
	Action     struct {
		Type   string      `json:"type"`
		Module string      `json:"module"`
		Field  string      `json:"field"`
		Args   []specValue `json:"args"`
	} `json:"action"`
}

// A specRun is one script at work.
type specRun struct {
	*testing.T
	dir     string
	options Options
	host    *host
	last    api.Module
	named   map[string]api.Module
	passed  map[string]int // by the commands' types, over all scripts
}

func (s *specRun) run(script string) {
	text, err := os.ReadFile(script)
	if err != nil {
		s.Fatal(err)
	}
	var parsed struct{ Commands []specCommand }
	if err := json.Unmarshal(text, &parsed); err != nil {
		s.Fatal(err)
	}
	for i := 0; i < len(parsed.Commands); i++ {
		c := &parsed.Commands[i]
		if c.ModuleType == "text" {
			continue
		}
		as := ""
		if c.Type == "module" && i+1 < len(parsed.Commands) && parsed.Commands[i+1].Type == "register" {
			i++ // wazero wants to know the name when it instantiates
			as = parsed.Commands[i].As
		}
		if err := s.command(c, as); err != nil {
			s.Errorf("line %d: %s %s: %v", c.Line, c.Type, c.Filename+c.Action.Field, err)
			if c.Type == "module" {
				return // what follows is about it
			}
		} else {
			s.passed[c.Type]++
		}
	}
}

func (s *specRun) command(c *specCommand, as string) error {
	switch c.Type {
	case "module":
		m, err := Rewrite(s.read(c.Filename), s.options)
		if err != nil {
			return err
		}
		if s.last, err = s.instantiate(m, as); err != nil {
			return err
		}
		s.named[c.Name] = s.last
		return nil
	case "assert_malformed", "assert_invalid":
		if _, err := Rewrite(s.read(c.Filename), s.options); err == nil {
			return fmt.Errorf("taken, though %s", c.Text)
		}
		return nil
	case "assert_unlinkable", "assert_uninstantiable":
		m, err := Rewrite(s.read(c.Filename), s.options)
		if err != nil {
			return err
		}
		_, err = s.instantiate(m, "")
		if c.Text == "out of bounds table access" {
			return err // wazero takes it, metered or not: what was written before the trap must stay
		}
		if c.Type == "assert_unlinkable" {
			if err == nil {
				return errors.New("linked")
			}
			return nil
		}
		return trapped(err, c.Text)
	case "assert_return", "action":
		got, types, err := s.act(c)
		if err != nil {
			return err
		}
		return same(got, types, c.Expected)
	case "assert_trap":
		_, _, err := s.act(c)
		return trapped(err, c.Text)
	case "assert_exhaustion":
		if _, _, err := s.act(c); !errors.Is(err, errStack) {
			return fmt.Errorf("got %w, want %w", err, errStack)
		}
		return nil
	}
	return errors.New("no such command")
}

func (s *specRun) read(file string) []byte {
	b, err := os.ReadFile(filepath.Join(s.dir, file))
	if err != nil {
		s.Fatal(err)
	}
	return b
}

func (s *specRun) instantiate(m *Metered, as string) (api.Module, error) {
	return s.host.runtime.InstantiateWithConfig(context.Background(), m.Wasm, wazero.NewModuleConfig().WithName(as))
}

func (s *specRun) act(c *specCommand) ([]uint64, []valueType, error) {
	m := s.last
	if c.Action.Module != "" {
		m = s.named[c.Action.Module]
	}
	if c.Action.Type == "get" {
		g := m.ExportedGlobal(c.Action.Field)
		return []uint64{g.Get()}, []valueType{g.Type()}, nil
	}
	f := m.ExportedFunction(c.Action.Field)
	var args []uint64
	for _, v := range c.Action.Args {
		args = append(args, v.bits()...)
	}
	depth := m.ExportedGlobal(ExportDepth).(api.MutableGlobal)
	depth.Set(specDepth) // calls that trapped gave nothing back
	results, err := f.Call(context.Background(), args...)
	if have := int64(depth.Get()); err == nil && have != specDepth {
		err = fmt.Errorf("depth is %d", have)
	}
	return slices.Clone(results), f.Definition().ResultTypes(), err
}

// trapped compares a trap with what the suite calls it.
func trapped(err error, want string) error {
	switch {
	case want == "undefined element", want == "out of bounds table access", strings.HasPrefix(want, "uninitialized element"):
		want = "invalid table access" // wazero's word for all of these
	}
	if err == nil || !strings.Contains(err.Error(), ": "+want) { // behind "wasm error" or "data[0]"
		return fmt.Errorf("got %w, want %q", err, want)
	}
	return nil
}
