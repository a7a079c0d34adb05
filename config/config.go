// Package config parses YAML into a checked Config. It reports all errors at once, with file,
// line and key, and never shows a secret's value. It also reads LiteLLM's own configuration.
//
// A sink's options stay a Section, which decodes into the sink's own struct. So this package
// knows no sink, and no sink knows YAML.
package config

import (
	"fmt"
	"time"

	"auditrelay"
	"auditrelay/internal/detect"
)

//go:generate go run ../internal/tools/configdoc

// Config is a checked configuration with all references to secrets resolved. It does not change
// after Load and is safe for concurrent reading.
type Config struct {
	// Listen is the address of the HTTP listener, host:port; or none if there is a socket.
	// Default: 127.0.0.1:8787. An address other than loopback needs tokens. Otherwise anyone
	// who reaches the port could send, read and replay events.
	Listen string `yaml:"listen"`

	// Redaction says how the callbacks of LiteLLM's file are redacted: preset, none, or kept
	// (see LoadOptions.KeepsUnredacted). It is empty for a file in the relay's own format.
	Redaction string `yaml:"-"`

	// DataDir is the directory for the journal, the compile cache and the embedded
	// stores, relative to the configuration file. The relay creates it with mode 0700.
	// Default: ./data.
	DataDir string `yaml:"data_dir"`

	// Socket is a unix socket for programs on this machine, in addition to the address or
	// instead of it. The operating system decides who may connect. It has no TLS. Default:
	// none.
	Socket Socket `yaml:"socket"`

	// TLS is the listener's TLS. Default: none, plain HTTP.
	TLS TLS `yaml:"tls"`

	// Tokens are the accepted bearer tokens. Default: none; every local process may
	// then do everything.
	Tokens []Token `yaml:"tokens"`

	// OIDC accepts tokens of an OpenID Connect issuer in addition to tokens. Default: none.
	OIDC OIDC `yaml:"oidc"`

	// Approvals requires a second person for acts that give up events.
	Approvals Approvals `yaml:"approvals"`

	// Ingest holds the inputs and their limits.
	Ingest Ingest `yaml:"ingest"`

	// Journal is the durable log of accepted events.
	Journal Journal `yaml:"journal"`

	// Keys are secrets by name, for pseudonyms (hmac). Policies and guests use the name;
	// a guest never sees the secret. At least 16 bytes, since a short key can be guessed
	// from its pseudonyms. To rotate a key, give it versions:
	// {current: 2, versions: {1: SECRET, 2: SECRET}}. New pseudonyms use the current
	// version and name it (hmac:NAME.2:...). Write destroyed instead of a secret that is
	// gone. Version 0 is the secret from before there were versions.
	Keys map[string]Key `yaml:"keys"`

	// Detectors are your own rules for finding secrets, by name. Policies, gates and guests use
	// them like the shipped ones (auditrelay detectors list). Limits: 2,000 rules, an
	// expression of 4,096 bytes.
	Detectors []Detector `yaml:"detectors,named"`

	// DetectorFiles lists files of rules in gitleaks' format (TOML), relative to the
	// configuration's file. Their rules belong to the group secrets and to a group named
	// after the file. At most 4 MiB each.
	DetectorFiles []string `yaml:"detector_files"`

	// DetectorExceptions lists findings that are harmless, by detector, path and value.
	// At most 64.
	DetectorExceptions []DetectorException `yaml:"detector_exceptions"`

	// Filters are the filters by name; callbacks list the names.
	Filters []Filter `yaml:"filters,named"`

	// Callbacks are the destinations. Every callback gets every accepted event. Required:
	// write [] to keep events in the journal and deliver none.
	Callbacks []Callback `yaml:"callbacks"`

	// Removed names former callbacks to give up: their remaining events end as skipped.
	// The relay refuses to start or reload while a callback that it knows is neither
	// listed nor named here, so that a file that was cut off loses nothing.
	Removed []string `yaml:"removed"`

	// Store names the callback whose store the audit API (GET /audit) reads. Default: the
	// only callback with a store. In a LiteLLM file it is sqlite, postgres or none, and
	// says where store_audit_logs stores; see docs/operators/store.md.
	Store string `yaml:"store"`

	// Audit configures the audit API (GET /audit).
	Audit Audit `yaml:"audit"`

	// Proofs signs the logs of accepted and delivered events.
	Proofs Proofs `yaml:"proofs"`
	// Control selects the callbacks that get the relay's own records: audit events about every
	// act on the relay. Default: to every callback that receives events. Conditions and guests
	// do not apply to own records; policies mask in them.
	Control Control `yaml:"control"`

	// Tap allows live viewing of events (auditrelay tap, the page's screen Tap).
	Tap Tap `yaml:"tap"`

	// Alerts selects who is notified when a callback or a source has a problem. Default:
	// nobody; the metrics and the log show it in any case.
	Alerts Alerts `yaml:"alerts"`

	// Canary sends fake secrets through the relay, to show that redaction works.
	Canary Canary `yaml:"canary"`

	// Log is the log on standard error.
	Log Log `yaml:"log"`

	// Metrics is the Prometheus endpoint.
	Metrics Metrics `yaml:"metrics"`

	// Shutdown limits how long the relay takes to stop.
	Shutdown Shutdown `yaml:"shutdown"`

	// Guests limits all WebAssembly guests together.
	Guests Guests `yaml:"guests"`

	// Delivery limits all callbacks together.
	Delivery Delivery `yaml:"delivery"`

	// Notes are warnings for the operator, by line. They do not prevent a start.
	Notes []Note `yaml:"-"`

	// tlsFiles are digests of the certificate files, so that a replaced file counts as a
	// change.
	tlsFiles []string

	catalogue *detect.Catalogue // nil means the shipped detectors

	root *node // the tree from which it was read
}

