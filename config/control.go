package config

import "auditrelay"

// control checks that the callback for own records is sure to get them.
func (c checker) control() {
	name := c.Control.Callback
	if name == "" {
		if c.Control.Only {
			c.bad(at("control", "only"), "it needs callback, which says where own records go")
		}
		return
	}
	for i := range c.Callbacks {
		cb := &c.Callbacks[i]
		if cb.Name != name {
			continue
		}
		switch {
		case cb.Receives == auditrelay.ReceivesEmitted:
			c.bad(at("control", "callback"), "callback %s receives emitted records only: own records go to callbacks that receive events", name)
		case cb.Sink.Type == "":
			c.bad(at("control", "callback"), "callback %s has no sink", name)
		case cb.Retain.Then != auditrelay.RetainBlock:
			c.bad(at("control", "callback"), "callback %s gives events up at its retain limit: own records need then: block", name)
		}
		return
	}
	c.bad(at("control", "callback"), "there is no callback of this name")
}
