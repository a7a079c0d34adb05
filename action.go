package auditrelay

// Action is what an audit event says was done. LiteLLM writes the six that
// follow; an unknown one is accepted, marked and counted, never refused.
type Action string

// The actions that LiteLLM's StandardAuditLogPayload knows.
const (
	ActionCreated   Action = "created"
	ActionUpdated   Action = "updated"
	ActionDeleted   Action = "deleted"
	ActionBlocked   Action = "blocked"
	ActionUnblocked Action = "unblocked"
	ActionRotated   Action = "rotated"
)

// Actions returns the known actions, in the order in which they are documented.
func Actions() []Action {
	return []Action{ActionCreated, ActionUpdated, ActionDeleted, ActionBlocked, ActionUnblocked, ActionRotated}
}

// Known reports whether a is one of Actions.
func (a Action) Known() bool {
	switch a {
	case ActionCreated, ActionUpdated, ActionDeleted, ActionBlocked, ActionUnblocked, ActionRotated:
		return true
	}
	return false
}

// Closed returns a if it is known and "other" if it is not: the form that may
// appear in a tombstone or a metric label, where no text that a producer chose
// belongs.
func (a Action) Closed() string {
	if a.Known() {
		return string(a)
	}
	return "other"
}
