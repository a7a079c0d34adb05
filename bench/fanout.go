package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"auditrelay"
	"auditrelay/builtin/file"
	"auditrelay/builtin/redact"
	"auditrelay/builtin/wasm"
	"auditrelay/config"
	"auditrelay/filter"
	"auditrelay/internal/redaction"
	"auditrelay/internal/test/corpus"
	"auditrelay/runtime"
)

// fanOutRuns is the number of runs of each row. Each run is a process.
const fanOutRuns = 3

// fanOut is one measurement: the kind and number of callbacks, and the events.
type fanOut struct {
	Kind      string // none, shared, distinct, guest, worker or dead: see callbacks
	Callbacks int
	Events    int
	Size      int // approximate size in bytes
}

func (f fanOut) String() string { return fmt.Sprintf("%d callbacks, %s", f.Callbacks, f.Kind) }

// fanned is the result of one run of a fanOut.
type fanned struct {
	CPU      time.Duration // of the process, from the first Submit until everything is settled
	Accepted time.Duration // until the last Submit returned
	Settled  time.Duration // until everything is settled
	Resident int64         // maximum resident memory in MB
	Written  int64         // bytes passed to write(2), including those of the sinks
	Bytes    int64         // of the events
}

// fanOutGroup measures the cost of another callback: CPU, accept rate, memory, bytes written.
// Each run has its own process. The cost of a callback is the difference to the run without
// callbacks in the same round.
func fanOutGroup(dir string, n int, only, profile string) error {
	none := fanOut{Kind: "none", Events: n, Size: 750}
	rows := []fanOut{none, none}
	for _, kind := range []string{"none", "shared", "distinct", "guest"} {
		for _, callbacks := range []int{1, 4, 16, 64} {
			if only != "" && !strings.Contains(only, fmt.Sprint(kind, callbacks)) {
				continue
			}
			events := n
			if callbacks == 64 {
				events = n / 4
			}
			rows = append(rows, fanOut{kind, callbacks, events, 750})
			if kind == "none" && callbacks == 1 {
				rows = append(rows, fanOut{kind, callbacks, events, 750}) // the noise
			}
		}
	}
	memory := []fanOut{}
	if only == "" || strings.Contains(only, "memory") {
		memory = append(memory, fanOut{"dead", 16, n / 2, 8 << 10}, fanOut{"dead", 64, n / 4, 8 << 10},
			fanOut{"dead", 16, n, 750}, fanOut{"dead", 64, n / 4, 750})
	}
	all := append(rows, memory...)
	results := make([][]fanned, len(all))
	for range fanOutRuns {
		for i, f := range all {
			r, err := runFanOut(dir, profile, f)
			if err != nil {
				return fmt.Errorf("%v: %w", f, err)
			}
			results[i] = append(results[i], r)
		}
	}
	printFanOut(all, results)
	return nil
}

func printFanOut(all []fanOut, results [][]fanned) {
	const line = "  %-26s %22s %20s %12s %10s %20s\n"
	fmt.Printf("\nFan-out to files, %d events of %d bytes, medians of %d processes each\n", all[0].Events, all[0].Size, fanOutRuns)
	fmt.Printf(line, "", "us/event and callback", "accepted, 1000/s", "settled, s", "MB", "written/byte (sinks)")
	each := func(i int, fn func(f fanned, base fanned) float64) string {
		var values []float64
		for k, r := range results[i] {
			values = append(values, fn(r, results[0][k]))
		}
		low, high := values[0], values[0]
		for _, v := range values {
			low, high = min(low, v), max(high, v)
		}
		return fmt.Sprintf("%.4g (%.3g-%.3g)", median(values), low, high)
	}
	for i, f := range all {
		events, base := float64(f.Events), float64(all[0].Events)
		cost := each(i, func(r, none fanned) float64 {
			perEvent := float64(r.CPU.Microseconds()) / events
			if f.Callbacks == 0 {
				return perEvent
			}
			return (perEvent - float64(none.CPU.Microseconds())/base) / float64(f.Callbacks)
		})
		fmt.Printf(line, fmt.Sprintf("%s, %d B", f, f.Size), cost,
			each(i, func(r, _ fanned) float64 { return events / r.Accepted.Seconds() / 1000 }),
			each(i, func(r, _ fanned) float64 { return r.Settled.Seconds() })[:5],
			each(i, func(r, _ fanned) float64 { return float64(r.Resident) }),
			each(i, func(r, _ fanned) float64 { return float64(r.Written) / float64(r.Bytes) }))
	}
}

// runFanOut runs one measurement in its own process.
func runFanOut(dir, profile string, f fanOut) (r fanned, err error) {
	self, err := os.Executable()
	if err != nil {
		return r, err
	}
	at := filepath.Join(dir, "fan-out")
	defer os.RemoveAll(at)
	if profile != "" {
		profile = filepath.Join(profile, fmt.Sprint(f.Kind, f.Callbacks, ".pprof"))
	}
	cmd := exec.Command(self, "-dir", at, "-cpuprofile", profile, "-child", strings.Join([]string{"fan-out", f.Kind,
		strconv.Itoa(f.Callbacks), strconv.Itoa(f.Events), strconv.Itoa(f.Size)}, ":"))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(out, &r)
}

