package auditrelay

import (
	"context"
	"time"
)

// Sink delivers records outside the process. It works in two steps, so that a
// retry or a restart sends the same bytes:
//
// Render turns a chunk's records into payloads. It must be pure: it performs no
// I/O, and the same chunk gives the same payloads, keys and order. Every record
// of the chunk must stand in exactly one payload, in order. What Render returns
// is stored durably before anything is sent. A record that can never be
// delivered (over the destination's limit) is named by a *RecordErrors; the
// engine dead-letters it and renders the rest again.
//
// Deliver sends one payload's stored bytes and returns nil only when they are
// durable at the destination. It must be harmless to deliver a payload that was
// delivered before, wholly or in part, also after a crash. It must stop soon
// after ctx ends and retain nothing of p after it returns. Its errors carry no
// event data and are classified by DeliveryError; an error that is not
// classified counts as transient.
//
// The engine calls Render from one goroutine at a time and Deliver from at most
// Concurrency goroutines (see Concurrent), in payload order when that is one.
// A panic in either is this callback's failure.
type Sink interface {
	Render(chunk Chunk) ([]Payload, error)
	Deliver(ctx context.Context, p Payload) (Receipt, error)
}

// Splitter is implemented by a Sink that puts several records in one payload.
// When the destination refuses such a payload for good, the engine halves it
// until the bad record stands alone. Split is pure and gives two payloads that
// hold the same records in the same order; the filters do not run again.
// Where a sink does not implement it, all records of a refused payload are
// dead-lettered.
type Splitter interface {
	Split(p Payload) (first, second Payload, err error)
}

// Manifester is implemented by a Sink that keeps a manifest beside the data.
// RenderManifest is pure; its payload is delivered after the chunk's own.
type Manifester interface {
	RenderManifest(m Manifest) (Payload, error)
}

// Concurrent is implemented by a Sink that takes several payloads at a time.
// Without it the engine delivers one payload at a time, in order.
type Concurrent interface {
	Concurrency() int
}

// Prober is implemented by a Sink that can be checked against its destination
// (validate --online). An error says what was tried; ErrNotChecked says why
// nothing was.
type Prober interface {
	Probe(ctx context.Context) error
}

// Refresher is implemented by a Sink that keeps what it read from outside once, such
// as credentials. Refresh makes its next Deliver read that again. The engine calls it
// when an operator resumes or attaches the callback, and when a reload keeps the
// callback as it is. It may run beside Deliver, does no I/O and returns at once.
type Refresher interface {
	Refresh()
}

// A Sink that also implements io.Closer is closed after its last Deliver.

// Record is one event on its way through a sink: the final document, or a
// tombstone in the place of an event that could not be delivered as it is.
type Record struct {
	Sequence  uint64
	Namespace string
	ID        string // empty in a tombstone
	Time      time.Time
	TimeFrom  TimeSource
	Received  time.Time
	Action    Action
	Tombstone bool
	Data      []byte // one JSON object without a line feed; owned by the engine
}

// Chunk is a contiguous range of the journal on its way through one callback.
type Chunk struct {
	Callback string
	Journal  string // the journal's identity and incarnation
	From, To uint64 // the half-open range of sequences that the chunk covers
	Replay   string // the replay's id, empty for first deliveries
	Records  []Record
}

// Payload is what a sink sends in one request. The engine stores all of it
// except Number before the first attempt.
type Payload struct {
	// Number is the payload's position among all of its callback, dense from 1;
	// set by the engine, never by Render.
	Number uint64

	// Key names the payload at the destination (an object key, an idempotency
	// token). Equal payloads have equal keys, different ones different keys.
	Key string

	// Body is what is sent, already formatted and compressed.
	Body []byte

	// Headers are what the sink needs beside the body to send it again exactly
	// so: content type, encoding, checksums.
	Headers map[string]string

	// Sequences are the records in the payload, in order.
	Sequences []uint64

	// Digest is the lower-case hex SHA-256 of the payload's content before
	// compression; for manifests.
	Digest string
}

// Receipt is what the destination answered; kept with the outcome.
type Receipt struct {
	Location   string // where the data is now: an object key, a file and offset
	Version    string // the destination's version or ETag, where it has one
	Duplicate  bool   // the destination had it already
	Unverified bool   // it had something under this key that was not compared
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
	Reasons  map[string]uint64 `json:"reasons,omitempty"` // by cause, of all that was not delivered
	Payloads []ManifestPayload `json:"payloads"`
	Amends   []Amendment       `json:"amends,omitempty"`
	Previous string            `json:"previous"` // hex SHA-256 of the manifest before, empty in the first
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

// Amendment tells of a payload in an earlier manifest that the destination
// refused and that smaller ones, or tombstones, replaced.
type Amendment struct {
	Number uint64            `json:"number"`
	By     []ManifestPayload `json:"by,omitempty"`
}
