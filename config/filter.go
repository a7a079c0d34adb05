package config

import (
	"encoding/json"
	"time"

	"auditrelay"
)

// Filter is one named step that callbacks list: a policy of the native filter under
// redact, or a WebAssembly guest under wasm or module.
type Filter struct {
	// Name is the key under which the filter stands.
	Name string `yaml:"-"`

	// Redact is a policy by which events are redacted, for those who do not program.
	// It stands in the place of a guest.
	Redact *Section `yaml:"redact"`

	// Wasm is the module's file, relative to the configuration's.
	Wasm string `yaml:"wasm"`

	// Module is, in the place of a file, the name of uploaded modules (auditrelay
	// module push --name NAME). Which of them runs is chosen by auditrelay module
	// use FILTER DIGEST; until then nothing passes, and what the callbacks receive
	// stays pending.
	Module string `yaml:"module"`

	// SHA256 pins the module: 64 hexadecimal digits; another file under the same
	// name is refused. Default: not pinned.
	SHA256 string `yaml:"sha256"`

	// Cases is a file of recorded cases, as auditrelay guest test runs them, relative
	// to the configuration's: a module that does not pass them all, under this
	// filter's config, grants and limits, is refused, at start as when it is to be
	// used in the place of another. Default: none.
	Cases string `yaml:"cases"`

	// Config is handed to the guest as JSON: any mapping.
	Config json.RawMessage `yaml:"config"`

	// Grants are what the guest may do, of what its manifest asks for. Default:
	// nothing; it may look and judge.
	Grants Grants `yaml:"grants"`

	// Limits bound what the guest may use.
	Limits Limits `yaml:"limits"`

	// OnError says what becomes of an event on which the filter fails:
	// dead_letter (set aside, replayable, with a tombstone in its place) or
	// discard (the tombstone alone). It never goes on. Default: dead_letter.
	OnError auditrelay.OnError `yaml:"on_error"`

	// Role is judge (it may drop, and edit and emit as it is granted) or observe: it
	// may look, log and emit, neither edit nor drop, and where it fails the event
	// goes on as if it had not been there. Default: judge.
	Role auditrelay.Role `yaml:"role"`

	// Isolation says what one event leaves behind for the next: instance (memory
	// and globals stay, so that a guest may count or sample) or event (all is put
	// back to what it was when the instance had started, so that the verdict depends
	// on module, config and event alone). Default: instance.
	Isolation auditrelay.Isolation `yaml:"isolation"`

	// Breaker rests the guest where it fails on one event after the other: what
	// its callbacks receive stays pending, and one event at a time is tried.
	Breaker Breaker `yaml:"breaker"`

	line   int
	module string
	keys   []string // of a native filter
}

// KeyNames are the names of the keys with which the filter may make pseudonyms.
func (f *Filter) KeyNames() []string {
	if f.Native() {
		return f.keys
	}
	return f.Grants.Keys
}

// Native reports whether the filter is the relay's own rather than a guest.
func (f *Filter) Native() bool { return f.Redact != nil }

// ModuleDigest is the SHA-256 of the file that Wasm names, in hexadecimal; empty
// where it names none.
func (f *Filter) ModuleDigest() string { return f.module }

// Line is where the filter stands in the file.
func (f *Filter) Line() int { return f.line }

// Grants are what a guest may do.
type Grants struct {
	// Emit names the callbacks that the guest may hand records to. Each must
	// receive emitted records, and no chain of them may lead back.
	Emit []string `yaml:"emit"`
	// Write are the paths that the guest may edit, such as updated_values.**.
	Write []string `yaml:"write"`
	// Keys names entries of keys with which the guest may make pseudonyms; it
	// never sees the keys.
	Keys []string `yaml:"keys"`
	// Metrics are the names of the counts that the guest may add to, shown as
	// auditrelay_guest_count_total. must_not_leave does not see numbers: grant them
	// to modules that you trust with them.
	Metrics []string `yaml:"metrics"`
}

// Limits bound what a guest may use. A breach is a failure of the filter on that
// event.
type Limits struct {
	// Fuel for one event, in units: one for an ordinary instruction, more for dear
	// ones and for what host functions do. The same event takes the same fuel on
	// every machine; a million units take about a millisecond at the most. Default:
	// 4000000.
	Fuel int64 `yaml:"fuel" range:"1000..1000000000000"`
	// FuelPerByte comes on top for each byte of the event. Default: 4000.
	FuelPerByte int64 `yaml:"fuel_per_byte" range:"1..1000000000"`
	// InitFuel for starting an instance. Default: 1000000000.
	InitFuel int64 `yaml:"init_fuel" range:"1000..1000000000000"`
	// Memory of one instance: linear memory, tables and globals. Default: 16MiB.
	Memory auditrelay.ByteSize `yaml:"memory" range:"64KiB..1GiB"`
	// Stack of one instance, locals included. Default: 2MiB.
	Stack auditrelay.ByteSize `yaml:"stack" range:"4KiB..4MiB"`
	// Time for one event by the wall clock: the host's guard behind fuel. An event
	// that meets it is tried again, and then held; it is never a dead letter.
	// Default: 10s.
	Time time.Duration `yaml:"time" range:"1ms..10m"`
	// InitTime for starting an instance, likewise. Default: 30s.
	InitTime time.Duration `yaml:"init_time" range:"1ms..10m"`
	// EmitBytes of all records emitted for one event; all filters of a callback
	// together emit at most 64MiB for one. Default: 256KiB.
	EmitBytes auditrelay.ByteSize `yaml:"emit_bytes" range:"1B..64MiB"`
	// EmitCount is the most records emitted for one event; all filters of a callback
	// together emit at most 10000 for one. Default: 16.
	EmitCount int `yaml:"emit_count" range:"1..10000"`
	// EditBytes that the edits of one event may hand over; all filters of a callback
	// together at most 64MiB for one. Default: 4MiB.
	EditBytes auditrelay.ByteSize `yaml:"edit_bytes" range:"1B..64MiB"`
	// LogLines a second that the filter may log. Default: 20.
	LogLines int `yaml:"log_lines" range:"1..10000"`
	// Module is the largest binary that is taken. Default: 32MiB.
	Module auditrelay.ByteSize `yaml:"module" range:"1KiB..256MiB"`
}

// Breaker rests a guest that does nothing but fail.
type Breaker struct {
	// Failures in a row after which it rests. Default: 50.
	Failures int `yaml:"failures" range:"1..1000000"`
	// Rest is how long at first; it doubles up to a minute. Default: 1s.
	Rest time.Duration `yaml:"rest" range:"1ms..1m"`
}
