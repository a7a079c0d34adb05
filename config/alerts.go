package config

import (
	"cmp"
	"slices"
	"time"

	"auditrelay"
)

// Alerts makes problems events of the relay (table auditrelay_alert) and selects the callbacks
// that deliver them. The relay sends each alert once, and again when the problem is over.
type Alerts struct {
	// Callbacks names the callbacks that deliver alerts. Their condition and filters do not
	// apply to alerts. A callback cannot report its own problem while the problem lasts, so
	// name two. Default: none, and no alerts.
	Callbacks []string `yaml:"callbacks"`
	// Stalled is how long a callback may fail before an alert (states degraded, auth_error,
	// misconfigured). Default: 5m.
	Stalled time.Duration `yaml:"stalled" range:"1s..30d"`
	// Lag is the maximum age of a callback's oldest pending event. Default: 15m.
	Lag time.Duration `yaml:"lag" range:"1s..30d"`
	// DeadLetters is the number of a callback's dead letters that causes an alert. Default: 1.
	DeadLetters int `yaml:"dead_letters" range:"1..1000000000"`
	// Silent is how long a source may send nothing. Default: no limit, since some have nothing
	// to send for days.
	Silent time.Duration `yaml:"silent" range:"1s..365d"`
	// Recovered is how long a problem must be over before the relay reports its end. If the
	// problem returns earlier, it is the same alert. Default: 5m.
	Recovered time.Duration `yaml:"recovered" range:"1s..1d"`
	// Every is how often the relay checks for problems. Default: 5s.
	Every time.Duration `yaml:"every" range:"100ms..1h"`
}

// WithDefaults returns a with the defaults filled in.
func (a Alerts) WithDefaults() Alerts {
	a.Stalled, a.Lag = cmp.Or(a.Stalled, 5*time.Minute), cmp.Or(a.Lag, 15*time.Minute)
	a.DeadLetters = cmp.Or(a.DeadLetters, 1)
	a.Recovered, a.Every = cmp.Or(a.Recovered, 5*time.Minute), cmp.Or(a.Every, 5*time.Second)
	return a
}

// alerts checks that the callbacks for alerts can get them.
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
