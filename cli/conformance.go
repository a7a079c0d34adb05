package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"auditrelay"
	"auditrelay/builtin/wasm"
	"auditrelay/filter"
	"auditrelay/guests/conformance"
)

type guestConformance struct {
	JSON bool `help:"Print JSON."`
}

// errConformance: this build fails the conformance kit.
var errConformance = errors.New("this build does not conform")

func (c *guestConformance) Run(a *program) error {
	results, err := conformance.Run(a.ctx, thisBuild)
	if err != nil {
		return err
	}
	failed := 0
	for _, r := range results {
		if !r.OK {
			failed++
		}
	}
	if c.JSON {
		err = a.printJSON(results)
	} else {
		err = c.print(a, results)
	}
	if err == nil && failed > 0 {
		err = fmt.Errorf("%w: %d of %d cases had another result", errConformance, failed, len(results))
	}
	return err
}

// thisBuild loads a guest as the relay does: in a worker process if the system supports them.
// It compiles in this process, since a compiler process would accept expensive modules that the
// kit expects to be rejected.
func thisBuild(ctx context.Context, g conformance.Guest) (filter.Filter, error) {
	return wasm.Load(ctx, wasm.Options{
		Name: g.Name, Wasm: g.Wasm, Worker: guestWorker(),
		Grants: wasm.Grants{Write: g.Write, Emit: g.Emit, Keys: []string{g.Key}, Metrics: []string{g.Metric}},
		Keys:   map[string]auditrelay.Key{g.Key: {Secret: "a key of the kit's own"}},
		Limits: wasm.Limits{Fuel: g.Fuel, FuelPerByte: g.FuelPerByte, Memory: auditrelay.ByteSize(g.Memory), Stack: auditrelay.ByteSize(g.Stack)},
		Logger: slog.New(slog.DiscardHandler),
	})
}

func (c *guestConformance) print(a *program, results []conformance.Result) error {
	rows := [][]string{{"CASE", "WHAT", "EXPECTED", "GOT", "STOPPED", "GC", "FUEL", "OVER", "NEXT"}}
	for _, r := range results {
		got := r.Got
		if !r.OK {
			got += " FAIL: " + strings.Join(r.Problems, "; ")
		}
		next := "ok"
		if !r.NextOK {
			next = "FAIL"
		}
		rows = append(rows, []string{r.Name, r.What, r.Expected, got, r.Stopped.Round(10 * time.Microsecond).String(), r.GC.Round(10 * time.Microsecond).String(),
			fmt.Sprint(r.Fuel), fmt.Sprint(r.Over), next})
	}
	return a.table(rows)
}