// Guests limits all guests together.
type Guests struct {
	// Memory limits the memory of all instances. Each counts with its full limits.memory
	// and limits.stack; there is one for each CPU, filter, and callback that lists it.
	// Default: 1GiB.
	Memory auditrelay.ByteSize `yaml:"memory" range:"1MiB..1TiB"`
	// Sandbox says where guests run. preferred: in worker processes, confined as far as the
	// system allows. The log at the start and /readyz?verbose show which restrictions could not
	// be applied. required: the relay refuses to start if it cannot confine a worker. off: in
	// the relay's own process, as on systems other than Linux. Default: preferred.
	Sandbox Sandbox `yaml:"sandbox"`
}

// Delivery limits all callbacks together.
type Delivery struct {
	// Memory limits the estimated size of the events and payloads that all callbacks process
	// and send at a time. Callbacks share the memory fairly: under pressure chunks get smaller,
	// and a callback waits only for its own share. Default: 32MiB, or eight times the largest
	// chunk.bytes if that is above its default.
	Memory auditrelay.ByteSize `yaml:"memory" range:"8MiB..1TiB"`
}

// Sandbox selects where guests run.
type Sandbox uint8

// The values of Sandbox.
const (
	SandboxPreferred Sandbox = iota
	SandboxRequired
	SandboxOff
)

// Words returns the configuration's names of the values, in order.
func (Sandbox) Words() []string { return []string{"preferred", "required", "off"} }

func (s Sandbox) String() string {
	if words := s.Words(); int(s) < len(words) {
		return words[s]
	}
	return fmt.Sprintf("Sandbox(%d)", uint8(s))
}

// TLS configures the listener's TLS.
type TLS struct {
	// Cert is the file with the certificate and its chain, in PEM.
	Cert string `yaml:"cert"`
	// Key is the file with the certificate's private key, in PEM.
	Key string `yaml:"key"`
	// ClientCA is a file of PEM certificates. Clients must then present a certificate that one
	// of them signed. Default: clients need no certificate.
	ClientCA string `yaml:"client_ca"`
}

