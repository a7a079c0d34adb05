package guest

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"auditrelay"
)

// Options configures one guest filter. The zero value of all but Name and Wasm
// is the documented default.
type Options struct {
	// Name is the filter's, for logs and errors.
	Name string
	// Wasm is the module's binary. Load does not change or keep it.
	Wasm []byte
	// SHA256 is the digest that the module must have, in hexadecimal. Empty means
	// that nobody pinned it, which only a test should do.
	SHA256 string
	// Config is handed to the guest as it stands: one JSON object, or nothing.
	Config []byte
	// Grants is what the operator lets the module do, of what it asks for.
	Grants Grants
	// Keys are the keys that Grants.Keys may name. The guest never sees them.
	Keys   map[string]auditrelay.Secret
	Limits Limits
	// CacheDir keeps compiled modules from one start to the next. It holds native
	// code that is run as it is found: it must be the relay's alone, and Load
	// refuses one that others can enter. Empty: compiled anew at every load.
	CacheDir string
	// Logger receives what guests say. Nil: slog.Default().
	Logger *slog.Logger
}

// Grants is an operator's answer to a manifest. Nothing is granted by default.
type Grants struct {
	Emit  []string // names of the callbacks that may receive its records
	Write []string // paths within which it may edit
	Keys  []string // names of the keys that it may make pseudonyms with
}

// Limits bounds what one filter may use. Zero means the default.
type Limits struct {
	// Memory is one instance's linear memory. Default 16 MiB.
	Memory auditrelay.ByteSize
	// Time is how long one event may take, by the wall clock: a guard, since the
	// same guest takes longer on a busy machine. Default 250 ms.
	Time time.Duration
	// InitTime is the same for an instance's start. Default 10 s.
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

// check returns an *auditrelay.OptionError for each limit that is none.
func (l Limits) check() error {
	var errs []error
	for _, c := range []struct {
		name  string
		value int64
	}{
		{"memory", int64(l.Memory)}, {"time", int64(l.Time)}, {"init_time", int64(l.InitTime)},
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
	return errors.Join(errs...)
}

// maxMemory is what 32-bit pointers reach.
const maxMemory = 4 << 30

func (l Limits) withDefaults() Limits {
	return Limits{
		Memory:     cmp.Or(l.Memory, 16<<20),
		Time:       cmp.Or(l.Time, 250*time.Millisecond),
		InitTime:   cmp.Or(l.InitTime, 10*time.Second),
		EmitBytes:  cmp.Or(l.EmitBytes, 256<<10),
		EmitCount:  cmp.Or(l.EmitCount, 16),
		EditBytes:  cmp.Or(l.EditBytes, 4<<20),
		EventBytes: cmp.Or(l.EventBytes, 1<<20),
		Depth:      cmp.Or(l.Depth, 64),
		LogLines:   cmp.Or(l.LogLines, 20),
		Module:     cmp.Or(l.Module, 32<<20),
	}
}
