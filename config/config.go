// Package config turns YAML into a checked Config. Everything that is wrong is
// reported at once, each with file, line and key, and never with a secret's
// value. LiteLLM's own configuration is taken as it stands.
//
// A sink's options stay a Section, which decodes into the sink's own struct, so
// that this package knows no sink and no sink knows YAML.
package config

import (
	"time"

	"auditrelay"
)

//go:generate go run ../internal/tools/configdoc

// Config is a checked configuration with every reference to a secret resolved.
// It is not changed after Load and may be read concurrently.
type Config struct {
	// Listen is the address of the HTTP listener, host:port. Default:
	// 127.0.0.1:8787. An address beyond loopback needs tokens, since whoever
	// reaches the port could send, read and replay events otherwise.
	Listen string `yaml:"listen"`

	// DataDir is the directory that holds the journal, the compile cache and what
	// the embedded sinks write, relative to the configuration's file. It is made
	// with mode 0700. Default: ./data.
	DataDir string `yaml:"data_dir"`

	// TLS of the listener. Default: none, plain HTTP.
	TLS TLS `yaml:"tls"`

	// Tokens are the bearer tokens that the listener takes. Default: none; then
	// everyone who reaches the loopback address may do everything.
	Tokens []Token `yaml:"tokens"`

	// Ingest is how events come in.
	Ingest Ingest `yaml:"ingest"`

	// Journal is the durable log of accepted events.
	Journal Journal `yaml:"journal"`

	// Keys are secrets by name, for keyed pseudonyms (hmac): a guest is granted
	// a name and never sees the key. At least 16 bytes each, since a short key
	// can be guessed from the pseudonyms. With versions a key can be rotated:
	// {current: 2, versions: {1: SECRET, 2: SECRET}}. New pseudonyms are made with the
	// current one and name it (hmac:NAME.2:...); destroyed in the place of a secret
	// says that it is gone. Version 0 is the secret as it stood without versions.
	Keys map[string]Key `yaml:"keys"`

	// Filters by name, as callbacks list them.
	Filters []Filter `yaml:"filters,named"`

	// Callbacks are what every accepted event is given to.
	Callbacks []Callback `yaml:"callbacks"`

	// Removed names callbacks that are no longer listed and are to be given up:
	// what they still hold ends as skipped. Without it the start is refused while
	// such a callback holds anything, so that a slip of the pen loses nothing.
	Removed []string `yaml:"removed"`

	// Store names the callback whose store the audit API (GET /audit) reads. Default: the
	// one callback whose sink is a store. In LiteLLM's file sqlite, postgres or none
	// says what becomes of store_audit_logs; see docs/operators/store.md.
	Store string `yaml:"store"`

	// Log is what the relay writes to standard error.
	Log Log `yaml:"log"`

	// Metrics is the Prometheus endpoint.
	Metrics Metrics `yaml:"metrics"`

	// Shutdown is how the relay stops.
	Shutdown Shutdown `yaml:"shutdown"`

	// Guests bounds what all WebAssembly guests take together.
	Guests Guests `yaml:"guests"`

	// Notes are what the operator should know and what stops nothing, by line.
	Notes []Note `yaml:"-"`

	// tlsFiles are digests of the certificates' files: one that was replaced is a change.
	tlsFiles []string
}

// Guests bounds what all guests take together.
type Guests struct {
	// Memory that all instances may come to take, each counted with the whole of
	// its limits.memory and limits.stack: one instance for every CPU, filter and
	// callback that lists it. Default: 1GiB.
	Memory auditrelay.ByteSize `yaml:"memory" range:"1MiB..1TiB"`
}

// TLS of the listener.
type TLS struct {
	// Cert is the file with the certificate and its chain, PEM.
	Cert string `yaml:"cert"`
	// Key is the file with the certificate's private key, PEM.
	Key string `yaml:"key"`
	// ClientCA is a file of PEM certificates; a client must then show a
	// certificate that one of them signed. Default: none is asked for.
	ClientCA string `yaml:"client_ca"`
}

// Token is one bearer token and what it allows.
type Token struct {
	// Name is who uses it; it is recorded with every event as the principal.
	Name string `yaml:"name"`
	// Token is the secret itself.
	Token auditrelay.Secret `yaml:"token"`
	// Roles are what it allows: ingest (send events), view (metadata only),
	// comply (contents as well), operate (pause, replay, discard), admin (all).
	Roles []Role `yaml:"roles"`
}

// Role is what a token allows.
type Role string

// The roles.
const (
	RoleIngest  Role = "ingest"
	RoleView    Role = "view"
	RoleComply  Role = "comply"
	RoleOperate Role = "operate"
	RoleAdmin   Role = "admin"
)

func (Role) allowed() []string { return []string{"ingest", "view", "comply", "operate", "admin"} }

