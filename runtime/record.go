package runtime

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"auditrelay"
	"auditrelay/runtime/internal/journal"
)

// By says who acts on the relay, with which credential, and why. Own records contain all of it, so it must
// not contain secrets or event data.
type By struct {
	Principal  string // the authenticated name, or "local", "config file", "signal", "relay"
	Address    string // the caller's address; empty if unknown
	Credential string // which of the principal's credentials, such as "token 1f3a90bc"
	Reason     string // in the user's words; at most MaxReason bytes are kept
	// Subject is the issuer's identifier of the principal, the same in all of its tokens; empty without an
	// issuer.
	Subject string
	// Seen is the version of the object that the user saw in its status. If the version has changed, the
	// act fails with ErrChanged. Empty: any version.
	Seen string

	approval   string   // the id of the approved request
	approvedBy []string // principals; their own records name the approvers
}

// ErrChanged: the object changed after the user looked at it.
var ErrChanged = errors.New("somebody changed it after the version that was given")

// Check returns ErrChanged if Seen is set and differs from version.
func (b By) Check(version string) error {
	if b.Seen != "" && b.Seen != version {
		return fmt.Errorf("%w: it has version %s now", ErrChanged, version)
	}
	return nil
}

// MaxReason is the maximum length of By.Reason in an own record, in bytes.
const MaxReason = 1024

// Change describes an act on the relay itself, such as a new configuration.
type Change struct {
	By     By
	Act    string            // the act, such as "detach"; default: Action
	Action auditrelay.Action // created, updated, deleted, blocked, unblocked or rotated
	Table  string            // the kind of object, such as "auditrelay_config"
	Object string            // the id of the object
	Before any               // marshalled as JSON; nil: none
	After  any

	// MakesRoom: the record may use the disk space that is reserved for acts that free space or let
	// deliveries continue. The record must be small, at most 64 KiB.
	MakesRoom bool
	// Failed: the act was tried, but nothing changed.
	Failed bool
}

// The values of control.outcome in an own record.
const (
	outcomeBegun  = "begun"  // a later record, with this record's id in control.of, has the result
	outcomeDone   = "done"   // the act took effect
	outcomeFailed = "failed" // the act did not take effect
)

// Record accepts an own record, an audit event about the relay itself. It is durable when Record returns
// nil. The event is in LiteLLM's schema and in NamespaceRelay. It goes to every callback that receives
// events, and bypasses conditions and guests. Errors are those of Submit.
func (r *Runtime) Record(_ context.Context, c Change) error {
	r.accepting.RLock()
	defer r.accepting.RUnlock()
	if r.ctx.Err() != nil {
		return ErrClosed
	}
	tx := new(journal.Tx)
	if err := c.append(tx); err != nil {
		return err
	}
	if _, err := r.journal.Commit(tx); err != nil {
		return unavailable(err)
	}
	return nil
}

// append adds the change's own record to tx. If tx is committed, the change has taken effect.
func (c *Change) append(tx *journal.Tx) error {
	e, err := c.event()
	if err == nil {
		c.appendEvent(tx, e)
	}
	return err
}

func (c *Change) appendEvent(tx *journal.Tx, e auditrelay.Event) {
	tx.Append(e)
	if c.MakesRoom {
		tx.MakesRoom()
	}
}

// control is the part of an own record for which LiteLLM's schema has no field.
type control struct {
	Act     string `json:"act"`
	Outcome string `json:"outcome"`
	Of      string `json:"of,omitempty"` // the id of the record of the act's start
	Reason  string `json:"reason,omitempty"`
	Address string `json:"address,omitempty"`
	With    string `json:"with,omitempty"` // the credential
	// Approval is the id of the request that other principals approved.
	Approval   string   `json:"approval,omitempty"`
	ApprovedBy []string `json:"approved_by,omitempty"`
}

// ownRecord is the data of an own record.
type ownRecord struct {
	ID        string  `json:"id"`
	UpdatedAt string  `json:"updated_at"`
	ChangedBy string  `json:"changed_by"`
	APIKey    string  `json:"changed_by_api_key"`
	Action    string  `json:"action"`
	Table     string  `json:"table_name"`
	Object    string  `json:"object_id"`
	Before    any     `json:"before_value"`
	After     any     `json:"updated_values"`
	Control   control `json:"control"`
}

// event returns the change as an audit event.
func (c *Change) event() (auditrelay.Event, error) {
	outcome := outcomeDone
	if c.Failed {
		outcome = outcomeFailed
	}
	return c.eventWith(newRecordID(), outcome, "")
}

func newRecordID() string {
	id := make([]byte, 16)
	rand.Read(id)
	return hex.EncodeToString(id)
}

func (c *Change) eventWith(id, outcome, of string) (auditrelay.Event, error) {
	act := c.Act
	if act == "" {
		act = string(c.Action)
	}
	reason := c.By.Reason
	if len(reason) > MaxReason {
		reason = reason[:MaxReason]
	}
	now := time.Now().UTC()
	data, err := json.Marshal(ownRecord{ID: id, UpdatedAt: now.Format("2006-01-02T15:04:05.000000+00:00"),
		ChangedBy: c.By.Principal, Action: string(c.Action), Table: c.Table, Object: c.Object, Before: c.Before, After: c.After,
		Control: control{Act: act, Outcome: outcome, Of: of, Reason: reason, Address: c.By.Address, With: c.By.Credential,
			Approval: c.By.approval, ApprovedBy: c.By.approvedBy}})
	if err != nil {
		return auditrelay.Event{}, fmt.Errorf("record a change of %s: %w", c.Table, err)
	}
	return auditrelay.Event{Namespace: auditrelay.NamespaceRelay, ID: id, Time: now, Action: c.Action,
		Provenance: auditrelay.Provenance{Source: "relay", Principal: c.By.Principal, Address: c.By.Address}, Data: data}, nil
}

// own reports whether an event is an own record. Input never gets that namespace.
func own(e *auditrelay.Event) bool { return e.Namespace == auditrelay.NamespaceRelay }
