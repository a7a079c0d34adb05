// Bench compares auditrelay with floors: the least work that could do the job. All figures of
// one table come from one interleaved run, so changes in the machine's speed do not affect the
// ratios. Each figure is the median of seven runs with its spread. The first row of a group
// also runs against itself: smaller differences are noise.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"auditrelay/builtin/wasm"
)

const runs = 7

func main() {
	if len(os.Args) > 1 && os.Args[1] == guestCommand {
		os.Exit(wasm.RunWorker(os.Args[2:]))
	}
	child := flag.String("child", "", "internal: run one measurement in this process")
	dir := flag.String("dir", "", "where to keep data while measuring; the disk there is what is measured (default: a temporary folder here)")
	only := flag.String("only", "", "run the groups whose name contains this")
	rows := flag.String("rows", "", "of fan-out: only these rows, such as none16,shared64,memory")
	profile := flag.String("cpuprofile", "", "of fan-out: write the CPU profile of each row's last run into this folder")
	scale := flag.Float64("scale", 1, "how much of the events to use")
	flag.Parse()
	if err := run(*child, *dir, *only, *rows, *profile, *scale); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(child, dir, only, fanOutRows, profile string, scale float64) error {
	if strings.HasPrefix(child, "fan-out:") {
		return fanOutChild(child, dir, profile)
	}
	if child != "" {
		return runChild(child, dir, scale)
	}
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp(".", "bench-data-"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	}
	n := int(150_000 * scale) // seven times, so over a million for each row
	groups := []struct {
		name string
		run  func() error
	}{
		{"accept", func() error { return acceptGroup(dir, n) }},
		{"redact", func() error { return redactGroup(dir, int(1_000_000*scale)) }},
		{"workers", func() error { return workersGroup(dir, int(400_000*scale)) }},
		{"policy", func() error { return policyGroup(int(400_000 * scale)) }},
		{"detection", func() error { return detectionGroup(max(100, int(20_000*scale))) }},
		{"load", func() error { return loadGroup(dir, max(1, int(8*scale))) }},
		{"fan-out", func() error { return fanOutGroup(dir, int(40_000*scale), fanOutRows, profile) }},
		{"backlog", func() error { return backlogGroup(dir, scale) }},
	}
	for _, g := range groups {
		if !strings.Contains(g.name, only) {
			continue
		}
		if err := g.run(); err != nil {
			return fmt.Errorf("%s: %w", g.name, err)
		}
	}
	return nil
}

// row is one measured thing. If rate is set, higher is better.
type row struct {
	name    string
	measure func(run int) (float64, error)
	values  []float64
}

// interleave runs all rows in turn, seven times, in rotating order.
func interleave(rows []*row) error {
	for i := range runs {
		for k := range rows {
			r := rows[(i+k)%len(rows)]
			v, err := r.measure(i)
			if err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
			r.values = append(r.values, v)
		}
	}
	return nil
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// table prints rows with their ratio to the first one, run by run.
func table(title, unit string, rows []*row) {
	fmt.Printf("\n%s\n  %-44s %14s %27s %22s\n", title, "", "median "+unit, "spread", "ratio to the first")
	for _, r := range rows {
		ratios := make([]float64, len(r.values))
		for i := range ratios {
			ratios[i] = r.values[i] / rows[0].values[i]
		}
		fmt.Printf("  %-44s %14.4g %12.4g to %12.4g %8.2f (%.2f to %.2f)\n", r.name, median(r.values),
			slices.Min(r.values), slices.Max(r.values), median(ratios), slices.Min(ratios), slices.Max(ratios))
	}
}

// scratch gives fn an empty folder on the measured disk.
func scratch(dir, name string, fn func(dir string) (float64, error)) (float64, error) {
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(path, 0o700); err != nil {
		return 0, err
	}
	defer os.RemoveAll(path)
	return fn(path)
}
