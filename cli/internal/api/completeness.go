package api

import "time"

// CompletenessQuery selects the last days.
type CompletenessQuery struct {
	Days int `query:"days"` // default 14, at most 92
}

// Completeness says for each UTC day whether each accepted event has an outcome, and whether
// the logs of proofs match their signatures.
type Completeness struct {
	At   time.Time     `json:"at"` // time of the check
	Days []CompleteDay `json:"days"`
	Logs []CompleteLog `json:"logs"`
	// Verified lists the last reported run of auditrelay verify for each place, newest first.
	Verified []Verified `json:"verified"`
	// DeadLettersCut: more dead letters exist than were counted by day.
	DeadLettersCut bool `json:"dead_letters_cut,omitempty"`
}

// CompleteDay is one day. Sequences have no gaps: first and next are the half-open range of the
// day's events.
type CompleteDay struct {
	Day       time.Time          `json:"day"`
	Events    uint64             `json:"events"`
	First     uint64             `json:"first"`
	Next      uint64             `json:"next"`
	Erased    uint64             `json:"erased"`    // number of events whose period key was destroyed
	Forgotten bool               `json:"forgotten"` // retention removed earlier events, possibly of this day
	Signed    bool               `json:"signed"`    // a checkpoint covers all of the day's events
	Open      []CompleteCallback `json:"open"`      // callbacks that have pending events or dead letters of the day
}

// CompleteCallback is the open work of a day on one callback.
type CompleteCallback struct {
	Callback    string `json:"callback"`
	Pending     bool   `json:"pending"`
	DeadLetters uint64 `json:"dead_letters"`
}

// CompleteLog is one log of proofs, compared with its last checkpoint.
type CompleteLog struct {
	Callback string    `json:"callback,omitempty"` // empty for the log of accepted events
	Size     uint64    `json:"size"`               // number of entries
	Signed   uint64    `json:"signed"`             // number of entries that the checkpoint covers
	SignedAt time.Time `json:"signed_at,omitzero"`
	Fault    string    `json:"fault,omitempty"`
}

// VerifyReport is the result of a run of auditrelay verify.
type VerifyReport struct {
	Place       string         `json:"place"` // the verified place, at most 512 bytes
	Records     uint64         `json:"records"`
	Uncovered   uint64         `json:"uncovered,omitempty"`   // number of files that no checkpoint covers
	Faults      map[string]int `json:"faults,omitempty"`      // number by category; empty if there are none
	Checkpoints []string       `json:"checkpoints,omitempty"` // the newest checkpoint of each verified log, at most 256
	Reason      string         `json:"reason,omitempty"`      // in the user's words
}

// Verified is the last VerifyReport of one place. The user in By reported its result. The relay
// itself checked whether the verified logs are its own.
type Verified struct {
	Place     string         `json:"place"`
	At        time.Time      `json:"at"`
	By        string         `json:"by"`
	Records   uint64         `json:"records"`
	Uncovered uint64         `json:"uncovered,omitempty"`
	Faults    map[string]int `json:"faults,omitempty"`
	Logs      []VerifiedLog  `json:"logs"`
}

// VerifiedLog is one verified log, up to a checkpoint.
type VerifiedLog struct {
	Callback string `json:"callback,omitempty"` // empty for the log of accepted events, or for a log of another journal
	Origin   string `json:"origin"`
	Size     uint64 `json:"size"`            // number of entries that the checkpoint covers
	Fault    string `json:"fault,omitempty"` // why the relay's own log differs from the verified one
}
