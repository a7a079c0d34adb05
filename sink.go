package auditrelay

import (
	"context"
	"errors"
	"time"
)

// Sink delivers records outside the process. It works in two steps, so that a
// retry or a restart sends the same bytes.
//
// Render turns a chunk's records into payloads. It must be pure: no I/O, and the
// same chunk always gives the same payloads, keys and order. Each record must be
// in exactly one payload, in order. The engine stores the payloads durably before
// it sends anything. If a record can never be delivered (over the destination's
// limit, for example), return a *RecordErrors that names it; the engine
// dead-letters it and renders the rest again. What Render returns is the engine's from then
// on, parts of the chunk included: neither Render nor Deliver may change it later.
//
// Deliver sends one payload's stored bytes. It returns nil only when they are
// durable at the destination. Delivering a payload again must be harmless, also
// after a crash and if the first delivery was partial. Deliver must stop soon after
// ctx ends, and must not keep anything of p. Its errors must not contain event
// data. Classify them with DeliveryError; unclassified errors count as transient.
//
// The engine calls Render from one goroutine at a time. It calls Deliver from at
// most Concurrency goroutines (see Concurrent), in payload order if that is one.
// A panic in either counts as this callback's failure.
type Sink interface {
	Render(chunk Chunk) ([]Payload, error)
	Deliver(ctx context.Context, p Payload) (Receipt, error)
}

// Splitter is for a Sink that puts several records into one payload. If the
// destination permanently refuses such a payload, the engine halves it until the
// bad record is alone. Split must be pure. It returns two payloads with the same
// records in the same order; filters do not run again. Without Splitter all
// records of a refused payload are dead-lettered.
type Splitter interface {
	Split(p Payload) (first, second Payload, err error)
}

// Manifester is for a Sink that keeps a manifest beside the data. RenderManifest
// must be pure; its payload is delivered after the chunk's own payloads.
type Manifester interface {
	RenderManifest(m Manifest) (Payload, error)
}

// Prover is for a Sink that keeps proofs beside the data. RenderProof must be pure; its
// payload is delivered like a manifest. docs/reference/proofs.md says what is in it. A
// Deliver whose error wraps ErrProofGap, of kind Refused, gets the log from its beginning.
type Prover interface {
	RenderProof(p Proof) (Payload, error)
}

// Concurrent is for a Sink that accepts several payloads at a time. Without it the
// engine delivers one payload at a time, in order.
type Concurrent interface {
	Concurrency() int
}

// Reader is for a Sink whose destination can be read. ReadBack returns the bytes that stand at
// the destination in the place of a payload that it has just acknowledged with receipt, or the
// records that do, one a line. The error wraps ErrMissing if nothing stands there; any other
// one says that it could not be read. The engine calls it for canaries alone, right after
// Deliver and under the same deadline. It must not keep anything of p.
type Reader interface {
	ReadBack(ctx context.Context, p Payload, receipt Receipt) ([]byte, error)
}

// ErrMissing says that what was acknowledged does not stand at the destination.
var ErrMissing = errors.New("it is not there")

// Prober is for a Sink that can check its destination (validate --online). An
// error says what was tried; one that wraps ErrNotChecked says why nothing was.
type Prober interface {
	Probe(ctx context.Context) error
}

// Refresher is for a Sink that caches external data, such as credentials. After
// Refresh the next Deliver reads it again. The engine calls Refresh when an operator
// resumes or attaches the callback, and when a reload leaves the callback unchanged.
// Refresh may run in parallel with Deliver, does no I/O and returns at once.
type Refresher interface {
	Refresh()
}

// Placed is for a Sink that must be the only writer at its place. Place names the place
// without secrets. Equal places have equal names, whatever the type of sink; "" means no
// exclusive place. If two callbacks shared a place, each would count as delivered what
// the other overwrote or made it omit.
type Placed interface {
	Place() string
}

// Aging is for a Sink whose destination does not keep events of more than a certain age.
// MaxAge returns that age; 0 means that there is none. The engine warns before the oldest
// pending event reaches it. MaxAge may run in parallel with Deliver and never changes.
type Aging interface {
	MaxAge() time.Duration
}

// PlaceFile is the prefix of the place of a sink that writes to a file; the file's name
// follows.
const PlaceFile = "file "

// If a Sink implements io.Closer, the engine closes it after its last Deliver.

// Record is one event on its way through a sink: the final document, or the
// tombstone of an event that was set aside.
type Record struct {
	Sequence  uint64
	Namespace string
	ID        string // empty in a tombstone
	Time      time.Time
	TimeFrom  TimeSource
	Received  time.Time
	Action    Action
	// Source and Principal are where the event came from; see Provenance. No event can
	// choose them.
	Source, Principal string
	Tombstone         bool
	// Mapping says where Data has its fields; nil: Data is in LiteLLM's schema, or in the
	// callback's format. What is not in Data any more is in no field.
	Mapping *Mapping
	Data    []byte // one JSON object, or by Chunk.MediaType one line of text, without a line feed; owned by the engine
}

