package api

import "time"

// Approver is a principal who requested an act or approved it.
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
	// Items lists the sequences of dead letters or the numbers of quarantine items, as in
	// 3-5,9.
	Items       string     `json:"items,omitempty"`
	DeadLetters bool       `json:"dead_letters,omitempty"` // the act first discards the period's dead letters
	Digest      string     `json:"digest"`                 // digest of the requested act; send it as If-Match
	By          Approver   `json:"by"`
	Approved    []Approver `json:"approved"`
	Need        int        `json:"need"` // number of principals, including By
	Expires     time.Time  `json:"expires"`
	// State is pending, approved, done, failed, rejected, expired or void.
	State  string    `json:"state"`
	Ended  time.Time `json:"ended,omitzero"`
	Result string    `json:"result,omitempty"`
	// Changed: the object has changed since the request, so an approval would fail.
	Changed bool `json:"changed,omitempty"`
}
