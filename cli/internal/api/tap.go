package api

import (
	"encoding/json"
	"time"

	"auditrelay"
)

// TapQuery selects what a tap shows; an empty field selects everything.
type TapQuery struct {
	Stage    string `query:"stage" json:"stage,omitempty"` // accepted, filtered or delivered
	Callback string `query:"callback" json:"callback,omitempty"`
	Action   string `query:"action" json:"action,omitempty"`
	Table    string `query:"table" json:"table,omitempty"`
	ID       string `query:"id" json:"id,omitempty"`
}

// TapLine is one line of a tap. Every few seconds there is a line with only Lost and At.
type TapLine struct {
	Stage    string             `json:"stage,omitempty"`
	At       time.Time          `json:"at"`
	Callback string             `json:"callback,omitempty"`
	Replay   string             `json:"replay,omitempty"`
	Sequence uint64             `json:"sequence,omitempty"`
	ID       string             `json:"id,omitempty"`
	Action   string             `json:"action,omitempty"`
	Table    string             `json:"table,omitempty"`
	Outcome  auditrelay.Outcome `json:"outcome,omitzero"`
	Cause    auditrelay.Cause   `json:"cause,omitempty"`
	Filter   string             `json:"filter,omitempty"`
	// Data is the accepted event or, after the filters, the document before must_not_leave. It
	// is missing if it is larger than 64 KiB, and when delivered.
	Data    json.RawMessage `json:"data,omitempty"`
	Payload uint64          `json:"payload,omitempty"`
	Records int             `json:"records,omitempty"` // number of the payload's records
	Error   string          `json:"error,omitempty"`   // error of the delivery attempt
	// Lost is the number of lost lines before this one, since the client reads too slowly.
	Lost uint64 `json:"lost,omitempty"`
}
