package api

import "time"

// Approver is who asked for an act or approved it.
type Approver struct {
	Name       string    `json:"name"`
	Credential string    `json:"credential,omitempty"`
	Reason     string    `json:"reason,omitempty"` // for the roles operate and auditor
	At         time.Time `json:"at"`
}

// Approval is a request for an act that needs several principals.
type Approval struct {
	ID     string `json:"id"`
	Act    string `json:"act"` // detach, discard, quarantine delete or keyring destroy
	Object string `json:"object,omitempty"`
	// Items are the dead letters' sequences or the quarantine's numbers, as in 3-5,9.
	Items       string     `json:"items,omitempty"`
	DeadLetters bool       `json:"dead_letters,omitempty"` // of the period: they are discarded first
	Digest      string     `json:"digest"`                 // of all that is asked for; If-Match names it
	By          Approver   `json:"by"`
	Approved    []Approver `json:"approved"`
	Need        int        `json:"need"` // principals, with By
	Expires     time.Time  `json:"expires"`
	// State is pending, approved, done, failed, rejected, expired or void.
	State  string    `json:"state"`
	Ended  time.Time `json:"ended,omitzero"`
	Result string    `json:"result,omitempty"`
	// Changed: the object changed after it was asked for, so that approving would fail.
	Changed bool `json:"changed,omitempty"`
}
