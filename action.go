package auditrelay

// Action is what was done to the object. LiteLLM writes the six below. The relay
// accepts, marks and counts an unknown one; it never rejects it.
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

// Actions returns the known actions, in documented order.
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

// Closed returns a if it is known, otherwise "other". Tombstones and metric labels
// use it, since they must not contain text that a sender chose.
func (a Action) Closed() string {
	if a.Known() {
		return string(a)
	}
	return "other"
}
