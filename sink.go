package auditrelay

import (
	"context"
	"errors"
	"time"
)

// Sink delivers records outside the process. It works in two steps, so that a retry or a restart sends the
// same bytes.
//
// Render turns a chunk's records into payloads. It must be pure: no I/O, and the same chunk always gives
// the same payloads, keys and order. Each record must be in exactly one payload, in order. The engine
// stores the payloads durably before it sends anything. If a record can never be delivered, for example
// because it exceeds the destination's limit, return a *RecordErrors that names it. The engine dead-letters
// that record and renders the rest again. The engine owns everything that Render returns, including parts
// of the chunk: neither Render nor Deliver may change it later.
//
// Deliver sends one payload's stored bytes. It must return nil only when the bytes are durable at the
// destination. Repeated delivery of a payload must be harmless, also after a crash and after a partial
// delivery. Deliver must stop soon after ctx ends, and must not keep any part of p. Its errors must not
// contain event data. Classify errors with DeliveryError; unclassified errors count as transient.
//
// The engine calls Render from one goroutine at a time. It calls Deliver from at most Concurrency
// goroutines (see Concurrent), and in payload order if that is one. A panic in either counts as a failure
// of this callback.
type Sink interface {
	Render(chunk Chunk) ([]Payload, error)
	Deliver(ctx context.Context, p Payload) (Receipt, error)
}

// Splitter is an optional interface of a Sink that puts several records into one payload. If the
// destination permanently rejects such a payload, the engine halves it until the bad record is alone. Split
// must be pure. It must return two payloads with the same records in the same order. Filters do not run
// again. Without Splitter the engine dead-letters all records of a rejected payload.
type Splitter interface {
	Split(p Payload) (first, second Payload, err error)
}

// Manifester is an optional interface of a Sink that stores a manifest with the data. RenderManifest must
// be pure. The engine delivers its payload after the chunk's own payloads.
type Manifester interface {
	RenderManifest(m Manifest) (Payload, error)
}

// Prover is an optional interface of a Sink that stores proofs with the data. RenderProof must be pure. The
// engine delivers its payload like a manifest. docs/reference/proofs.md describes the content. If Deliver
// returns an error of kind Refused that wraps ErrProofGap, the engine sends the log again from its
// beginning.
type Prover interface {
	RenderProof(p Proof) (Payload, error)
}

// Concurrent is an optional interface of a Sink that accepts several payloads at a time. Without it the
// engine delivers one payload at a time, in order.
type Concurrent interface {
	Concurrency() int
}

// Reader is an optional interface of a Sink whose destination can be read. ReadBack returns the stored
// bytes of a payload that the destination has just acknowledged with receipt, or the stored records of that
// payload, one a line. If the destination has nothing there, the error must wrap ErrMissing. Any other
// error means that the destination could not be read. The engine calls ReadBack only for canaries, right
// after Deliver and under the same deadline. ReadBack must not keep any part of p.
type Reader interface {
	ReadBack(ctx context.Context, p Payload, receipt Receipt) ([]byte, error)
}

// ErrMissing means that the destination no longer has the data that it acknowledged.
var ErrMissing = errors.New("it is not there")

// Prober is an optional interface of a Sink that can check its destination (validate --online). An error
// names the failed operation. An error that wraps ErrNotChecked says why nothing was checked.
type Prober interface {
	Probe(ctx context.Context) error
}

// Refresher is an optional interface of a Sink that caches external data, such as credentials. After
// Refresh, the next Deliver must read that data again. The engine calls Refresh when an operator resumes or
// attaches the callback, and when a reload leaves the callback unchanged. Refresh may run in parallel with
// Deliver. It must do no I/O and return at once.
type Refresher interface {
	Refresh()
}

// Placed is an optional interface of a Sink that must be the only writer to its place. Place returns a name
// of the place without secrets, or "" if the sink needs no exclusive place. Sinks with the same place must
// return the same name, whatever their type. Without this check, two callbacks with one place could each
// count data as delivered that the other overwrote or caused it to omit.
type Placed interface {
	Place() string
}

// Aging is an optional interface of a Sink whose destination deletes or rejects old events. MaxAge returns
// the maximum age of an event, or 0 if there is none. The engine warns before the oldest pending event
// reaches it. MaxAge may run in parallel with Deliver and must always return the same value.
type Aging interface {
	MaxAge() time.Duration
}

// PlaceFile is the prefix of the place of a sink that writes to a file. The file's name follows.
const PlaceFile = "file "

// If a Sink implements io.Closer, the engine calls Close after the last Deliver.

// Record is one event on its way through a sink: the final document, or the tombstone of a dead-lettered or
// discarded event.
type Record struct {
	Sequence  uint64
	Namespace string
	ID        string // of the accepted event; empty in a tombstone
	// IDChanged reports that filters removed or changed the id in Data. Names that a destination shows must
	// then not contain ID.
	IDChanged bool
	Time      time.Time
	TimeFrom  TimeSource
	Received  time.Time
	Action    Action
	// Source and Principal say where the event came from; see Provenance. An event's content cannot change
	// them.
	Source, Principal string
	Tombstone         bool
	// Mapping says where Data has its fields. If it is nil, Data is in LiteLLM's schema or in the
	// callback's format. A field that filters removed from Data has no value.
	Mapping *Mapping
	Data    []byte // one JSON object, or one line of text without a line feed if Chunk.MediaType is MediaTypeText; owned by the engine
}

