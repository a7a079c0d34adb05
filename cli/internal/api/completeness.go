package api

import "time"

// CompletenessQuery selects the last days.
type CompletenessQuery struct {
	Days int `query:"days"` // default 14, at most 92
}

// Completeness says, by day in UTC, whether each accepted event has its outcome, and whether
// the logs of proofs are as they were signed.
type Completeness struct {
	At   time.Time     `json:"at"` // of the check
	Days []CompleteDay `json:"days"`
	Logs []CompleteLog `json:"logs"`
	// DeadLettersCut: there are more dead letters than were counted by day.
	DeadLettersCut bool `json:"dead_letters_cut,omitempty"`
}

// CompleteDay is one day. Sequences are given without gaps: first and next are the day's
// events, half open.
type CompleteDay struct {
	Day       time.Time          `json:"day"`
	Events    uint64             `json:"events"`
	First     uint64             `json:"first"`
	Next      uint64             `json:"next"`
	Erased    uint64             `json:"erased"`    // with their period's key
	Forgotten bool               `json:"forgotten"` // retention removed earlier events, of this day perhaps
	Signed    bool               `json:"signed"`    // a checkpoint covers all of the day's events
	Open      []CompleteCallback `json:"open"`      // callbacks on which events of the day are not done
}

// CompleteCallback is what is left of a day on one callback.
type CompleteCallback struct {
	Callback    string `json:"callback"`
	Pending     bool   `json:"pending"`
	DeadLetters uint64 `json:"dead_letters"`
}

// CompleteLog is one log of proofs, held against its last checkpoint.
type CompleteLog struct {
	Callback string    `json:"callback,omitempty"` // empty: the log of accepted events
	Size     uint64    `json:"size"`               // entries
	Signed   uint64    `json:"signed"`             // of them, covered by the checkpoint
	SignedAt time.Time `json:"signed_at,omitzero"`
	Fault    string    `json:"fault,omitempty"`
}