// fanOutChild is the process of one measurement.
func fanOutChild(child, dir, profile string) error {
	words := strings.Split(child, ":")
	f := fanOut{Kind: words[1]}
	for i, n := range []*int{&f.Callbacks, &f.Events, &f.Size} {
		var err error
		if *n, err = strconv.Atoi(words[i+2]); err != nil {
			return err
		}
	}
	debug.SetMemoryLimit(160 << 20) // as the program does
	if profile != "" {
		out, err := os.Create(profile)
		if err != nil {
			return err
		}
		defer out.Close()
		if err := pprof.StartCPUProfile(out); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	r, err := f.measure(dir)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

func (f fanOut) measure(dir string) (out fanned, err error) {
	callbacks, err := f.callbacks(dir)
	if err != nil {
		return out, err
	}
	r, err := runtime.Open(context.Background(), runtime.Options{Dir: dir, Logger: slog.New(slog.DiscardHandler), Callbacks: callbacks})
	if err != nil {
		return out, err
	}
	defer r.Close()
	cpuAt, writtenAt, begin := cpu(), written(), time.Now()
	if out.Bytes, err = f.submit(r); err != nil {
		return out, err
	}
	out.Accepted = time.Since(begin)
	if err := f.settled(r); err != nil {
		return out, err
	}
	out.Settled = time.Since(begin)
	out.CPU = cpu() - cpuAt
	out.Written, out.Resident = written()-writtenAt, peak()
	for i := range callbacks {
		status, err := r.Callback(callbacks[i].Name)
		if err != nil {
			return out, err
		}
		if a := status.Account; !a.Balanced || f.Kind != "dead" && a.Delivered+a.Filtered+a.DeadLettered != uint64(f.Events) {
			return out, fmt.Errorf("not all events are there: %+v", a)
		}
	}
	return out, nil
}

// submit submits the events, one per call, with 64 producers, and returns their size. It
// creates them on the fly, so every row includes that time.
func (f fanOut) submit(r *runtime.Runtime) (int64, error) {
	accept := submitter(r)
	var next, size atomic.Int64
	failed := make(chan error, producers)
	for p := range producers {
		go func() {
			for g := corpus.New(uint64(p)); next.Add(1) <= int64(f.Events); {
				e := g.Next().Data
				if f.Size > 2*len(e) { // a large event contains others
					e = append(e[:len(e)-1], `,"padding":[0`...)
					for len(e) < f.Size {
						e = append(append(e, ','), g.Next().Data...)
					}
					e = append(e, "]}"...)
				}
				size.Add(int64(len(e)))
				if err := accept(e); err != nil {
					failed <- err
					return
				}
			}
			failed <- nil
		}()
	}
	var errs []error
	for range producers {
		errs = append(errs, <-failed)
	}
	return size.Load(), errors.Join(errs...)
}

// settled waits until nothing is pending. If every second callback is dead, it waits only for
// the others.
func (f fanOut) settled(r *runtime.Runtime) error {
	if f.Kind != "dead" {
		return r.Settled(context.Background())
	}
	for i := 1; i < f.Callbacks; i += 2 {
		for {
			status, err := r.Callback(fmt.Sprint("c", i))
			if err != nil {
				return err
			}
			if status.Account.Settled() {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	return nil
}

// callbacks creates the callbacks of a measurement, each with its own file. For the kind dead,
// every second one has a destination that accepts nothing.
func (f fanOut) callbacks(dir string) ([]runtime.Callback, error) {
	var shared filter.Filter
	var out []runtime.Callback
	for i := range f.Callbacks {
		sink, err := file.New(file.Options{Path: filepath.Join(dir, "out", fmt.Sprint(i, ".ndjson"))})
		if err != nil {
			return nil, err
		}
		c := runtime.Callback{Name: fmt.Sprint("c", i), Sink: sink}
		var step filter.Filter
		switch f.Kind {
		case "shared":
			if shared == nil {
				if shared, err = fanOutPolicy(0); err != nil {
					return nil, err
				}
			}
			step = shared
		case "distinct":
			if step, err = fanOutPolicy(i); err != nil {
				return nil, err
			}
		case "guest":
			if shared == nil {
				g, err := openGuest("reference-go", auditrelay.IsolationInstance)
				if err != nil {
					return nil, err
				}
				g.instance.Close()
				shared = g.module
			}
			step = shared
		case "worker":
			if shared == nil {
				if shared, err = wasm.Load(context.Background(), workerOptions(dir, "reference-go")); err != nil {
					return nil, err
				}
			}
			step = shared
		case "dead":
			if i%2 == 0 {
				sink.Close()
				c.Sink = deadSink{}
			}
		}
		if step != nil {
			c.Steps = []runtime.Step{{Name: "step", Filter: step}}
		}
		out = append(out, c)
	}
	return out, nil
}

// fanOutPolicy returns the preset minimal plus one rule that differs for each i.
func fanOutPolicy(i int) (filter.Filter, error) {
	text, err := redact.Preset("minimal")
	if err != nil {
		return nil, err
	}
	section, err := config.ReadSection("policy", text)
	if err != nil {
		return nil, err
	}
	var o redact.Options
	if err := section.Decode(&o); err != nil {
		return nil, err
	}
	o.Rules = append(o.Rules, redact.Rule{Paths: []string{fmt.Sprint("updated_values.only_", i)}, Do: redaction.Remove})
	return redact.New(o, nil)
}

// written returns the number of bytes that this process passed to write(2).
func written() int64 {
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "wchar:"); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(rest), 10, 64)
			return n
		}
	}
	return 0
}
