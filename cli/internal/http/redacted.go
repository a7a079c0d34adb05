package http

import (
	"auditrelay"
	"auditrelay/cli/internal/api"
)

// Fields that a guest, a producer or a destination can fill with event contents are shown only
// to the role comply. Other roles see only codes from closed sets: causes, outcomes and
// reasons.

func (p principal) seesTexts() bool { return p.roles[roleComply] }

func (p principal) explained(e api.Explained) api.Explained {
	if p.seesTexts() {
		return e
	}
	if e.Action != "" {
		e.Action = auditrelay.Action(e.Action).Closed()
	}
	for i := range e.Callbacks {
		c := &e.Callbacks[i]
		c.Reason, c.Error = "", ""
		for k := range c.Receipts {
			c.Receipts[k] = p.receipt(c.Receipts[k])
		}
	}
	return e
}

func (p principal) receipt(r api.Receipt) api.Receipt {
	if !p.seesTexts() {
		r.Reason = ""
	}
	return r
}

func (p principal) deadLetters(all []api.DeadLetter) []api.DeadLetter {
	if !p.seesTexts() {
		for i := range all {
			all[i].Error = ""
		}
	}
	return all
}

func (p principal) quarantined(all []api.QuarantineItem) []api.QuarantineItem {
	if !p.seesTexts() {
		for i := range all {
			all[i].Detail = ""
		}
	}
	return all
}