// Chunk is a contiguous range of the journal on its way through one callback.
type Chunk struct {
	Callback string
	Journal  string // the journal's identity and incarnation
	From, To uint64 // the chunk's half-open range of sequences
	Replay   string // the replay's id, empty for first deliveries
	Records  []Record

	// MediaType is that of one record's Data: application/json, or what the callback's
	// format says: application/cloudevents+json, or MediaTypeText for lines of text, which
	// a sink that writes JSON must quote.
	MediaType string
}

// Payload is what a sink sends in one request. The engine stores all of it
// except Number before the first attempt.
type Payload struct {
	// Number counts the callback's payloads, from 1 without gaps. The engine sets
	// it, never Render.
	Number uint64

	// Key names the payload at the destination, such as an object key or an
	// idempotency token. Equal payloads have equal keys, different ones different keys.
	Key string

	// Body is the content to send, already formatted and compressed.
	Body []byte

	// Headers hold everything else that the sink needs to send exactly the same
	// request again: content type, encoding, checksums.
	Headers map[string]string

	// Sequences are the records in the payload, in order.
	Sequences []uint64

	// Digest is the SHA-256 of the content before compression, in lower-case hex;
	// for manifests.
	Digest string

	// Sum is the SHA-256 of Body where Render has it already, as it has for a body that
	// is not compressed; zero: the engine hashes Body. It is not stored, and zero in
	// what Deliver and Split are given.
	Sum [32]byte
}

// Receipt is the destination's answer; the engine keeps it with the outcome.
type Receipt struct {
	Location   string // where the data is: an object key, a file and offset
	Version    string // the destination's version or ETag, if any
	Duplicate  bool   // the destination already had it
	Unverified bool   // the destination had something under this key; it was not compared

	// Status is the status code that the destination answered, 0 if it has none. Only the
	// history of attempts shows it.
	Status int
}

// Manifest describes one chunk's payloads at the destination, so that
// completeness can be checked from there alone.
type Manifest struct {
	Callback string            `json:"callback"`
	Journal  string            `json:"journal"`
	Replay   string            `json:"replay,omitempty"`
	Number   uint64            `json:"number"` // of this manifest's own payload
	From     uint64            `json:"from"`
	To       uint64            `json:"to"`
	Counts   map[string]uint64 `json:"counts"`            // by outcome at the time of the seal
	Reasons  map[string]uint64 `json:"reasons,omitempty"` // by cause, of everything not delivered
	Payloads []ManifestPayload `json:"payloads"`
	Origins  []ManifestOrigin  `json:"origins,omitempty"` // of all records of Payloads
	Amends   []Amendment       `json:"amends,omitempty"`
	Previous string            `json:"previous"` // hex SHA-256 of the manifest before, empty in the first

	Checkpoint *ManifestCheckpoint `json:"checkpoint,omitempty"`
}

// ManifestPayload is one payload in a Manifest.
type ManifestPayload struct {
	Number       uint64 `json:"number"`
	Key          string `json:"key"`
	Records      int    `json:"records"`
	Tombstones   int    `json:"tombstones,omitempty"`
	Digest       string `json:"sha256"`        // before compression
	StoredDigest string `json:"stored_sha256"` // of the stored bytes
}

// ManifestOrigin says which records of a manifest came from one place. No event can choose
// it; see Provenance.
type ManifestOrigin struct {
	Namespace string      `json:"namespace"`
	Source    string      `json:"source"`
	Principal string      `json:"principal,omitempty"` // empty without authentication
	Sequences [][2]uint64 `json:"sequences"`           // each from its first to its last record; between them may be events that are no record
}

// ManifestCheckpoint names a signed checkpoint of the callback's log of what was
// delivered: the last one at the time of the seal.
type ManifestCheckpoint struct {
	Size uint64 `json:"size"`
	Root string `json:"root"` // hex
}

// Proof is a bundle of proofs: a tar file with a checkpoint of the callback's log of what
// was delivered, and what is new in that log.
type Proof struct {
	Callback string
	Journal  string
	Replay   string
	From     uint64 // leaves before this one are in earlier bundles
	Size     uint64 // the checkpoint's
	Bundle   []byte
}

// Amendment corrects an earlier manifest: the destination refused payload Number,
// and By replaced it, if anything.
type Amendment struct {
	Number uint64            `json:"number"`
	By     []ManifestPayload `json:"by,omitempty"`
}
