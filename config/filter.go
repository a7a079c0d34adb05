package config

import (
	"encoding/json"
	"slices"
	"time"

	"auditrelay"
)

// Filter is one named filter: a policy under redact, or a WebAssembly guest under wasm
// or module.
type Filter struct {
	// Name is the filter's key.
	Name string `yaml:"-"`

	// Redact is a policy: rules in YAML, without programming. A filter has either a policy
	// or a guest.
	Redact *Section `yaml:"redact"`

	// Wasm is the module's file, relative to the configuration file.
	Wasm string `yaml:"wasm"`

	// Module is the name of uploaded modules (auditrelay module push --name NAME), instead of a
	// file. auditrelay module use FILTER DIGEST selects one. Until then the callbacks' events
	// stay pending.
	Module string `yaml:"module"`

	// SHA256 pins the module: 64 hexadecimal digits. A file with another digest is rejected.
	// Default: not pinned.
	SHA256 string `yaml:"sha256"`

	// Cases is a file of recorded cases, as for auditrelay guest test, relative to the
	// configuration file. A module must pass all of them, under this filter's config,
	// grants and limits, at the start and before a switch. Default: none.
	Cases string `yaml:"cases"`

	// Config is any mapping; the guest gets it as JSON.
	Config json.RawMessage `yaml:"config"`

	// Grants allow what the guest's manifest asks for. Default: nothing; it may only look and
	// decide.
	Grants Grants `yaml:"grants"`

	// Limits are the guest's budget.
	Limits Limits `yaml:"limits"`

	// OnError selects what happens to an event if the filter fails: dead_letter (it becomes a
	// dead letter, which can be replayed, and the destination gets a tombstone) or discard
	// (only the tombstone). The event itself never reaches the sink. Default: dead_letter.
	OnError auditrelay.OnError `yaml:"on_error"`

	// Role limits what the filter may do: judge (may drop events; may edit and emit with
	// grants) or observe (may read events, log and emit, but neither edit nor drop; if it
	// fails, the event continues as if the filter were absent). Default: judge.
	Role auditrelay.Role `yaml:"role"`

	// Isolation selects how much state an instance keeps between events: instance (memory and
	// globals stay, so a guest may count or sample) or event (everything is restored to the
	// state after the start, so the verdict depends only on module, config and event). Default:
	// instance.
	Isolation auditrelay.Isolation `yaml:"isolation"`

	// Breaker pauses a guest that fails on many events in a row. Meanwhile its callbacks'
	// events stay pending, and one event at a time is tried.
	Breaker Breaker `yaml:"breaker"`

	place  Place
	module string
	keys   []string // for a native filter
}

// KeyNames returns the names of the keys that the filter may use for pseudonyms.
func (f *Filter) KeyNames() []string {
	if f.Native() {
		return f.keys
	}
	return f.Grants.Keys
}

// Native reports whether the filter is built in, that is, not a guest.
func (f *Filter) Native() bool { return f.Redact != nil }

// ModuleDigest returns the SHA-256 of the file Wasm, in hexadecimal; empty without a
// file.
func (f *Filter) ModuleDigest() string { return f.module }

// Place returns the filter's place in the configuration.
func (f *Filter) Place() Place { return f.place }

// Grants are the rights of a guest.
type Grants struct {
	// Emit names the callbacks that the guest may emit records to. Each must receive
	// emitted records, and there must be no cycle.
	Emit []string `yaml:"emit"`
	// Write lists the paths that the guest may edit, such as updated_values.**.
	Write []string `yaml:"write"`
	// Keys names the entries of keys that the guest may use for pseudonyms. It never sees
	// the secrets.
	Keys []string `yaml:"keys"`
	// Metrics names the counts that the guest may add to, shown as
	// auditrelay_guest_count_total. must_not_leave does not check numbers: grant metrics only
	// to modules that you trust with them.
	Metrics []string `yaml:"metrics"`
}

// Limits are a guest's budget. Exceeding one is a failure of the filter on that event.
type Limits struct {
	// Fuel is the budget for one event: one unit for an ordinary instruction, more for
	// expensive ones and for host functions. An event needs the same fuel on every
	// machine. A million units take at most about a millisecond. Default: 4000000.
	Fuel int64 `yaml:"fuel" range:"1000..1000000000000"`
	// FuelPerByte is the additional fuel for each byte of the event. Default: 4000.
	FuelPerByte int64 `yaml:"fuel_per_byte" range:"1..1000000000"`
	// InitFuel is the fuel for the start of an instance. Default: 1000000000.
	InitFuel int64 `yaml:"init_fuel" range:"1000..1000000000000"`
	// Memory limits one instance: linear memory, tables and globals. Default: 16MiB.
	Memory auditrelay.ByteSize `yaml:"memory" range:"64KiB..1GiB"`
	// Stack limits the call stack of one instance, including locals. Default: 2MiB.
	Stack auditrelay.ByteSize `yaml:"stack" range:"4KiB..4MiB"`
	// Time limits one event by the wall clock, in addition to fuel. A guest that had the
	// processor for half of it fails the event (out_of_fuel). A guest that did not has four
	// times as long. Then the event is retried alone in a fresh worker process, since the host
	// is too busy, and becomes a dead letter the second time (wall_time). Default: 10s.
	Time time.Duration `yaml:"time" range:"1ms..10m"`
	// InitTime limits the start of an instance by the wall clock. Default: 30s.
	InitTime time.Duration `yaml:"init_time" range:"1ms..10m"`
	// EmitBytes limits the size of the records emitted for one event. All filters of a
	// callback together may emit 64MiB. Default: 256KiB.
	EmitBytes auditrelay.ByteSize `yaml:"emit_bytes" range:"1B..64MiB"`
	// EmitCount limits the number of records emitted for one event. All filters of a
	// callback together may emit 10000. Default: 16.
	EmitCount int `yaml:"emit_count" range:"1..10000"`
	// EditBytes limits the size of the edits of one event. All filters of a callback
	// together may use 64MiB. Default: 4MiB.
	EditBytes auditrelay.ByteSize `yaml:"edit_bytes" range:"1B..64MiB"`
	// LogLines is the number of lines that the filter may log in a second. Default: 20.
	LogLines int `yaml:"log_lines" range:"1..10000"`
	// Module limits the size of the module's file. Default: 32MiB.
	Module auditrelay.ByteSize `yaml:"module" range:"1KiB..256MiB"`
}

// Breaker configures when a failing guest pauses.
type Breaker struct {
	// Failures is the number of consecutive failures after which the guest pauses. Default: 50.
	Failures int `yaml:"failures" range:"1..1000000"`
	// Rest is the first pause; it doubles up to a minute. Default: 1s.
	Rest time.Duration `yaml:"rest" range:"1ms..1m"`
}

// WithPolicy returns a copy of c in which a native filter has another policy. keys are the
// names of the keys that the policy uses.
func (c *Config) WithPolicy(filter string, policy Section, keys []string) *Config {
	out := *c
	out.Filters = slices.Clone(c.Filters)
	for i := range out.Filters {
		if f := &out.Filters[i]; f.Name == filter && f.Native() {
			policy.dir = f.Redact.dir
			f.Redact, f.keys = &policy, keys
		}
	}
	return &out
}