// Token is one bearer token with its roles.
type Token struct {
	// Name is the name of the token's user. It is recorded with every event as the principal.
	Name string `yaml:"name"`
	// Token is the secret itself, or its SHA-256 as sha256: and 64 hexadecimal digits.
	Token auditrelay.Secret `yaml:"token"`
	// Certificate is a client certificate's subject, common name or alternative name (DNS, URI,
	// e-mail), instead of a token. It needs tls.client_ca.
	Certificate string `yaml:"certificate"`
	// Expires is when the token stops working, such as 2026-12-31T00:00:00Z. Default:
	// never.
	Expires time.Time `yaml:"expires"`
	// Roles lists the token's rights: ingest (send events), view (metadata only), auditor
	// (view, own records and proofs), comply (contents too), operate (pause, replay, discard),
	// admin (all of these) and relay (ingest, and own records of another relay: tables
	// auditrelay_*).
	Roles []Role `yaml:"roles"`
	// Namespace confines the token to one namespace. Its events are in this namespace, which
	// has its own ids. The token can read only this namespace and learns nothing about others.
	// All inputs of one producer, such as one LiteLLM, need the same namespace. Only for the
	// roles ingest, view, auditor and comply. Default: it sends into litellm and reads all.
	Namespace string `yaml:"namespace"`
	// Schema is the schema of the events that the token's user sends to POST /v1/events; see
	// ingest.schemas. Default: LiteLLM's.
	Schema string `yaml:"schema"`
	// Rate limits what the token's user may send. Requests above the limit get 429 with
	// Retry-After. Default: none; memory and connections are shared fairly in any case. A
	// LiteLLM before autumn 2026 loses an event that gets 429.
	Rate Rate `yaml:"rate"`
}

// Rate limits what a sender may send per second with a token or to a hook.
type Rate struct {
	// Requests is the maximum number of requests per second, of any kind. Default: no limit.
	Requests int `yaml:"requests" range:"1..1000000"`
	// Events is the maximum number of events per second. One request may exceed it; the next
	// ones then wait. Default: no limit.
	Events int `yaml:"events" range:"1..100000000"`
}

// Role is a set of rights of a token.
type Role string

// The roles.
const (
	RoleIngest Role = "ingest"
	RoleView   Role = "view"
	// RoleAuditor may read own records and proofs, but no event's contents.
	RoleAuditor Role = "auditor"
	RoleComply  Role = "comply"
	RoleOperate Role = "operate"
	RoleAdmin   Role = "admin"
	// RoleRelay may send events as another relay: events, and that relay's own records. No
	// other role includes it.
	RoleRelay Role = "relay"
)

func (Role) allowed() []string {
	return []string{"ingest", "view", "auditor", "comply", "operate", "admin", "relay"}
}

// Ingest holds the inputs and their limits.
type Ingest struct {
	// Tokens are tokens that may only send events: short for top-level tokens with the role
	// ingest.
	Tokens []IngestToken `yaml:"tokens"`

	// Filters names the filters that run in order before an event is stored. Use them for data
	// that must never reach this machine's disk. Only native filters are allowed. If a filter
	// fails, the relay rejects the event (422) and stores only a tombstone. If a filter cannot
	// run now, the response is 503. Default: none; events are stored as they come.
	Filters []string `yaml:"filters"`

	// Limits limits the size of an event and of a request. Larger input is rejected.
	Limits IngestLimits `yaml:"limits"`

	// Schemas are rules by name that say where the relay finds the fields that it needs in the
	// events of producers other than LiteLLM. Tokens and hooks refer to them. Default: the
	// shipped ones alone.
	Schemas []Schema `yaml:"schemas,named"`

	// Hooks are paths by name for producers with their own way of authentication: POST
	// /v1/hooks/NAME. Default: none.
	Hooks []Hook `yaml:"hooks,named"`

	// Sockets are local sockets by name for producers that write lines of JSON and read no
	// response, such as Vault's audit device socket. Default: none.
	Sockets []LineSocket `yaml:"sockets,named"`

	// Quarantine limits the quarantine: invalid input whose sender cannot see an error.
	// When it is full, senders get 503.
	Quarantine Quarantine `yaml:"quarantine"`

	// Sources are the inputs other than POST /v1/events, by key: kafka, s3, postgres. Each
	// section decodes into the source's own struct.
	Sources map[string]Section `yaml:"-"`

	// SenderSchemas are the schemas of the senders of Sources, except LiteLLM's.
	SenderSchemas map[Sender]string `yaml:"-"`
}

