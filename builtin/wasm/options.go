package wasm

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"auditrelay"
	"auditrelay/internal/detect"
	"auditrelay/internal/manifest"
	"auditrelay/internal/meter"
)

// Options configures one guest filter. The zero value of every field but Name, and
// one of Wasm and File, is the documented default.
type Options struct {
	// Name is the filter's, for logs and errors.
	Name string
	// Wasm is the module's binary. Load does not change or keep it.
	Wasm []byte
	// File is a path to the module's binary, in the place of Wasm.
	File string
	// SHA256 is the digest that the module must have, in hexadecimal. Empty means
	// that nobody pinned it, which only a test should do.
	SHA256 string
	// Config is handed to the guest as it stands: one JSON object, or nothing.
	Config []byte
	// Grants is what the operator lets the module do, of what it asks for.
	Grants Grants
	// Detectors are those that the guest may select. Nil: those that come with the relay.
	Detectors *detect.Catalogue

	// Keys are the keys that Grants.Keys may name. The guest never sees them.
	Keys   map[string]auditrelay.Key
	Limits Limits
	// CacheDir keeps compiled modules from one start to the next. It holds native
	// code that is run as it is found: it must be the relay's alone, and Load
	// refuses one that others can enter. Empty: compiled anew at every load.
	CacheDir string
	// Compiler is the command that compiles what CacheDir does not hold yet, in a
	// process with limits on memory and CPU time: the auditrelay binary of this very
	// version, as []string{"/usr/bin/auditrelay", "internal-compile"}. Empty, or
	// without CacheDir: modules are compiled in this process. Then an estimate of what
	// compiling takes bounds it, and refuses some modules that a helper would compile.
	Compiler []string
	// Isolation says what one event's visit leaves behind for the next one's.
	Isolation auditrelay.Isolation
	// Breaker rests the module where it fails too often in a row.
	Breaker BreakerOptions
	// Budget bounds the memory of all instances that share it. Nil: no bound beside
	// each instance's own.
	Budget *Budget
	// Logger receives what guests say. Nil: slog.Default().
	Logger *slog.Logger
}

// read puts the binary that File names in the place of Wasm.
func (o *Options) read(most auditrelay.ByteSize) error {
	if (o.File == "") == (o.Wasm == nil) {
		return errors.New("expected one of Wasm and File")
	}
	if o.File == "" {
		return nil
	}
	f, err := os.Open(o.File)
	if err != nil {
		return err
	}
	defer f.Close()
	// One byte more than allowed is enough to be refused for its size.
	if o.Wasm, err = io.ReadAll(io.LimitReader(f, int64(most)+1)); err != nil {
		return fmt.Errorf("read %s: %w", o.File, err)
	}
	return nil
}

// BreakerOptions bounds what a module that does nothing but fail may cost.
type BreakerOptions struct {
	// Failures in a row after which the module rests. Default 50; negative: never.
	Failures int
	// Rest is how long at first; it doubles up to a minute. Default 1 s.
	Rest time.Duration
}

// Grants is an operator's answer to a manifest. Nothing is granted by default.
type Grants struct {
	Emit  []string `json:"emit,omitempty"`  // names of the callbacks that may receive its records
	Write []string `json:"write,omitempty"` // paths within which it may edit
	Keys  []string `json:"keys,omitempty"`  // names of the keys that it may make pseudonyms with
	// Metrics are the names of the counts that it may add to. Numbers are out of the
	// gate's reach.
	Metrics []string `json:"metrics,omitempty"`
}

// Limits bounds what one filter may use. Zero means the default.
type Limits struct {
	// Fuel is what one event may use: a unit for an ordinary instruction, more for
	// dear ones and for what host functions do. FuelPerByte comes on top for each
	// byte of the event. It is the same on every machine; on today's, a million
	// units take about a millisecond at the most. Default 4,000,000 and 4,000.
	Fuel, FuelPerByte int64
	// InitFuel is the same for an instance's start. Default 1,000,000,000.
	InitFuel int64
	// Memory is what one instance may take: linear memory, tables and globals.
	// Default 16 MiB.
	Memory auditrelay.ByteSize
	// Stack is what its calls may take, locals included. Default 2 MiB.
	Stack auditrelay.ByteSize
	// Time is how long one event may take by the wall clock, a guard behind Fuel. If the
	// guest had the processor for half of it, the guest is at fault and the event fails
	// (out_of_fuel). Otherwise the host is too busy: the guest gets four times as long, then
	// the event is tried again (wall_time). Default 10 s.
	Time time.Duration
	// InitTime is the same for an instance's start. Default 30 s.
	InitTime time.Duration
	// EmitBytes and EmitCount bound what is emitted for one event. Default
	// 256 KiB in 16 records.
	EmitBytes auditrelay.ByteSize
	EmitCount int
	// EditBytes bounds what the edits of one event hand over. Default 4 MiB.
	EditBytes auditrelay.ByteSize
	// EventBytes and Depth bound an emitted record and a replaced document, as
	// they bound an event that comes in. Default 1 MiB and 64.
	EventBytes auditrelay.ByteSize
	Depth      int
	// LogLines is how many lines a second a filter may log, over all instances.
	// Default 20.
	LogLines int
	// Module is the size of the module's binary. Default 32 MiB.
	Module auditrelay.ByteSize
}