// Chunk is a contiguous range of the journal that a callback processes together.
type Chunk struct {
	Callback string
	Journal  string // the journal's identity and incarnation
	From, To uint64 // the chunk's half-open range of sequences
	Replay   string // the replay's id, empty for first deliveries
	Records  []Record

	// MediaType is the media type of each record's Data: application/json, or the one of the callback's
	// format. That is application/cloudevents+json, or MediaTypeText for lines of text. A sink that writes
	// JSON must quote lines of text.
	MediaType string
}

// Payload is the content of one request of a sink. The engine stores all of it but Number before the first
// attempt.
type Payload struct {
	// Number counts the callback's payloads, from 1 without gaps. The engine sets it; Render must not.
	Number uint64

	// Key names the payload at the destination, for example as an object key or an idempotency token. Equal
	// payloads must have equal keys, and different payloads different keys.
	Key string

	// Body is the content to send, already formatted and compressed.
	Body []byte

	// Headers hold all other data that the sink needs to repeat exactly the same request: content type,
	// encoding, checksums.
	Headers map[string]string

	// Sequences lists the records in the payload, in order.
	Sequences []uint64

	// Digest is the SHA-256 of the content before compression, in lower-case hexadecimal, for manifests.
	Digest string

	// Sum is the SHA-256 of Body, if Render already computed it, as it does for a body without compression.
	// If Sum is zero, the engine hashes Body. Sum is not stored, so it is zero in the payloads that Deliver
	// and Split get.
	Sum [32]byte
}

// Receipt is the destination's acknowledgement. The engine stores it with the outcome.
type Receipt struct {
	Location   string // where the data is, such as an object key, or a file and offset
	Version    string // the destination's version or ETag, if any
	Duplicate  bool   // the destination already had the payload
	Unverified bool   // the destination already had data under this key, and the sink did not compare it

	// Status is the status code of the destination's response; 0 if there is none. It appears only in the
	// history of attempts.
	Status int
}

// Manifest describes one chunk's payloads at the destination, so that a reader can check completeness there
// alone.
type Manifest struct {
	Callback string            `json:"callback"`
	Journal  string            `json:"journal"`
	Replay   string            `json:"replay,omitempty"`
	Number   uint64            `json:"number"` // the number of this manifest's own payload
	From     uint64            `json:"from"`
	To       uint64            `json:"to"`
	Counts   map[string]uint64 `json:"counts"`            // number of events by outcome, at the time of the seal
	Reasons  map[string]uint64 `json:"reasons,omitempty"` // number of undelivered events by cause
	Payloads []ManifestPayload `json:"payloads"`
	Origins  []ManifestOrigin  `json:"origins,omitempty"` // covers all records of Payloads
	Amends   []Amendment       `json:"amends,omitempty"`
	Previous string            `json:"previous"` // SHA-256 of the previous manifest in hexadecimal; empty in the first

	Checkpoint *ManifestCheckpoint `json:"checkpoint,omitempty"`
}

// ManifestPayload is one payload in a Manifest.
type ManifestPayload struct {
	Number       uint64 `json:"number"`
	Key          string `json:"key"`
	Records      int    `json:"records"`
	Tombstones   int    `json:"tombstones,omitempty"`
	Digest       string `json:"sha256"`        // SHA-256 of the content before compression
	StoredDigest string `json:"stored_sha256"` // SHA-256 of the stored bytes
}

// ManifestOrigin says which records of a manifest have the same origin. An event's content cannot change
// the origin; see Provenance.
type ManifestOrigin struct {
	Namespace string      `json:"namespace"`
	Source    string      `json:"source"`
	Principal string      `json:"principal,omitempty"` // empty without authentication
	Sequences [][2]uint64 `json:"sequences"`           // ranges, each from its first to its last record; a range may include events that are not records
}

// ManifestCheckpoint names a signed checkpoint of the callback's log of delivered records: the last one at
// the time of the seal.
type ManifestCheckpoint struct {
	Size uint64 `json:"size"`
	Root string `json:"root"` // in hexadecimal
}

// Proof is a bundle of proofs: a tar file with a checkpoint of the callback's log of delivered records, and
// the new entries of that log.
type Proof struct {
	Callback string
	Journal  string
	Replay   string
	From     uint64 // the first leaf in this bundle; earlier bundles have those before it
	Size     uint64 // the number of leaves that the checkpoint covers
	Bundle   []byte
}

// Amendment corrects an earlier manifest: the destination rejected payload Number, and the payloads in By
// replaced it, if any.
type Amendment struct {
	Number uint64            `json:"number"`
	By     []ManifestPayload `json:"by,omitempty"`
}