// Quarantine limits the quarantine.
type Quarantine struct {
	// Bytes is the maximum size of all items together. Default: 256MiB.
	Bytes auditrelay.ByteSize `yaml:"bytes" range:"1MiB..1TiB"`
	// Items is the maximum number of items; each takes about 100 bytes of memory. Default:
	// 100000.
	Items int `yaml:"items" range:"1..1000000"`
	// Item limits one item. Larger input is rejected, never truncated. Default:
	// ingest.limits.body_bytes, so that everything fits, but at most 128MiB.
	Item auditrelay.ByteSize `yaml:"item" range:"1KiB..128MiB"`
}

// IngestToken is a token that may send events.
type IngestToken struct {
	// Name is the name of the token's user. It is recorded with every event as the principal.
	Name string `yaml:"name"`
	// Token is the secret itself.
	Token auditrelay.Secret `yaml:"token"`
	// Namespace is the scope of the ids of events that are sent with the token: ids of two
	// namespaces never collide. All inputs of one producer, such as one LiteLLM, need the same
	// namespace. Default: litellm.
	Namespace string `yaml:"namespace"`
	// Schema is the schema of the events that are sent with the token; see ingest.schemas.
	// Default: LiteLLM's.
	Schema string `yaml:"schema"`
}

// IngestLimits limit events and requests.
type IngestLimits struct {
	// EventBytes limits one event. Default: 1MiB.
	EventBytes auditrelay.ByteSize `yaml:"event_bytes" range:"1KiB..64MiB"`
	// Depth limits the nesting of one event. Default: 64.
	Depth int `yaml:"depth" range:"4..512"`
	// IDBytes limits an event's id, which becomes part of object keys. Default: 256.
	IDBytes int `yaml:"id_bytes" range:"36..512"`
	// BodyBytes limits the body of one request, decompressed. Default: 16MiB.
	BodyBytes auditrelay.ByteSize `yaml:"body_bytes" range:"1KiB..1GiB"`
	// Events limits the number of events in one request. With atomic=true the limit is
	// at most 65536 events in 256MiB. Default: 10000.
	Events int `yaml:"events" range:"1..1000000"`
}

// Journal is the durable log of accepted events.
type Journal struct {
	// Window is the number of newest ids that the journal remembers. It stores an event that is
	// repeated within the window once. Each id takes 16 bytes of memory. Default: 1048576.
	Window int `yaml:"window" range:"1000..100000000"`
	// Quota is the disk space for the journal. When it is used up, new events get 503. Sealed
	// payloads and dead letters of accepted events, and compaction, may exceed it for a while.
	// Default: no quota.
	Quota auditrelay.ByteSize `yaml:"quota" range:"16MiB.."`
	// Reserve is the disk space to keep free. Below it new events get 503, since a full
	// disk would end the process. Default: chosen by the journal.
	Reserve auditrelay.ByteSize `yaml:"reserve"`
	// Retention says how long to keep events that every callback has processed, for
	// replay and explain.
	Retention Retention `yaml:"retention"`
	// Encryption encrypts stored events, so that you can erase a period. Default: none.
	Encryption Encryption `yaml:"encryption"`
	// Postgres keeps the journal in a Postgres database instead of data_dir, so that it
	// survives the loss of this machine. Default: none.
	Postgres PostgresJournal `yaml:"postgres"`
}

