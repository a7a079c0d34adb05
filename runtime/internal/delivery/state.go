package delivery

import (
	"encoding/json"
	"fmt"
	"time"

	"auditrelay"
	"auditrelay/runtime/internal/journal"
)

// State is the durable state of one lane besides its chunks, payloads, receipts and dead
// letters.
type State struct {
	Version  int    `json:"version"`
	ID       string `json:"id"` // part of all other keys; unchanged when the callback is renamed
	Callback string `json:"callback"`
	// Aliases are earlier names of the callback. Records emitted to them are assigned to it.
	Aliases  []string            `json:"aliases,omitempty"`
	Receives auditrelay.Receives `json:"receives"`
	Digest   string              `json:"digest,omitempty"` // digest of the last configuration

	Created time.Time `json:"created"`
	Start   uint64    `json:"start"`  // the first sequence that can be assigned
	Cursor  uint64    `json:"cursor"` // the next sequence to take
	// Base is the journal's count of this lane's class of events at the lane's start: assigned
	// = count - Base. It can be negative, since a lane may change its class.
	Base  int64  `json:"base"`
	Taken uint64 `json:"taken"` // number of assigned events between Start and Cursor

	// Bytes is the approximate byte count of the journal at the cursor. It only decides when a
	// chunk closes and when retain's limit is reached.
	Bytes uint64 `json:"bytes"`

	Counts  Counts                      `json:"counts"`
	Causes  map[auditrelay.Cause]uint64 `json:"causes,omitempty"`
	Number  uint64                      `json:"number"`           // number of the last payload
	LastSum string                      `json:"last_sum"`         // digest of the last manifest
	Amends  int                         `json:"amends,omitempty"` // number of stored amendments that no manifest contains yet
	// Duplicates counts payloads that the destination already had. Unverified counts payloads
	// for which the destination had data under the same key that was not compared.
	Duplicates uint64 `json:"duplicates,omitempty"`
	Unverified uint64 `json:"unverified,omitempty"`
	// SetAside counts all events that ever became dead letters. It never falls.
	SetAside uint64 `json:"set_aside,omitempty"`
	// DeadFrames numbers the receipts of replayed dead letters.
	DeadFrames uint64 `json:"dead_frames,omitempty"`

	// Log is the journal's incarnation whose log the lane adds to. It is empty if there is none
	// yet, or after a program ran that keeps no log.
	Log      string   `json:"log,omitempty"`
	Attested Attested `json:"attested,omitzero"`

	// DeadFloor is below every unresolved dead letter. Lists start there.
	DeadFloor uint64 `json:"dead_floor,omitempty"`

	Paused   string `json:"paused,omitempty"`   // the reason; empty if not paused
	Detached string `json:"detached,omitempty"` // the reason; empty if not detached
	Removed  bool   `json:"removed,omitempty"`
	// DetachedFrom is the first sequence that a detached lane skips or gave up. It is 0 while
	// the lane is attached, or if an older program detached it.
	DetachedFrom uint64 `json:"detached_from,omitempty"`
	// Changed is when one of the three last changed.
	Changed time.Time `json:"changed,omitzero"`
	// Leaked is when must_not_leave last dead-lettered an event.
	Leaked time.Time `json:"leaked,omitzero"`

	// Tried counts the events that the last rollout's version processed on this lane.
	Tried *TriedCounts `json:"tried,omitempty"`

	Replay *Replay `json:"replay,omitempty"`
}

// Replay makes a lane process a range of events again.
type Replay struct {
	ID   string `json:"id"`
	To   uint64 `json:"to"` // the end of the range
	Emit bool   `json:"emit,omitempty"`
	By   string `json:"by,omitempty"`
	// Own: the lane delivers only own records; all other events end as skipped.
	Own bool `json:"own,omitempty"`
}

// Counts has the number of a lane's ended events by outcome.
type Counts struct {
	Delivered    uint64 `json:"delivered"`
	Filtered     uint64 `json:"filtered"`
	DeadLettered uint64 `json:"dead_lettered"`
	Discarded    uint64 `json:"discarded"`
	Skipped      uint64 `json:"skipped"`
}