// Ingest is how events come in.
type Ingest struct {
	// Tokens that may send events and do nothing else: short for entries of the
	// top-level tokens with the role ingest, to which Load adds them.
	Tokens []IngestToken `yaml:"tokens"`

	// Filters by name, in order, that judge every event before it is stored: for what
	// must never touch this machine's disk. Native filters only. An event on which one
	// fails is refused (422) and leaves nothing but a tombstone; where one cannot
	// judge, the answer is 503. Default: none; what came in is kept as it came.
	Filters []string `yaml:"filters"`

	// Limits bound what a producer may send; what is over them is refused.
	Limits IngestLimits `yaml:"limits"`

	// Quarantine bounds what is kept of what could not be taken as an event and came
	// where nobody reads a refusal. Where it is full, 503.
	Quarantine Quarantine `yaml:"quarantine"`

	// Postgres is LiteLLM's own table of audit events, which is read as it grows.
	// Default: none is read.
	Postgres *Postgres `yaml:"postgres"`

	// S3 is the relay as an S3 endpoint: events come in as objects, as LiteLLM's s3_v2
	// puts them. Default: none.
	S3 *IngestS3 `yaml:"s3"`
}

// Quarantine bounds what is kept of what could not be taken as an event.
type Quarantine struct {
	// Bytes of all items together. Default: 256MiB.
	Bytes auditrelay.ByteSize `yaml:"bytes" range:"1MiB..1TiB"`
	// Items there may be; some 100 bytes of memory each. Default: 100000.
	Items int `yaml:"items" range:"1..1000000"`
	// Item bounds one item. What is larger is refused, and never cut. Default:
	// ingest.limits.body_bytes, so that all that comes in finds room, or 128MiB where
	// that is less.
	Item auditrelay.ByteSize `yaml:"item" range:"1KiB..128MiB"`
}

// IngestToken is a token that may send events.
type IngestToken struct {
	// Name is who uses it; it is recorded with every event as the principal.
	Name string `yaml:"name"`
	// Token is the secret itself.
	Token auditrelay.Secret `yaml:"token"`
}

// IngestLimits bound what a producer may send.
type IngestLimits struct {
	// EventBytes bounds one event. Default: 1MiB.
	EventBytes auditrelay.ByteSize `yaml:"event_bytes" range:"1KiB..64MiB"`
	// Depth bounds the nesting of one event. Default: 64.
	Depth int `yaml:"depth" range:"4..512"`
	// IDBytes bounds an event's id, which becomes part of object keys.
	// Default: 256.
	IDBytes int `yaml:"id_bytes" range:"36..512"`
	// BodyBytes bounds one request's body, decompressed. Default: 16MiB.
	BodyBytes auditrelay.ByteSize `yaml:"body_bytes" range:"1KiB..1GiB"`
	// Events bounds the events of one request; one with atomic=true holds at most 65536
	// events in 256MiB. Default: 10000.
	Events int `yaml:"events" range:"1..1000000"`
}

// Journal is the durable log of accepted events.
type Journal struct {
	// Window is how many of the latest events' ids are remembered, so that an
	// event that comes again is stored once; 16 bytes of memory each. Default:
	// 1048576.
	Window int `yaml:"window" range:"1000..100000000"`
	// Quota is the most disk that the journal may take; beyond it new events are
	// refused with 503. What follows from accepted ones (sealed payloads, dead
	// letters) may go beyond it for a while, and so may the rewriting of its tables.
	// Default: no quota.
	Quota auditrelay.ByteSize `yaml:"quota" range:"16MiB.."`
	// Reserve is the disk space that stays free; below it events are refused,
	// since a full disk would end the process. Default: the journal's own, see
	// operations.
	Reserve auditrelay.ByteSize `yaml:"reserve"`
	// Retention is how long events are kept after every callback has taken them,
	// to be replayed and explained.
	Retention Retention `yaml:"retention"`
	// Encryption of what is stored of events, so that a period can be erased. Default:
	// none.
	Encryption Encryption `yaml:"encryption"`
}

// Retention bounds what the journal keeps of events that no callback waits for.
type Retention struct {
	// Age beyond which events are forgotten; forever keeps them. Default: 7d.
	Age time.Duration `yaml:"age,forever"`
	// Bytes beyond which the oldest events are forgotten. Default: no bound.
	Bytes auditrelay.ByteSize `yaml:"bytes"`
}

// Log is what the relay writes to standard error.
type Log struct {
	// Level is the least severity that is written: debug, info, warn or error.
	// Default: info.
	Level LogLevel `yaml:"level"`
	// Format is text or json. Default: text.
	Format LogFormat `yaml:"format"`
}

// LogLevel is the least severity that is written.
type LogLevel string

func (LogLevel) allowed() []string { return []string{"debug", "info", "warn", "error"} }

// LogFormat is how log lines look.
type LogFormat string

func (LogFormat) allowed() []string { return []string{"text", "json"} }

// Metrics is the Prometheus endpoint, /metrics.
type Metrics struct {
	// Public lets /metrics be read without a token. Default: false, a token with
	// the role view is needed wherever tokens are configured.
	Public bool `yaml:"public"`
}

// Shutdown is how the relay stops.
type Shutdown struct {
	// Deadline is how long deliveries may go on after the listener has closed;
	// what is left goes out after the next start. Default: 30s.
	Deadline time.Duration `yaml:"deadline"`
}

func (Config) later() map[string]string {
	return map[string]string{
		"manifests": "signed manifests follow",
	}
}
