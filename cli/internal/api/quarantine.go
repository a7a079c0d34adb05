package api

import "time"

// QuarantineQuery selects items.
type QuarantineQuery struct {
	After  uint64 `query:"after"`
	Limit  int    `query:"limit"` // default 100, at most 1,000
	Reason string `query:"reason"`
	Source string `query:"source"`
}

// QuarantineItem is one item, without its contents.
type QuarantineItem struct {
	Number     uint64     `json:"number"`
	First      time.Time  `json:"first"`
	Last       time.Time  `json:"last"`
	Times      uint64     `json:"times"` // how often the same came
	Provenance Provenance `json:"provenance"`
	Reason     string     `json:"reason"`
	Detail     string     `json:"detail,omitempty"`
	Bytes      int64      `json:"bytes"`          // of what came
	Digest     string     `json:"hmac_sha256"`    // keyed, of reason, source and what came
	Bare       bool       `json:"bare,omitempty"` // only the digest was kept
}

// QuarantineContents is one item with its contents.
type QuarantineContents struct {
	QuarantineItem
	Data []byte `json:"data"` // base64, since it may be anything
}

// QuarantineChange names items: some by number, or all, of a reason or source, above
// After. All has to be said, so that an empty request does not delete everything.
type QuarantineChange struct {
	Numbers []uint64 `json:"numbers,omitempty"`
	All     bool     `json:"all,omitempty"`
	Reason  string   `json:"reason,omitempty"`
	Source  string   `json:"source,omitempty"`
	After   uint64   `json:"after,omitempty"`
}

// QuarantineChanged says what a QuarantineChange did.
type QuarantineChanged struct {
	Changed int                `json:"changed"`          // items
	Events  int                `json:"events,omitempty"` // that came of a replay
	Failed  []QuarantineFailed `json:"failed,omitempty"` // that are still there
	Next    uint64             `json:"next,omitempty"`   // After of the next request, 0: that was all
}

// QuarantineFailed is an item that was not changed.
type QuarantineFailed struct {
	Number uint64 `json:"number"`
	Error  *Error `json:"error"`
}
