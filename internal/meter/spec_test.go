package meter

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

// TestSpecification runs the official test suite of WebAssembly Core 2.0, which is part of
// wazero's module, on modules with and without rewriting, side by side. The rewritten ones must
// give the expected results, and the same traps as without the meter. The meter itself must
// refuse invalid and malformed modules. All this holds under the default limits too.
func TestSpecification(t *testing.T) {
	t.Run("default", func(t *testing.T) { specificationPasses(t, Options{}) })
	if !testing.Short() {
		t.Run("generous", func(t *testing.T) { specificationPasses(t, generous()) })
	}
}

func specificationPasses(t *testing.T, o Options) {
	dir := specification(t)
	files, err := filepath.Glob(filepath.Join(dir, "v2", "testdata", "*.json"))
	if err != nil || len(files) < 140 {
		t.Fatalf("%d scripts found: %v", len(files), err)
	}
	total := map[string]int{}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			s := newScript(t, dir, o)
			s.run(file)
			for kind, n := range s.counts {
				total[kind] += n
			}
		})
	}
	t.Logf("passed: %v", total)
	// If the suite's form changes, this must not pass without checking anything.
	for kind, least := range map[string]int{"module": 1500, "assert_return": 45_000, "assert_trap": 2_400, "assert_invalid": 2_100, "assert_malformed": 700, "assert_exhaustion": 15} {
		if total[kind] < least && !t.Failed() {
			t.Errorf("%d of kind %s, want at least %d", total[kind], kind, least)
		}
	}
}

// specification finds the suite in the module cache.
func specification(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/tetratelabs/wazero").Output()
	if err != nil {
		t.Fatalf("find wazero's module: %v", err)
	}
	dir := filepath.Join(strings.TrimSpace(string(out)), "internal", "integration_test", "spectest")
	if _, err := os.Stat(dir); err != nil {
		missing(t, "the specification's test suite of wazero's module")
	}
	return dir
}

type specCommand struct {
	Type, Name, Filename, As, Text string
	Line                           int
	ModuleType                     string `json:"module_type"`
	Action                         specAction
	Expected                       []specValue
}

type specAction struct {
	Type, Field, Module string
	Args                []specValue
}

type specValue struct {
	Type     string
	LaneType string          `json:"lane_type"`
	Value    json.RawMessage // a string, or several for lanes
}

// generous raises the limits that the suite exceeds.
func generous() Options {
	return Options{Limits: Limits{MemoryPages: maxPages, TableItems: 1 << 26, Params: 1000}}
}

// script runs one file's commands on two sides: metered, and unchanged.
type script struct {
	t       *testing.T
	dir     string
	options Options
	sides   [2]*specSide
	counts  map[string]int
}

const (
	sideMetered = iota
	sideGiven
)

type specSide struct {
	runtime    wazero.Runtime
	ctx        context.Context
	registered map[string]api.Module
	named      map[string]api.Module
	last       api.Module
}