// PostgresJournal is a journal in a Postgres database. Only one relay at a time uses it. A
// second relay that starts waits, and takes over when the first one is gone. See fleet.
type PostgresJournal struct {
	// URL is the connection string of the server itself, since a connection pooler cannot hold
	// the lock. Required. With several hosts add target_session_attrs=read-write.
	URL auditrelay.Secret `yaml:"url"`
	// Schema is the schema for the tables. It must contain nothing else. The relay creates it
	// if it may. Default: auditrelay.
	Schema string `yaml:"schema"`
	// Takeover is how long a relay that stopped responding keeps the journal. Default: 15s; in
	// a fleet 5s.
	Takeover time.Duration `yaml:"takeover" range:"1s..10m"`
	// Fleet runs several relays on this journal. One leads. The others forward their requests
	// to it and take over when it is gone. Default: none; a second relay ends.
	Fleet Fleet `yaml:"fleet"`
}

// Fleet makes this relay one of several with the same journal and the same configuration.
type Fleet struct {
	// Address is the URL at which the other relays reach this one, such as
	// https://${POD_IP}:8787. Required.
	Address string `yaml:"address"`
	// Name is this relay's name in lists and logs. Default: the machine's host name.
	Name string `yaml:"name"`
	// CA is a file of PEM certificates to trust, instead of the system's, when this relay
	// calls another one. Default: the system's.
	CA string `yaml:"ca"`
	// Plaintext allows an address of plain http that is not loopback. The relays' own
	// credentials, tokens and events are then sent in clear text. Set it only if the network
	// itself encrypts, as a service mesh does. Default: false.
	Plaintext bool `yaml:"plaintext"`
}

// On reports whether the relay belongs to a fleet.
func (f *Fleet) On() bool { return f.Address != "" }

// Retention limits how long events stay that no callback needs any more.
type Retention struct {
	// Age is the age at which events are removed; forever keeps them. Default: 7d.
	Age time.Duration `yaml:"age,forever"`
	// Bytes is the size at which the oldest events are removed. Default: no limit.
	Bytes auditrelay.ByteSize `yaml:"bytes"`
}

// Log configures the log on standard error.
type Log struct {
	// Level is the lowest level to log: debug, info, warn or error. Default: info.
	Level LogLevel `yaml:"level"`
	// Format is text or json. Default: text.
	Format LogFormat `yaml:"format"`
}

// LogLevel is the lowest level to log.
type LogLevel string

func (LogLevel) allowed() []string { return []string{"debug", "info", "warn", "error"} }

// LogFormat is the format of log lines.
type LogFormat string

func (LogFormat) allowed() []string { return []string{"text", "json"} }

// Tap shows events live as they are accepted, filtered and delivered.
type Tap struct {
	// Enabled lets tokens with the role comply watch events with their contents, also before
	// redaction. Each use is recorded as an audit event. Default: false.
	Enabled bool `yaml:"enabled"`
}

// Metrics is the Prometheus endpoint, /metrics.
type Metrics struct {
	// Public allows reading /metrics without a token. Default: false; if there are
	// tokens, /metrics needs the role view.
	Public bool `yaml:"public"`
}

// Audit configures the audit API.
type Audit struct {
	// Origins lists the origins whose pages may read GET /audit from a browser, such as
	// https://litellm.example for LiteLLM's dashboard. The page sends a token with the role
	// comply. Default: none.
	Origins []string `yaml:"cors_origins"`
}

// Control selects the callbacks that get the relay's own records.
type Control struct {
	// Callback names the callback that must get them. It must receive events, and its retain
	// limit must block. While the relay runs it can be neither detached nor removed. Default:
	// none.
	Callback string `yaml:"callback"`
	// Only hides own records from all other callbacks. Default: false.
	Only bool `yaml:"only"`
}

// Shutdown configures how the relay stops.
type Shutdown struct {
	// Deadline is how long deliveries may continue after the relay stopped accepting events.
	// The remaining events are delivered after the next start. Default: 30s.
	Deadline time.Duration `yaml:"deadline"`
}

func (Config) later() map[string]string {
	return map[string]string{
		"manifests": "signed manifests follow",
	}
}
