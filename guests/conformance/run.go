package conformance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"auditrelay"
	"auditrelay/document"
	"auditrelay/filter"
)

// Guest is the input of a Target.
type Guest struct {
	Name string
	Wasm []byte
	// Fuel, FuelPerByte, Memory and Stack are the budget that the target must enforce. It must
	// grant Write, Emit, Key and Metric.
	Fuel, FuelPerByte int64
	Memory, Stack     int64
	Write, Emit       []string
	Key, Metric       string
}

// Target loads a guest into the tested engine. An error means that the module was refused.
type Target func(ctx context.Context, g Guest) (filter.Filter, error)

// The budget of every module in the kit.
const (
	Fuel        = 4_000_000
	FuelPerByte = 4_000
	Memory      = 16 << 20
	Stack       = 2 << 20
)

// Overshoot is the maximum fuel that a stopped module may have used beyond its budget: the work
// of one host function before it is charged, and the code between two checks.
const Overshoot = 100_000

// Result is the result of one case.
type Result struct {
	Name     string           `json:"name"`
	What     string           `json:"what"`
	Expected string           `json:"expected"`
	Got      string           `json:"got"`
	OK       bool             `json:"ok"`
	Problems []string         `json:"problems,omitempty"`
	Cause    auditrelay.Cause `json:"cause,omitempty"`

	Loaded  time.Duration `json:"load_ns"`           // until it was loaded or refused
	Stopped time.Duration `json:"stopped_ns"`        // from the event to the verdict or the failure
	GC      time.Duration `json:"gc_ns"`             // the longest garbage collection of the host meanwhile
	Fuel    int64         `json:"fuel,omitempty"`    // used
	Over    int64         `json:"over,omitempty"`    // beyond its budget
	Grown   int64         `json:"grown_bytes"`       // increase of the process's resident memory
	NextOK  bool          `json:"next_ok,omitempty"` // the next event was handled well
}

// event returns the event for the modules: 1 KB.
func event() []byte {
	return []byte(`{"id":"e-1","updated_at":"2026-01-02T03:04:05+00:00","action":"updated","table_name":"` + strings.Repeat("a", 500) +
		`","object_id":"o-1","updated_values":"{\"alias\":\"` + strings.Repeat("b", 300) + `\"}"}`)
}

// Run runs every case against a target, one after the other. An error concerns the kit or ctx,
// never a case.
func Run(ctx context.Context, target Target) ([]Result, error) {
	cases, err := Cases()
	if err != nil {
		return nil, err
	}
	good, err := target(ctx, guest("good", built{event: []byte{opI32Const, 1}}.wasm()))
	if err != nil {
		return nil, fmt.Errorf("the target does not load a module that keeps everything: %w", err)
	}
	defer good.Close()
	results := make([]Result, 0, len(cases))
	for i := range cases {
		if err := ctx.Err(); err != nil {
			return results, err
		}
		results = append(results, run(ctx, target, good, &cases[i]))
	}
	return results, nil
}

func guest(name string, wasm []byte) Guest {
	return Guest{Name: name, Wasm: wasm, Fuel: Fuel, FuelPerByte: FuelPerByte, Memory: Memory, Stack: Stack,
		Write: []string{"**"}, Emit: []string{"alerts"}, Key: "key", Metric: "metric"}
}

func run(ctx context.Context, target Target, good filter.Filter, c *Case) (r Result) {
	r = Result{Name: c.Name, What: c.What}
	problem := func(format string, args ...any) { r.Problems = append(r.Problems, fmt.Sprintf(format, args...)) }
	before := resident()
	collector := startCollector()
	defer func() {
		r.GC = collector.stop()
		r.Grown = max(0, resident()-before)
		r.OK = len(r.Problems) == 0
	}()

	start := time.Now()
	f, err := target(ctx, guest(c.Name, c.Wasm))
	r.Loaded = time.Since(start)
	if c.Refused != "" {
		r.Expected, r.Got = "refused", "refused"
		switch {
		case err == nil:
			r.Got = "loaded"
			problem("it was loaded")
			_ = f.Close()
		case !strings.Contains(err.Error(), c.Refused):
			problem("refused for another reason than %q: %v", c.Refused, err)
		}
		r.NextOK = keeps(ctx, good, &r)
		return r
	}
	r.Expected = "keep"
	if c.Cause != auditrelay.CauseNone {
		r.Expected = string(c.Cause)
	}
	if err != nil {
		r.Got = "refused"
		problem("it was refused: %v", err)
		return r
	}
	defer func() { _ = f.Close() }()

	r.Got, r.Cause, r.Stopped, r.Fuel = judge(ctx, f, 1)
	if r.Got != r.Expected {
		problem("got %s", r.Got)
	}
	if r.Over = max(0, r.Fuel-(Fuel+FuelPerByte*int64(len(event())))); r.Over > Overshoot {
		problem("it used %d units beyond its budget", r.Over)
	}
	// The next event, in a new instance: a harmless one is kept. If the module treats all
	// alike, it fails alike. Another module is not disturbed.
	next, _, _, _ := judge(ctx, f, 2)
	if r.NextOK = next == "keep" || next == r.Expected; !r.NextOK {
		problem("the event after it: got %s", next)
	}
	r.NextOK = keeps(ctx, good, &r) && r.NextOK
	return r
}

// keeps reports whether a module that keeps everything still does.
func keeps(ctx context.Context, good filter.Filter, r *Result) bool {
	got, _, _, _ := judge(ctx, good, 1)
	if got != "keep" {
		r.Problems = append(r.Problems, "a module beside it: got "+got)
	}
	return got == "keep"
}

// judge passes one event to a new instance.
func judge(ctx context.Context, f filter.Filter, sequence uint64) (got string, cause auditrelay.Cause, took time.Duration, fuel int64) {
	instance, err := f.Open(ctx)
	if err != nil {
		return "no instance: " + err.Error(), "", 0, 0
	}
	defer func() { _ = instance.Close() }()
	data := event()
	d := new(document.Document)
	d.Reset(data)
	call := &filter.Call{Document: d, Event: &auditrelay.Event{Namespace: auditrelay.NamespaceLiteLLM, ID: "e-1", Sequence: sequence, Received: time.Unix(0, 0), Data: data}}
	start := time.Now()
	verdict, err := instance.Apply(ctx, call)
	took = time.Since(start)
	if err == nil {
		return verdict.String(), "", took, call.Usage.Fuel
	}
	cause = auditrelay.CauseFail
	if failure, ok := errors.AsType[*filter.Error](err); ok {
		cause = failure.Cause
	}
	return string(cause), cause, took, call.Usage.Fuel
}

// collector runs the host's garbage collector repeatedly and records the longest run: a guest
// that does not return to the host delays it.
type collector struct {
	done    chan struct{}
	wg      sync.WaitGroup
	longest time.Duration
}

func startCollector() *collector {
	c := &collector{done: make(chan struct{})}
	c.wg.Go(func() {
		for {
			start := time.Now()
			runtime.GC()
			c.longest = max(c.longest, time.Since(start))
			select {
			case <-c.done:
				return
			default:
			}
		}
	})
	return c
}

func (c *collector) stop() time.Duration {
	close(c.done)
	c.wg.Wait()
	return c.longest
}

// resident returns the process's resident memory in bytes, or 0 if unknown.
func resident() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			fields := strings.Fields(rest)
			if len(fields) > 0 {
				kb, _ := strconv.ParseInt(fields[0], 10, 64)
				return kb << 10
			}
		}
	}
	return 0
}