// Sum returns the number of ended events.
func (c Counts) Sum() uint64 {
	return c.Delivered + c.Filtered + c.DeadLettered + c.Discarded + c.Skipped
}

// add adds n events to outcome o; n may be negative.
func (c *Counts) add(o auditrelay.Outcome, n int64) {
	switch o {
	case auditrelay.Delivered:
		c.Delivered += uint64(n)
	case auditrelay.Filtered:
		c.Filtered += uint64(n)
	case auditrelay.DeadLettered:
		c.DeadLettered += uint64(n)
	case auditrelay.Discarded:
		c.Discarded += uint64(n)
	case auditrelay.Skipped:
		c.Skipped += uint64(n)
	}
}

const stateVersion = 1

// LaneName returns the key of a lane's state: the callback's name, for a replay followed by @
// and the replay's id.
func (s *State) LaneName() string {
	if s.Replay != nil {
		return s.Callback + "@" + s.Replay.ID
	}
	return s.Callback
}

// Assigned reports whether e is assigned to this lane.
func (s *State) Assigned(e *auditrelay.Event) bool {
	if e.Emission == nil {
		return s.Receives != auditrelay.ReceivesEmitted
	}
	if s.Receives == auditrelay.ReceivesEvents {
		return false
	}
	if e.Emission.Target == s.Callback {
		return true
	}
	for _, alias := range s.Aliases {
		if e.Emission.Target == alias {
			return true
		}
	}
	return false
}

// class returns this lane's part of the journal's counts: all events, or the emitted ones by
// target.
func (s *State) class(events uint64, emitted map[string]uint64) uint64 {
	var n uint64
	if s.Receives != auditrelay.ReceivesEmitted {
		n = events
		for _, others := range emitted {
			n -= others
		}
	}
	if s.Receives != auditrelay.ReceivesEvents {
		n += emitted[s.Callback]
		for _, alias := range s.Aliases {
			n += emitted[alias]
		}
	}
	return n
}

func (s *State) put(tx *journal.Tx) error {
	value, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("encode state of callback %s: %w", s.LaneName(), err)
	}
	tx.Set(journal.LaneKey(s.LaneName()), value)
	return nil
}

// LoadState reads the state of the lane with a name. It returns nil if there is none.
func LoadState(j *journal.Journal, name string) (*State, error) {
	value, ok, err := j.Get(journal.LaneKey(name))
	if err != nil || !ok {
		return nil, err
	}
	return decodeState(value)
}

func decodeState(value []byte) (*State, error) {
	s := new(State)
	if err := json.Unmarshal(value, s); err != nil {
		return nil, fmt.Errorf("decode a callback's state: %w", err)
	}
	if s.Version != stateVersion {
		return nil, fmt.Errorf("callback %s: its state has version %d, this program knows %d", s.Callback, s.Version, stateVersion)
	}
	s.SetAside = max(s.SetAside, s.Counts.DeadLettered) // older versions did not count it
	return s, nil
}

// States reads the states of all lanes in the journal.
func States(j *journal.Journal) ([]*State, error) {
	var states []*State
	from, to := journal.All(journal.KindLane)
	err := j.Scan(from, to, func(_ journal.Key, value []byte) error {
		s, err := decodeState(value)
		if err == nil {
			states = append(states, s)
		}
		return err
	})
	return states, err
}

// Rename gives the lane another callback's name. Records emitted to the old name stay assigned
// to it.
func (s *State) Rename(j *journal.Journal, tx *journal.Tx, name string, receives auditrelay.Receives, digest string) error {
	tx.Delete(journal.LaneKey(s.LaneName()))
	s.Aliases = append(s.Aliases, s.Callback)
	s.Callback = name
	s.Receives, s.Digest = receives, digest
	if err := s.rebase(j); err != nil {
		return err
	}
	return s.put(tx)
}
