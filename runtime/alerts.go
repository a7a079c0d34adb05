package runtime

import (
	"bytes"
	"context"
	"encoding/json"

	"auditrelay"
	"auditrelay/runtime/internal/journal"
)

// TableAlert is the table_name of alerts. Alerts are own records (see RecordAlert).
const TableAlert = "auditrelay_alert"

var alertsKey = journal.MetaKey("alerts")

// RecordAlert accepts an own record for TableAlert and stores state in the same write. After a crash both
// exist or neither, so each alert is recorded once. The alert goes to the same callbacks as all own
// records. On callbacks with Callback.Alerts, neither condition nor filters stop it. state must not contain
// event data. Errors are those of Record.
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

// AlertState returns the state that the last RecordAlert stored, or nil if there was none.
func (r *Runtime) AlertState() ([]byte, error) {
	state, _, err := r.journal.Get(alertsKey)
	return state, err
}

// isAlert reports whether an event is an alert of this relay. A sender cannot forge one, since only the
// relay uses this namespace.
func isAlert(e *auditrelay.Event) bool {
	if e.Namespace != auditrelay.NamespaceRelay || e.Emission != nil || !bytes.Contains(e.Data, []byte(TableAlert)) {
		return false
	}
	var fields struct {
		Table string `json:"table_name"`
	}
	return json.Unmarshal(e.Data, &fields) == nil && fields.Table == TableAlert
}
