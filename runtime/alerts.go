package runtime

import (
	"bytes"
	"context"
	"encoding/json"

	"auditrelay"
	"auditrelay/runtime/internal/journal"
)

// TableAlert is the table_name of alerts, events of the relay's own (see RecordAlert).
const TableAlert = "auditrelay_alert"

var alertsKey = journal.MetaKey("alerts")

// RecordAlert accepts an own event for TableAlert and keeps state, in one write: after a
// crash both are there, or neither. So an alert is told once. The event goes to the same
// callbacks as all own events; on those with Callback.Alerts neither a condition nor a
// filter keeps it back. state holds nothing of any event. Errors are those of Record.
func (r *Runtime) RecordAlert(_ context.Context, c Change, state []byte) error {
	r.accepting.RLock()
	defer r.accepting.RUnlock()
	if r.ctx.Err() != nil {
		return ErrClosed
	}
	c.Table = TableAlert
	tx := new(journal.Tx)
	if err := c.append(tx); err != nil {
		return err
	}
	tx.Set(alertsKey, state)
	if _, err := r.journal.Commit(tx); err != nil {
		return unavailable(err)
	}
	return nil
}

// AlertState returns what the last RecordAlert kept, nil if there was none.
func (r *Runtime) AlertState() ([]byte, error) {
	state, _, err := r.journal.Get(alertsKey)
	return state, err
}

// isAlert reports whether an event is an alert of this relay. A sender cannot make one:
// the namespace is the relay's.
func isAlert(e *auditrelay.Event) bool {
	if e.Namespace != auditrelay.NamespaceRelay || e.Emission != nil || !bytes.Contains(e.Data, []byte(TableAlert)) {
		return false
	}
	var fields struct {
		Table string `json:"table_name"`
	}
	return json.Unmarshal(e.Data, &fields) == nil && fields.Table == TableAlert
}
