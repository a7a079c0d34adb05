package delivery

import (
	"encoding/json"
	"fmt"
	"time"

	"auditrelay"
	"auditrelay/runtime/internal/journal"
)

// State is what is durable about one lane besides its chunks, payloads, receipts
// and dead letters.
type State struct {
	Version  int    `json:"version"`
	ID       string `json:"id"` // in the keys of all else; stays when the callback is renamed
	Callback string `json:"callback"`
	// Aliases are names that the callback had before: records emitted to them are
	// assigned to it.
	Aliases  []string            `json:"aliases,omitempty"`
	Receives auditrelay.Receives `json:"receives"`
	Digest   string              `json:"digest,omitempty"` // of the configuration last run with

	Created time.Time `json:"created"`
	Start   uint64    `json:"start"`  // the first sequence that may be assigned
	Cursor  uint64    `json:"cursor"` // the next sequence to take
	// Base is what the journal's count of this lane's class of events was where
	// the lane began: assigned = count - Base. Signed, since a lane may change
	// its class.
	Base  int64  `json:"base"`
	Taken uint64 `json:"taken"` // assigned events between Start and Cursor

	// Bytes is about what the journal's byte count was at the cursor; it only
	// decides when a chunk is closed and when retain's bound is met.
	Bytes uint64 `json:"bytes"`

	Counts  Counts                      `json:"counts"`
	Causes  map[auditrelay.Cause]uint64 `json:"causes,omitempty"`
	Number  uint64                      `json:"number"`           // of the last payload
	LastSum string                      `json:"last_sum"`         // digest of the last manifest
	Amends  int                         `json:"amends,omitempty"` // stored, not yet told in a manifest
	// Duplicates and Unverified are how many payloads the destination had already, and
	// how many it had under the key without the content having been compared.
	Duplicates uint64 `json:"duplicates,omitempty"`
	Unverified uint64 `json:"unverified,omitempty"`
	// SetAside counts the events that ever became dead letters, whatever became of them
	// later. It only rises.
	SetAside uint64 `json:"set_aside,omitempty"`
	// DeadFrames numbers the receipts of dead letters that were judged again.
	DeadFrames uint64 `json:"dead_frames,omitempty"`

	// Log is the incarnation of the journal whose log the lane adds to; empty: none yet,
	// or a program that keeps none was at work.
	Log      string   `json:"log,omitempty"`
	Attested Attested `json:"attested,omitzero"`

	// DeadFloor is below every unresolved dead letter: lists begin there.
	DeadFloor uint64 `json:"dead_floor,omitempty"`

	Paused   string `json:"paused,omitempty"`   // why, empty if not
	Detached string `json:"detached,omitempty"` // why, empty if not
	Removed  bool   `json:"removed,omitempty"`
	// DetachedFrom is the first sequence that a detached lane skips or gave up; 0 while
	// it is attached, or if an earlier program detached it.
	DetachedFrom uint64 `json:"detached_from,omitempty"`
	// Changed is when one of the three last changed.
	Changed time.Time `json:"changed,omitzero"`
	// Leaked is when must_not_leave last set an event aside.
	Leaked time.Time `json:"leaked,omitzero"`

	// Tried counts what the version of the last rollout judged here.
	Tried *TriedCounts `json:"tried,omitempty"`

	Replay *Replay `json:"replay,omitempty"`
}

// Replay makes a lane give a range of events to its callback again.
type Replay struct {
	ID   string `json:"id"`
	To   uint64 `json:"to"` // where it ends
	Emit bool   `json:"emit,omitempty"`
	By   string `json:"by,omitempty"`
	// Own: only the relay's own records are delivered; all else ends as skipped.
	Own bool `json:"own,omitempty"`
}

// Counts are a lane's ended events by outcome.
type Counts struct {
	Delivered    uint64 `json:"delivered"`
	Filtered     uint64 `json:"filtered"`
	DeadLettered uint64 `json:"dead_lettered"`
	Discarded    uint64 `json:"discarded"`
	Skipped      uint64 `json:"skipped"`
}

// Sum returns how many events have ended.
func (c Counts) Sum() uint64 {
	return c.Delivered + c.Filtered + c.DeadLettered + c.Discarded + c.Skipped
}

// add counts n more events (or, negative, fewer) under o.
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

// LaneName is the key under which a lane's state stands: the callback's name,
// with the replay's id behind an @ for a replay.
func (s *State) LaneName() string {
	if s.Replay != nil {
		return s.Callback + "@" + s.Replay.ID
	}
	return s.Callback
}

// Assigned reports whether e is this lane's to bring to an outcome.
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

// class picks this lane's share of the journal's counts: all events, and among
// them the emitted ones by target.
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

// LoadState reads the state of the lane of that name; nil if there is none.
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
	s.SetAside = max(s.SetAside, s.Counts.DeadLettered) // earlier revisions did not count it
	return s, nil
}

// States reads all lanes that the journal knows.
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

// Rename gives the lane another callback's name. What was emitted to the old one
// stays assigned to it.
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
