package config

import (
	"encoding/json"
	"time"

	"auditrelay"
)

// Filter is one named step that callbacks list: a WebAssembly guest.
type Filter struct {
	// Name is the key under which the filter stands.
	Name string `yaml:"-"`

	// Wasm is the module's file, relative to the configuration's.
	Wasm string `yaml:"wasm"`

	// SHA256 pins the module: 64 hexadecimal digits; another file under the same
	// name is refused. Default: not pinned.
	SHA256 string `yaml:"sha256"`

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
	OnError OnError `yaml:"on_error"`

	line   int
	module string
}

func (Filter) later() map[string]string {
	return map[string]string{
		"redact":    "the native redacting filter follows; until then give a module under wasm",
		"role":      "every filter may edit and drop; observers follow",
		"isolation": "every worker has an instance of its own, discarded after a failure; isolation by event follows",
	}
}

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
}

// Limits bound what a guest may use. A breach is a failure of the filter on that
// event.
type Limits struct {
	// Memory of one instance. Default: 16MiB.
	Memory auditrelay.ByteSize `yaml:"memory" range:"64KiB..4GiB"`
	// Time for one event. Default: 250ms.
	Time time.Duration `yaml:"time" range:"1ms..1m"`
	// InitTime for starting an instance. Default: 10s.
	InitTime time.Duration `yaml:"init_time" range:"1ms..5m"`
	// EmitBytes of all records emitted for one event. Default: 256KiB.
	EmitBytes auditrelay.ByteSize `yaml:"emit_bytes" range:"1B..64MiB"`
	// EmitCount is the most records emitted for one event. Default: 16.
	EmitCount int `yaml:"emit_count" range:"1..10000"`
	// EditBytes that the edits of one event may hand over. Default: 4MiB.
	EditBytes auditrelay.ByteSize `yaml:"edit_bytes" range:"1B..256MiB"`
	// LogLines a second that the filter may log. Default: 20.
	LogLines int `yaml:"log_lines" range:"1..10000"`
	// Module is the largest binary that is taken. Default: 32MiB.
	Module auditrelay.ByteSize `yaml:"module" range:"1KiB..256MiB"`
}

func (Limits) later() map[string]string {
	return map[string]string{"fuel": "guests are bounded by time until the meter follows"}
}

// OnError says what becomes of an event on which a filter fails.
type OnError string

// The values of OnError; the empty one means OnErrorDeadLetter.
const (
	OnErrorDeadLetter OnError = "dead_letter"
	OnErrorDiscard    OnError = "discard"
)

func (OnError) allowed() []string { return []string{"dead_letter", "discard"} }
