package api

import (
	"time"

	"auditrelay"
)

// Attempt is one attempt to deliver a payload. Attempts are kept in memory: a restart removes
// them.
type Attempt struct {
	Payload uint64        `json:"payload"`
	Number  int           `json:"number"` // number of the payload's attempt since start, from 1
	At      time.Time     `json:"at"`
	Took    time.Duration `json:"took_ns"`
	Bytes   int           `json:"bytes"`
	Status  int           `json:"status,omitempty"` // status code of the destination's response
	Result  string        `json:"result"`           // delivered, retried or replaced
	// Kind is the kind of failure, which selects the relay's reaction: transient, throttled,
	// unauthorized, misconfigured, too_large or refused. Reason says why the attempt failed.
	Kind    string                   `json:"kind,omitempty"`
	Reason  auditrelay.AttemptReason `json:"reason,omitempty"`
	NextTry time.Time                `json:"next_try,omitzero"`
	// Error is the sink's error, and Answer the body of the destination's response. Both need
	// the role comply.
	Error  string `json:"error,omitempty"`
	Answer string `json:"answer,omitempty"`
}

// DeliveryQuery selects deliveries. ID selects those that contained an event.
type DeliveryQuery struct {
	Callback  string `query:"callback"`
	State     string `query:"state"` // a state of a Delivery, or undelivered: waiting, sending or failing
	ID        string `query:"id"`
	Namespace string `query:"namespace"`
	After     string `query:"after"` // the next of the previous page
	Limit     int    `query:"limit"` // default 100, at most 1,000
}

// Deliveries is one page of payloads: by callback, newest first. Next is the next page's after,
// empty at the end. A page may be empty before the end.
type Deliveries struct {
	Deliveries []Delivery `json:"deliveries"`
	Next       string     `json:"next,omitempty"`
}

// Delivery is one payload, undelivered or settled.
type Delivery struct {
	Callback    string `json:"callback"`
	Replay      string `json:"replay,omitempty"` // the replay's id
	Payload     uint64 `json:"payload"`
	State       string `json:"state"` // waiting, sending, failing, delivered, replaced, given_up or erased
	Manifest    bool   `json:"manifest,omitempty"`
	DeadLetters bool   `json:"dead_letters,omitempty"` // it contains replayed dead letters
	Key         string `json:"key,omitempty"`
	First       uint64 `json:"first,omitempty"` // the records' first sequence; Last is their last one
	Last        uint64 `json:"last,omitempty"`
	Attempts    int    `json:"attempts"`

	// Set until the payload is settled.
	Records    uint64    `json:"records,omitempty"`
	Tombstones uint64    `json:"tombstones,omitempty"`
	Bytes      int64     `json:"bytes,omitempty"`
	Oldest     time.Time `json:"oldest,omitzero"` // when the relay received the oldest record
	NextTry    time.Time `json:"next_try,omitzero"`

	// Set once the payload is settled. Error needs the role comply.
	At         time.Time        `json:"at,omitzero"`
	Location   string           `json:"location,omitempty"`
	Version    string           `json:"version,omitempty"`
	Duplicate  bool             `json:"duplicate,omitempty"`
	Unverified bool             `json:"unverified,omitempty"`
	Error      string           `json:"error,omitempty"`
	Cause      auditrelay.Cause `json:"cause,omitempty"`
	By         []uint64         `json:"by,omitempty"` // the payloads that replaced it

	History []Attempt `json:"history,omitempty"` // its stored attempts, oldest first
}

// SinkTest is the result of a test of a callback's sink.
type SinkTest struct {
	Callback  string                   `json:"callback"`
	ID        string                   `json:"id"` // id of the test event
	Delivered bool                     `json:"delivered"`
	Took      time.Duration            `json:"took_ns"` // duration of the destination's response
	Bytes     int                      `json:"bytes"`
	Status    int                      `json:"status,omitempty"`
	Kind      string                   `json:"kind,omitempty"`
	Reason    auditrelay.AttemptReason `json:"reason,omitempty"`
	Effect    string                   `json:"effect,omitempty"` // what the relay would do with an event after such a failure
	Location  string                   `json:"location,omitempty"`
	Error     string                   `json:"error,omitempty"`
	Answer    string                   `json:"answer,omitempty"` // body of the destination's response; needs the role comply
}
