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

// Options configure one guest filter. Name and one of Wasm and File are required. The zero
// value of every other field means its documented default.
type Options struct {
	// Name is the name of the filter, for logs and errors.
	Name string
	// Wasm is the module's binary. Load neither changes nor keeps it.
	Wasm []byte
	// File is the path of the module's binary. Set it or Wasm.
	File string
	// SHA256 is the required digest of the module, in hexadecimal. Empty accepts any
	// module: only for tests.
	SHA256 string
	// Config is passed to the guest unchanged: one JSON object, or nothing.
	Config []byte
	// Grants are the permissions that the operator gives, of those in the module's
	// manifest.
	Grants Grants
	// Detectors is the catalogue of detectors that the guest may use. Nil: the built-in ones.
	Detectors *detect.Catalogue

	// Keys are the keys that Grants.Keys may name. The guest never sees them.
	Keys   map[string]auditrelay.Key
	Limits Limits
	// CacheDir stores compiled modules between starts. It contains native code that runs
	// unchecked, so only the relay's user may have access: Load rejects a directory that other
	// users can enter. Empty: every Load compiles.
	CacheDir string
	// Compiler is the command that compiles a module that is not in CacheDir, in a process with
	// limits on memory and CPU time. It must be the auditrelay binary of exactly this version,
	// such as []string{"/usr/bin/auditrelay", "internal-compile"}. Without it, or without
	// CacheDir, modules are compiled in this process. Nothing then stops a small module that
	// takes minutes to compile, so load only modules that you trust.
	Compiler []string
	// Worker is the command that runs guests in worker processes: the auditrelay binary of
	// exactly this version, such as []string{"/usr/bin/auditrelay", "internal-guest"}, or a
	// program that calls RunWorker. Each callback's guest has a process. Empty, or on a system
	// other than Linux: guests run in this process.
	Worker []string
	// RequireLocks makes Load fail if the operating system cannot confine a worker process
	// (Locks.Hold). Default: Load skips restrictions that cannot be applied, and Module.Locks
	// reports them.
	RequireLocks bool
	// Isolation selects how much state an instance keeps between events. Default:
	// auditrelay.IsolationInstance.
	Isolation auditrelay.Isolation
	// Breaker pauses the module if it fails too often in a row.
	Breaker BreakerOptions
	// Budget limits the memory of all instances that share it. Nil: only the limit of
	// each instance.
	Budget *Budget
	// Logger receives the log lines of the guest. Default: slog.Default().
	Logger *slog.Logger
}

// read sets Wasm to the binary that File names.
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
	// One byte more than allowed is enough to reject the module for its size.
	if o.Wasm, err = io.ReadAll(io.LimitReader(f, int64(most)+1)); err != nil {
		return fmt.Errorf("read %s: %w", o.File, err)
	}
	return nil
}

// BreakerOptions limit the cost of a module that always fails.
type BreakerOptions struct {
	// Failures is the number of consecutive failures after which the module pauses. Default:
	// 50. Negative: it never pauses.
	Failures int
	// Rest is the first pause. Each further pause is twice as long, up to a minute. Default: 1
	// s.
	Rest time.Duration
}

// Grants are the operator's permissions for a module. Everything else is denied.
type Grants struct {
	Emit  []string `json:"emit,omitempty"`  // callbacks that may receive its records
	Write []string `json:"write,omitempty"` // paths that it may edit
	Keys  []string `json:"keys,omitempty"`  // keys for its pseudonyms
	// Metrics are the metrics that it may count. The gate does not check them, so a guest could
	// leak data as numbers.
	Metrics []string `json:"metrics,omitempty"`
}

// Limits limit one filter. A zero field means its default; a negative one is an error.
type Limits struct {
	// Fuel is the budget of one event: one unit for an ordinary instruction, more for
	// expensive ones and for host functions. FuelPerByte is added for each byte of the
	// event. A unit is the same on every machine; on current ones a million units take at
	// most about a millisecond. Default: 4,000,000 and 4,000.
	Fuel, FuelPerByte int64
	// InitFuel is the budget of the start of an instance. Default: 1,000,000,000.
	InitFuel int64
	// Memory limits one instance: linear memory, tables and globals. Default: 16 MiB. At
	// most 4 GiB.
	Memory auditrelay.ByteSize
	// Stack limits the call stack of one instance, including locals. Default: 2 MiB. At most 4
	// MiB.
	Stack auditrelay.ByteSize
	// Time limits one event by the wall clock, in addition to Fuel. If the guest had the
	// processor for half of it, the guest is at fault and the event fails (out_of_fuel).
	// Otherwise the host is overloaded: the guest gets four times as long, and then the event
	// is retried alone in a fresh worker process. The second time it fails permanently
	// (wall_time). In this process the event is held instead. Default: 10 s.
	Time time.Duration
	// InitTime is the same limit for the start of an instance. Default: 30 s.
	InitTime time.Duration
	// EmitBytes and EmitCount limit the records emitted for one event. Default: 256 KiB
	// and 16. At most auditrelay.MaxEmitBytes and MaxEmitCount.
	EmitBytes auditrelay.ByteSize
	EmitCount int
	// EditBytes limits the data of all edits of one event. Default: 4 MiB. At most
	// auditrelay.MaxEditBytes.
	EditBytes auditrelay.ByteSize
	// EventBytes and Depth limit an emitted record and a replaced document, as they limit
	// an incoming event. Default: 1 MiB and 64.
	EventBytes auditrelay.ByteSize
	Depth      int
	// LogLines is the maximum number of log lines per second, over all instances.
	// Default: 20.
	LogLines int
	// Module is the maximum size of the module's binary. Default: 32 MiB.
	Module auditrelay.ByteSize
}

// Footprint returns the memory that one instance reserves from a Budget. A callback has
// one instance of each of its filters per worker (by default runtime.GOMAXPROCS).
func (l Limits) Footprint() auditrelay.ByteSize {
	l = l.withDefaults()
	return l.Memory + l.Stack
}

// check returns an *auditrelay.OptionError for each invalid limit, joined.
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
		errs = append(errs, &auditrelay.OptionError{Path: "limits.memory", Err: fmt.Errorf("at most %v for a guest's memory", auditrelay.ByteSize(maxMemory))})
	}
	for _, c := range []struct {
		name        string
		value, most int64
	}{
		{"emit_count", int64(l.EmitCount), auditrelay.MaxEmitCount}, {"emit_bytes", int64(l.EmitBytes), int64(auditrelay.MaxEmitBytes)},
		{"edit_bytes", int64(l.EditBytes), int64(auditrelay.MaxEditBytes)},
	} {
		if c.value > c.most {
			errs = append(errs, &auditrelay.OptionError{Path: "limits." + c.name, Err: fmt.Errorf("at most %d: the engine stores no more", c.most)})
		}
	}
	if l.Stack > maxStack {
		errs = append(errs, &auditrelay.OptionError{Path: "limits.stack", Err: fmt.Errorf("at most %v for a guest's stack", auditrelay.ByteSize(maxStack))})
	}
	return errors.Join(errs...)
}

// meterOptions returns the options of the meter under l.
func meterOptions(l Limits) meter.Options {
	return meter.Options{
		Limits: meter.Limits{ModuleBytes: int(l.Module), MemoryPages: int(l.Memory / pageSize)},
		Depth:  int64(l.Stack / slotSize),
		Custom: manifest.Section,
	}
}

const (
	pageSize = 64 << 10
	slotSize = 8 // of a slot of the stack, as the meter counts
)

// maxStack is well below the engine's own limit.
const maxStack = 4 << 20

// maxMemory is the range of 32-bit pointers.
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
