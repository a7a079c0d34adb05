package conformance_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"auditrelay"
	"auditrelay/builtin/wasm"
	"auditrelay/filter"
	"auditrelay/guests/conformance"
)

// engine is this build's engine, with compilation in this process.
func engine(ctx context.Context, g conformance.Guest) (filter.Filter, error) {
	return wasm.Load(ctx, wasm.Options{
		Name: g.Name, Wasm: g.Wasm,
		Grants: wasm.Grants{Write: g.Write, Emit: g.Emit, Keys: []string{g.Key}, Metrics: []string{g.Metric}},
		Keys:   map[string]auditrelay.Key{g.Key: {Secret: "a key of the kit's own"}},
		Limits: wasm.Limits{Fuel: g.Fuel, FuelPerByte: g.FuelPerByte, Memory: auditrelay.ByteSize(g.Memory), Stack: auditrelay.ByteSize(g.Stack)},
		Logger: slog.New(slog.DiscardHandler),
	})
}

// The engine of this build passes the whole kit.
func TestThisBuildConforms(t *testing.T) {
	results, err := conformance.Run(t.Context(), engine)
	if err != nil {
		t.Fatal(err)
	}
	if len(results) < 150 {
		t.Fatalf("only %d cases", len(results))
	}
	var slowest, longest conformance.Result
	for _, r := range results {
		if !r.OK || !r.NextOK {
			t.Errorf("%s (%s): expected %s, got %s: %s", r.Name, r.What, r.Expected, r.Got, strings.Join(r.Problems, "; "))
		}
		if r.Grown > 256<<20 {
			t.Errorf("%s: resident memory grew by %d MiB", r.Name, r.Grown>>20)
		}
		if r.Stopped > slowest.Stopped {
			slowest = r
		}
		if r.GC > longest.GC {
			longest = r
		}
	}
	t.Logf("%d cases; longest until stopped: %v (%s); longest collection beside one: %v (%s)", len(results), slowest.Stopped, slowest.Name, longest.GC, longest.Name)
}

// lax is an engine without a useful meter. The kit must detect that.
func TestTheKitFindsWhatDoesNotConform(t *testing.T) {
	lenient := func(ctx context.Context, g conformance.Guest) (filter.Filter, error) {
		f, err := engine(ctx, g)
		if err != nil {
			return nil, err
		}
		return everythingPasses{f}, nil
	}
	results, err := conformance.Run(t.Context(), lenient)
	if err != nil {
		t.Fatal(err)
	}
	wrong := 0
	for _, r := range results {
		if r.Expected != "refused" && r.Expected != "keep" && r.OK {
			t.Errorf("%s: an engine that keeps what it must not was let pass", r.Name)
		}
		if !r.OK {
			wrong++
		}
	}
	if wrong < 50 {
		t.Errorf("only %d cases were found wrong", wrong)
	}
}

// everythingPasses turns every failure into a verdict to keep.
type everythingPasses struct{ filter.Filter }

func (e everythingPasses) Open(ctx context.Context) (filter.Instance, error) {
	i, err := e.Filter.Open(ctx)
	return passing{i}, err
}

type passing struct{ filter.Instance }

func (p passing) Apply(ctx context.Context, c *filter.Call) (auditrelay.Verdict, error) {
	_, _ = p.Instance.Apply(ctx, c)
	return auditrelay.Keep, nil
}

// Every module has its source beside it, and every source its module.
func TestModulesHaveTheirSources(t *testing.T) {
	for _, c := range []struct{ from, to string }{{".wasm", ".wat"}, {".wat", ".wasm"}} {
		files, err := filepath.Glob("modules/*" + c.from)
		if err != nil || len(files) < 60 {
			t.Fatalf("%d files, %v", len(files), err)
		}
		for _, f := range files {
			if _, err := os.Stat(strings.TrimSuffix(f, c.from) + c.to); err != nil {
				t.Error(err)
			}
		}
	}
}
