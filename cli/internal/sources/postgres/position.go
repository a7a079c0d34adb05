package postgres

import (
	"encoding/json"
	"fmt"
	"time"
)

// position is the source's stored position.
type position struct {
	Version int   `json:"version"`
	Place   place `json:"place"`
	// Done: every row inserted by an earlier transaction was processed.
	Done uint64 `json:"done"`
	// At is when the last finished sweep began.
	At    time.Time `json:"at,omitzero"`
	Sweep *sweep    `json:"sweep,omitempty"`
}

// sweep is one pass over the whole table. At its end every row inserted by a transaction from
// position.Done up to but not including Below is processed.
type sweep struct {
	Below uint64    `json:"below"`
	File  uint64    `json:"file"`
	Block int64     `json:"block"` // the next block; earlier ones are done
	End   int64     `json:"end"`   // rows after it belong to transactions from Below on
	Begun time.Time `json:"begun"`
	// Backfill: the sweep reads existing rows, so its progress is stored.
	Backfill bool `json:"backfill,omitempty"`
	// Since: rows updated from then on are taken whatever their transaction, since transaction
	// numbers may repeat.
	Since time.Time `json:"since,omitzero"`
	Rows  uint64    `json:"rows"` // number of processed rows
}

const positionVersion = 1

func (s *Tail) load() (*position, error) {
	text, err := s.o.Relay.Position(sourceName)
	if err != nil || text == nil {
		return nil, err
	}
	p := new(position)
	if err := json.Unmarshal(text, p); err != nil || p.Version != positionVersion {
		return nil, fmt.Errorf("the position of %s is of a format that this program does not know (version %d)", sourceName, p.Version)
	}
	return p, nil
}