// Footprint is the memory that one instance takes of a Budget. A callback has one
// instance of each of its filters for every CPU (runtime.GOMAXPROCS).
func (l Limits) Footprint() auditrelay.ByteSize {
	l = l.withDefaults()
	return l.Memory + l.Stack
}

// check returns an *auditrelay.OptionError for each limit that is none.
func (l Limits) check() error {
	var errs []error
	for _, c := range []struct {
		name  string
		value int64
	}{
		{"fuel", l.Fuel}, {"fuel_per_byte", l.FuelPerByte}, {"init_fuel", l.InitFuel},
		{"memory", int64(l.Memory)}, {"stack", int64(l.Stack)}, {"time", int64(l.Time)}, {"init_time", int64(l.InitTime)},
		{"emit_bytes", int64(l.EmitBytes)}, {"emit_count", int64(l.EmitCount)}, {"edit_bytes", int64(l.EditBytes)},
		{"event_bytes", int64(l.EventBytes)}, {"depth", int64(l.Depth)}, {"log_lines", int64(l.LogLines)}, {"module", int64(l.Module)},
	} {
		if c.value < 0 {
			errs = append(errs, &auditrelay.OptionError{Path: "limits." + c.name, Err: errors.New("it is negative")})
		}
	}
	if l.Memory > maxMemory {
		errs = append(errs, &auditrelay.OptionError{Path: "limits.memory", Err: fmt.Errorf("a guest's memory is at most %v", auditrelay.ByteSize(maxMemory))})
	}
	for _, c := range []struct {
		name        string
		value, most int64
	}{
		{"emit_count", int64(l.EmitCount), auditrelay.MaxEmitCount}, {"emit_bytes", int64(l.EmitBytes), int64(auditrelay.MaxEmitBytes)},
		{"edit_bytes", int64(l.EditBytes), int64(auditrelay.MaxEditBytes)},
	} {
		if c.value > c.most {
			errs = append(errs, &auditrelay.OptionError{Path: "limits." + c.name, Err: fmt.Errorf("more than the engine keeps: at most %d", c.most)})
		}
	}
	if l.Stack > maxStack {
		errs = append(errs, &auditrelay.OptionError{Path: "limits.stack", Err: fmt.Errorf("a guest's stack is at most %v", auditrelay.ByteSize(maxStack))})
	}
	return errors.Join(errs...)
}

// What a module's code may take to compile, in the meter's steps of some 3 us, where a
// helper with limits of its own compiles it. The meter's estimate is often ten times too
// high, and the helper's limits are the bound; this is only a first look.
const (
	helpedBody  = 10_000_000
	helpedSteps = 100_000_000
)

// meterOptions is how modules are metered under l; helped: they are compiled by a helper.
func meterOptions(l Limits, helped bool) meter.Options {
	limits := meter.Limits{ModuleBytes: int(l.Module), MemoryPages: int(l.Memory / pageSize)}
	if helped {
		limits.BodySteps, limits.Steps = helpedBody, helpedSteps
	}
	return meter.Options{
		Limits: limits,
		Depth:  int64(l.Stack / slotSize),
		Custom: manifest.Section,
	}
}

const (
	pageSize = 64 << 10
	slotSize = 8 // of the stack, as the meter counts it
)

// maxStack is well below where the engine's own end is.
const maxStack = 4 << 20

// maxMemory is what 32-bit pointers reach.
const maxMemory = 4 << 30

func (l Limits) withDefaults() Limits {
	return Limits{
		Fuel:        cmp.Or(l.Fuel, 4_000_000),
		FuelPerByte: cmp.Or(l.FuelPerByte, 4_000),
		InitFuel:    cmp.Or(l.InitFuel, 1_000_000_000),

		Memory:     cmp.Or(l.Memory, 16<<20),
		Stack:      cmp.Or(l.Stack, 2<<20),
		Time:       cmp.Or(l.Time, 10*time.Second),
		InitTime:   cmp.Or(l.InitTime, 30*time.Second),
		EmitBytes:  cmp.Or(l.EmitBytes, 256<<10),
		EmitCount:  cmp.Or(l.EmitCount, 16),
		EditBytes:  cmp.Or(l.EditBytes, 4<<20),
		EventBytes: cmp.Or(l.EventBytes, 1<<20),
		Depth:      cmp.Or(l.Depth, 64),
		LogLines:   cmp.Or(l.LogLines, 20),
		Module:     cmp.Or(l.Module, 32<<20),
	}
}
