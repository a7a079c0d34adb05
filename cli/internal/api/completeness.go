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
	// Verified are the runs of auditrelay verify that the relay was told of: the last of
	// each place, the latest first.
	Verified []Verified `json:"verified"`
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

// VerifyReport is what a run of auditrelay verify found.
type VerifyReport struct {
	Place       string         `json:"place"` // what was verified, at most 512 bytes
	Records     uint64         `json:"records"`
	Uncovered   uint64         `json:"uncovered,omitempty"`   // files that no checkpoint covers
	Faults      map[string]int `json:"faults,omitempty"`      // by category; empty: nothing is wrong
	Checkpoints []string       `json:"checkpoints,omitempty"` // the newest of each verified log, at most 256
	Reason      string         `json:"reason,omitempty"`      // in the user's words
}

// Verified is the last VerifyReport of one place. What it found is what By says; whether
// the verified logs are those of this relay, the relay checked itself.
type Verified struct {
	Place     string         `json:"place"`
	At        time.Time      `json:"at"`
	By        string         `json:"by"`
	Records   uint64         `json:"records"`
	Uncovered uint64         `json:"uncovered,omitempty"`
	Faults    map[string]int `json:"faults,omitempty"`
	Logs      []VerifiedLog  `json:"logs"`
}

// VerifiedLog is one log that was verified, as far as a checkpoint.
type VerifiedLog struct {
	Callback string `json:"callback,omitempty"` // empty: the log of accepted events, or one that is not of this journal
	Origin   string `json:"origin"`
	Size     uint64 `json:"size"`            // entries that the checkpoint covers
	Fault    string `json:"fault,omitempty"` // why the relay's own log is not what was verified
}