func newScript(t *testing.T, dir string, o Options) *script {
	s := &script{t: t, dir: dir, options: o, counts: map[string]int{}}
	host, err := os.ReadFile(filepath.Join(dir, "testdata", "spectest.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range s.sides {
		side := &specSide{runtime: newHost(t).runtime, registered: map[string]api.Module{}, named: map[string]api.Module{}}
		side.ctx = experimental.WithImportResolver(t.Context(), func(name string) api.Module { return side.registered[name] })
		if side.registered["spectest"], err = side.instantiate(host); err != nil {
			t.Fatal(err)
		}
		s.sides[i] = side
	}
	return s
}

func (s *specSide) instantiate(wasm []byte) (api.Module, error) {
	return s.runtime.InstantiateWithConfig(s.ctx, wasm, wazero.NewModuleConfig().WithName("").WithStartFunctions())
}

func (s *script) run(file string) {
	var content struct{ Commands []specCommand }
	data, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(data, &content)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	for i := range content.Commands {
		c := &content.Commands[i]
		if c.ModuleType == "text" {
			continue // about the text format
		}
		if err := s.command(c, filepath.Dir(file)); err != nil {
			s.t.Errorf("line %d: %s %s %s: %v", c.Line, c.Type, c.Filename, c.Action.Field, err)
		} else {
			s.counts[c.Type]++
		}
	}
}

func (s *script) command(c *specCommand, dir string) error {
	var given, metered []byte
	if c.Filename != "" {
		var err error
		if given, err = os.ReadFile(filepath.Join(dir, c.Filename)); err != nil {
			return err
		}
		m, err := Rewrite(given, s.options)
		refused := c.Type == "assert_invalid" || c.Type == "assert_malformed"
		switch {
		case refused && err == nil:
			return fmt.Errorf("accepted: %s", c.Text)
		case refused:
			return nil
		case err != nil:
			return err
		}
		metered = m.Wasm
	}
	switch c.Type {
	case "module":
		for i, wasm := range [][]byte{metered, given} {
			m, err := s.sides[i].instantiate(wasm)
			if err != nil {
				return err
			}
			s.sides[i].last = m
			if c.Name != "" {
				s.sides[i].named[c.Name] = m
			}
		}
		return nil
	case "register":
		for _, side := range s.sides {
			side.registered[c.As] = side.module(c.Name)
		}
		return nil
	case "assert_unlinkable", "assert_uninstantiable":
		_, one := s.sides[sideMetered].instantiate(metered)
		_, other := s.sides[sideGiven].instantiate(given)
		// wazero accepts some active segments outside their table.
		if (one == nil) != (other == nil) {
			return fmt.Errorf("metered: %v; as given: %v", one, other)
		}
		return nil
	case "assert_exhaustion":
		if _, err := s.sides[sideMetered].act(&c.Action); err == nil {
			return fmt.Errorf("no failure: %s", c.Text)
		}
		return nil
	case "assert_trap":
		_, one := s.sides[sideMetered].act(&c.Action)
		_, other := s.sides[sideGiven].act(&c.Action)
		return sameFailure(one, other)
	case "action", "assert_return":
		if _, err := s.sides[sideGiven].act(&c.Action); err != nil {
			return fmt.Errorf("as given: %w", err)
		}
		got, err := s.sides[sideMetered].act(&c.Action)
		if err != nil || c.Type == "action" {
			return err
		}
		return matches(got, c.Expected)
	}
	return fmt.Errorf("unknown command")
}

// sameFailure checks that two failures are of the same kind.
func sameFailure(one, other error) error {
	if one == nil || other == nil {
		return fmt.Errorf("metered: %v; as given: %v; want failures", one, other)
	}
	a, _, _ := strings.Cut(one.Error(), "\n")
	b, _, _ := strings.Cut(other.Error(), "\n")
	if a != b {
		return fmt.Errorf("metered: %s; as given: %s", a, b)
	}
	return nil
}

func (s *specSide) module(name string) api.Module {
	if name == "" {
		return s.last
	}
	return s.named[name]
}

func (s *specSide) act(a *specAction) ([]uint64, error) {
	m := s.module(a.Module)
	if m == nil {
		return nil, fmt.Errorf("no module %s", a.Module)
	}
	if a.Type == "get" {
		return []uint64{m.ExportedGlobal(a.Field).Get()}, nil
	}
	var args []uint64
	for i := range a.Args {
		bits, _, err := a.Args[i].lanes()
		if err != nil {
			return nil, err
		}
		args = append(args, bits...)
	}
	f := m.ExportedFunction(a.Field)
	if f == nil {
		return nil, fmt.Errorf("no function %s", a.Field)
	}
	results, err := f.Call(s.ctx, args...)
	if err != nil {
		s.mend()
	}
	return results, err
}

// mend restores the depth that a trap left taken, since the suite continues with failed
// instances.
func (s *specSide) mend() {
	all := []api.Module{s.last}
	for _, m := range s.registered {
		all = append(all, m)
	}
	for _, m := range s.named {
		all = append(all, m)
	}
	for _, m := range all {
		if depth, ok := m.ExportedGlobal(ExportDepth).(api.MutableGlobal); ok {
			depth.Set(DefaultDepth)
		}
	}
}

// lanes returns a value in wazero's form: the bits, and for vectors the width of a lane in
// bits.
func (v *specValue) lanes() (bits []uint64, width int, err error) {
	texts := []string{""}
	if v.Type == "v128" {
		err = json.Unmarshal(v.Value, &texts)
	} else if err = json.Unmarshal(v.Value, &texts[0]); err == nil {
		switch {
		case texts[0] == "null":
			return []uint64{0}, 0, nil
		case v.Type == "externref" || v.Type == "funcref":
			n, err := strconv.ParseUint(texts[0], 10, 64)
			return []uint64{n + 1}, 0, err // so that 0 is not null
		}
		n, err := number(texts[0])
		return []uint64{n}, 0, err
	}
	if err != nil {
		return nil, 0, err
	}
	width = 128 / len(texts)
	bits = make([]uint64, 2)
	for i, text := range texts {
		n, err := number(text)
		if err != nil {
			return nil, 0, err
		}
		if width < 64 {
			n &= 1<<width - 1
		}
		bits[i*width/64] |= n << (i * width % 64)
	}
	return bits, width, nil
}

// number reads the bits of a number. nan:... stands for any NaN.
func number(text string) (uint64, error) {
	if strings.HasPrefix(text, "nan:") {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		var signed int64
		signed, err = strconv.ParseInt(text, 10, 64)
		n = uint64(signed)
	}
	return n, err
}

func matches(got []uint64, want []specValue) error {
	at := 0
	for i := range want {
		v := &want[i]
		bits, width, err := v.lanes()
		if err != nil {
			return err
		}
		if at+len(bits) > len(got) {
			return fmt.Errorf("%d results are missing", at+len(bits)-len(got))
		}
		have := got[at : at+len(bits)]
		at += len(bits)
		ok := true
		switch {
		case v.Type == "f32" && bytes.Contains(v.Value, []byte("nan:")):
			ok = nan32(uint32(have[0]))
		case v.Type == "f64" && bytes.Contains(v.Value, []byte("nan:")):
			ok = nan64(have[0])
		case v.Type == "i32" || v.Type == "f32":
			ok = uint32(have[0]) == uint32(bits[0])
		case v.Type == "v128" && strings.HasPrefix(v.LaneType, "f"):
			ok, err = floatLanes(v, have, bits, width)
		default:
			for k := range bits {
				ok = ok && have[k] == bits[k]
			}
		}
		if err != nil || !ok {
			return fmt.Errorf("result %d: got %#x, want %s %s: %w", i, have, v.LaneType, v.Value, err)
		}
	}
	if at != len(got) {
		return fmt.Errorf("%d results too many", len(got)-at)
	}
	return nil
}

func floatLanes(v *specValue, have, want []uint64, width int) (bool, error) {
	var texts []string
	if err := json.Unmarshal(v.Value, &texts); err != nil {
		return false, err
	}
	for i, text := range texts {
		h, w := have[i*width/64]>>(i*width%64), want[i*width/64]>>(i*width%64)
		isNaN := strings.HasPrefix(text, "nan:")
		switch {
		case width == 32 && isNaN && !nan32(uint32(h)),
			width == 64 && isNaN && !nan64(h),
			width == 32 && !isNaN && uint32(h) != uint32(w),
			width == 64 && !isNaN && h != w:
			return false, nil
		}
	}
	return true, nil
}

func nan32(bits uint32) bool { return math.IsNaN(float64(math.Float32frombits(bits))) }
func nan64(bits uint64) bool { return math.IsNaN(math.Float64frombits(bits)) }
