package runtime

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"auditrelay"
	"auditrelay/runtime/internal/journal"
)

// Change is a change to the relay itself, such as a new configuration.
type Change struct {
	Actor  string            // the user, or "config file"
	Action auditrelay.Action // created, updated, deleted, blocked, unblocked or rotated
	Table  string            // the kind of object, such as "auditrelay_config"
	Object string            // the id of the object
	Before any               // marshalled as JSON; nil: none
	After  any
}

// Record accepts an audit event about the relay itself, durably before it returns nil.
// The event is in LiteLLM's schema, in NamespaceRelay, and goes to the same callbacks as
// all others. Errors are those of Submit.
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
		return r.unavailable(err)
	}
	return nil
}

// append adds the change's audit event to tx.
func (c *Change) append(tx *journal.Tx) error {
	e, err := c.event()
	if err == nil {
		tx.Append(e)
	}
	return err
}

// event returns the change as an audit event.
func (c *Change) event() (auditrelay.Event, error) {
	id := make([]byte, 16)
	rand.Read(id)
	now := time.Now().UTC()
	payload := struct {
		ID        string `json:"id"`
		UpdatedAt string `json:"updated_at"`
		ChangedBy string `json:"changed_by"`
		APIKey    string `json:"changed_by_api_key"`
		Action    string `json:"action"`
		Table     string `json:"table_name"`
		Object    string `json:"object_id"`
		Before    any    `json:"before_value"`
		After     any    `json:"updated_values"`
	}{ID: hex.EncodeToString(id), UpdatedAt: now.Format("2006-01-02T15:04:05.000000+00:00"), ChangedBy: c.Actor,
		Action: string(c.Action), Table: c.Table, Object: c.Object, Before: c.Before, After: c.After}
	data, err := json.Marshal(payload)
	if err != nil {
		return auditrelay.Event{}, fmt.Errorf("record a change of %s: %w", c.Table, err)
	}
	return auditrelay.Event{Namespace: auditrelay.NamespaceRelay, ID: payload.ID, Time: now, Action: c.Action,
		Provenance: auditrelay.Provenance{Source: "relay", Principal: c.Actor}, Data: data}, nil
}
