package config

import (
	"cmp"
	"slices"
	"time"

	"auditrelay"
)

// Alerts says when trouble becomes an event of the relay's own (table auditrelay_alert),
// and where that must go. Each alert is sent once, and once more when it is over.
type Alerts struct {
	// Callbacks are the names of the callbacks that deliver alerts, whatever their
	// condition and filters say. A callback cannot tell of its own trouble while it lasts:
	// name two. Default: none, and no alerts.
	Callbacks []string `yaml:"callbacks"`
	// Stalled is how long a callback may fail (states degraded, auth_error,
	// misconfigured). Default: 5m.
	Stalled time.Duration `yaml:"stalled" range:"1s..30d"`
	// Lag is how old a callback's oldest pending event may be. Default: 15m.
	Lag time.Duration `yaml:"lag" range:"1s..30d"`
	// DeadLetters is at how many dead letters a callback is told of. Default: 1.
	DeadLetters int `yaml:"dead_letters" range:"1..1000000000"`
	// Silent is how long a source may send nothing. Default: no limit, since some have
	// nothing to send for days.
	Silent time.Duration `yaml:"silent" range:"1s..365d"`
	// Recovered is how long trouble must be over before that is told; what comes back
	// earlier is the same alert. Default: 5m.
	Recovered time.Duration `yaml:"recovered" range:"1s..1d"`
	// Every is how often the relay looks. Default: 5s.
	Every time.Duration `yaml:"every" range:"100ms..1h"`
}

// WithDefaults fills in unset fields.
func (a Alerts) WithDefaults() Alerts {
	a.Stalled, a.Lag = cmp.Or(a.Stalled, 5*time.Minute), cmp.Or(a.Lag, 15*time.Minute)
	a.DeadLetters = cmp.Or(a.DeadLetters, 1)
	a.Recovered, a.Every = cmp.Or(a.Recovered, 5*time.Minute), cmp.Or(a.Every, 5*time.Second)
	return a
}

// alerts holds that alerts go to callbacks that can get them.
func (c checker) alerts() {
	names := make([]string, 0, len(c.Config.Callbacks))
	for i := range c.Config.Callbacks {
		names = append(names, c.Config.Callbacks[i].Name)
	}
	for i, name := range c.Config.Alerts.Callbacks {
		steps := at("alerts", "callbacks", i)
		k := slices.Index(names, name)
		if k < 0 {
			n := c.in(steps...)
			c.bad(steps, "no callback is called %s%s", n.show(), n.hint(names))
			continue
		}
		switch callback := &c.Config.Callbacks[k]; {
		case callback.Receives == auditrelay.ReceivesEmitted:
			c.bad(steps, "callback %s receives emitted records alone; an alert is an event: set receives: both", name)
		case callback.Sink.Type == "":
			c.bad(steps, "callback %s has no sink", name)
		case slices.Contains(c.Config.Alerts.Callbacks[:i], name):
			c.bad(steps, "callback %s is named twice", name)
		}
	}
	if len(c.Config.Alerts.Callbacks) == 1 {
		c.report.warn(c.in("alerts", "callbacks"), "alerts go to callback %s alone, which cannot tell of its own trouble: name a second one, or watch auditrelay_callback_state", c.Config.Alerts.Callbacks[0])
	}
}
