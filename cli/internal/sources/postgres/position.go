package postgres

import (
	"encoding/json"
	"fmt"
	"time"
)

// position is what is kept of how far the source came.
type position struct {
	Version int   `json:"version"`
	Place   place `json:"place"`
	// Done: every row inserted by a transaction below is taken.
	Done uint64 `json:"done"`
	// At is when the last sweep that was finished began.
	At    time.Time `json:"at,omitzero"`
	Sweep *sweep    `json:"sweep,omitempty"`
}

// sweep is a way through the whole table. Every row inserted by a transaction from
// Done on and below Below is taken when it is over.
type sweep struct {
	Below uint64    `json:"below"`
	File  uint64    `json:"file"`
	Block int64     `json:"block"` // the next; those before are done
	End   int64     `json:"end"`   // what came behind it is of a transaction from Below on
	Begun time.Time `json:"begun"`
	// Backfill: it reads the past, and is worth keeping while it goes on.
	Backfill bool `json:"backfill,omitempty"`
	// Since: rows updated from then on are taken whatever inserted them, since
	// transactions may have been numbered anew.
	Since time.Time `json:"since,omitzero"`
	Rows  uint64    `json:"rows"` // taken
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
