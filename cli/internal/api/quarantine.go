package api

import "time"

// QuarantineQuery selects items with a number above After and, if set, the given reason
// and source.
type QuarantineQuery struct {
	After  uint64 `query:"after"`
	Limit  int    `query:"limit"` // default 100, at most 1,000
	Reason string `query:"reason"`
	Source string `query:"source"`
}

// QuarantineItem is one item without its data.
type QuarantineItem struct {
	Number     uint64     `json:"number"`
	First      time.Time  `json:"first"`
	Last       time.Time  `json:"last"`
	Times      uint64     `json:"times"` // number of times that this input arrived
	Provenance Provenance `json:"provenance"`
	Namespace  string     `json:"namespace"` // namespace of its events
	Reason     string     `json:"reason"`
	Detail     string     `json:"detail,omitempty"`
	Bytes      int64      `json:"bytes"`          // size of the input
	Digest     string     `json:"hmac_sha256"`    // keyed digest of reason, source and input
	Bare       bool       `json:"bare,omitempty"` // only the digest is stored
}

// QuarantineContents is one item with its data.
type QuarantineContents struct {
	QuarantineItem
	Data []byte `json:"data"` // base64 in JSON, since it may contain any bytes
}

// QuarantineChange names items: by number; or, with All, every item above After, with Cause
// (their reason) and Source if set. An empty request changes nothing.
type QuarantineChange struct {
	Numbers []uint64 `json:"numbers,omitempty"`
	All     bool     `json:"all,omitempty"`
	Cause   string   `json:"cause,omitempty"`
	Source  string   `json:"source,omitempty"`
	After   uint64   `json:"after,omitempty"`
	Reason  string   `json:"reason,omitempty"` // the user's reason for the change; required to delete
}

// QuarantineChanged is the result of a QuarantineChange.
type QuarantineChanged struct {
	Changed int                `json:"changed"`          // number of items
	Events  int                `json:"events,omitempty"` // number of events accepted by a replay
	Failed  []QuarantineFailed `json:"failed,omitempty"` // items that stayed
	Next    uint64             `json:"next,omitempty"`   // the After of the next request; 0 if all are done
}

// QuarantineFailed is an item that did not change.
type QuarantineFailed struct {
	Number uint64 `json:"number"`
	Error  *Error `json:"error"`
}
