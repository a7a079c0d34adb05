package api

import "time"

// Fleet is several relays with one journal, as the relay that answers last saw them.
type Fleet struct {
	Relay  string       `json:"relay"`            // name of the one that answers
	Leader string       `json:"leader,omitempty"` // name of the one that has the journal and runs all callbacks; empty: none
	Epoch  int64        `json:"epoch"`            // raised with each change of the leader
	Agree  bool         `json:"agree"`            // all that live have one configuration and version
	Relays []FleetRelay `json:"relays"`
	// Reason says why nothing newer is known; empty: all is well.
	Reason string `json:"reason,omitempty"`
}

// FleetRelay is one process of a fleet.
type FleetRelay struct {
	Name    string    `json:"name"`
	State   string    `json:"state"` // leads, standby, drained, failed or gone
	Address string    `json:"address"`
	Version string    `json:"version"`
	Digest  string    `json:"digest"` // of configuration and version
	Joined  time.Time `json:"joined"`
	// Seen is the age of its last sign of life.
	Seen    time.Duration `json:"seen_ns"`
	Failure string        `json:"failure,omitempty"` // why it could not lead
}
