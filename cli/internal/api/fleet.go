package api

import "time"

// Fleet is the state of several relays with one journal, as the responding relay last saw it.
type Fleet struct {
	Relay  string       `json:"relay"`            // name of the responding relay
	Leader string       `json:"leader,omitempty"` // name of the relay that has the journal and runs all callbacks; empty if there is none
	Epoch  int64        `json:"epoch"`            // increases with each change of the leader
	Agree  bool         `json:"agree"`            // all living relays have the same configuration and version
	Relays []FleetRelay `json:"relays"`
	// Reason says why the state is not newer; empty if there is no problem.
	Reason string `json:"reason,omitempty"`
}

// FleetRelay is one process of a fleet.
type FleetRelay struct {
	Name    string    `json:"name"`
	State   string    `json:"state"` // leads, standby, drained, failed or gone
	Address string    `json:"address"`
	Version string    `json:"version"`
	Digest  string    `json:"digest"` // digest of configuration and version
	Joined  time.Time `json:"joined"`
	// Seen is the age of its last sign of life.
	Seen    time.Duration `json:"seen_ns"`
	Failure string        `json:"failure,omitempty"` // why it could not lead
}
