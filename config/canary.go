package config

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"auditrelay"
)

// Canary makes the relay send itself an event with fake secrets, to show that redaction works.
// The relay searches the payload that each destination acknowledges for the secrets. An own
// record (table auditrelay_canary) has the result.
type Canary struct {
	// Every is the interval between canaries, such as 24h. Default: never.
	Every time.Duration `yaml:"every" range:"1s..365d"`
	// Within is how long a canary may take to arrive. Default: 1h.
	Within time.Duration `yaml:"within" range:"1s..30d"`
	// Callbacks names the callbacks where the canary must arrive masked. Default: all that have
	// a sink and receive events. Name them if a callback filters such events out, or must get
	// everything unmasked.
	Callbacks []string `yaml:"callbacks"`
	// ReadBack names callbacks whose destination the relay reads after it acknowledged a
	// canary. The data there must be masked. The sink must be file, sqlite, postgres, s3, gcs
	// or azure_blob, and its credentials must allow reading. Default: none; the acknowledged
	// payloads are searched.
	ReadBack []string `yaml:"read_back"`
}

// readable lists the sinks whose destination can be read.
var readable = []string{"file", "sqlite", "postgres", "s3", "gcs", "azure_blob"}

// Expected returns the callbacks at which a canary must arrive masked.
func (c *Config) Expected() []string {
	if len(c.Canary.Callbacks) > 0 {
		return c.Canary.Callbacks
	}
	var names []string
	for i := range c.Callbacks {
		if cb := &c.Callbacks[i]; cb.Sink.Type != "" && cb.Receives != auditrelay.ReceivesEmitted {
			names = append(names, cb.Name)
		}
	}
	return names
}

// WithDefaults returns c with the defaults filled in.
func (c Canary) WithDefaults() Canary {
	c.Within = cmp.Or(c.Within, time.Hour)
	return c
}

// canary checks that canaries can arrive where they are expected.
func (c checker) canary() {
	if n := c.root.get("canary"); n.given() && c.Config.Canary.Every == 0 {
		c.report.warn(n, "canary.every is not set: no canary is sent")
	}
	names := make([]string, 0, len(c.Config.Callbacks))
	for i := range c.Config.Callbacks {
		names = append(names, c.Config.Callbacks[i].Name)
	}
	for i, name := range c.Config.Canary.Callbacks {
		steps := at("canary", "callbacks", i)
		k := slices.Index(names, name)
		if k < 0 {
			n := c.in(steps...)
			c.bad(steps, "no callback is called %s%s", n.show(), n.hint(names))
			continue
		}
		switch callback := &c.Config.Callbacks[k]; {
		case callback.Receives == auditrelay.ReceivesEmitted:
			c.bad(steps, "callback %s receives emitted records alone; a canary is an event", name)
		case callback.Sink.Type == "":
			c.bad(steps, "callback %s has no sink", name)
		case slices.Contains(c.Config.Canary.Callbacks[:i], name):
			c.bad(steps, "callback %s is named twice", name)
		}
	}
	expected := c.Config.Expected()
	for i, name := range c.Config.Canary.ReadBack {
		steps := at("canary", "read_back", i)
		k := slices.Index(names, name)
		switch {
		case k < 0:
			n := c.in(steps...)
			c.bad(steps, "no callback is called %s%s", n.show(), n.hint(names))
		case !slices.Contains(expected, name):
			c.bad(steps, "no canary is expected at callback %s", name)
		case !slices.Contains(readable, c.Config.Callbacks[k].Sink.Type):
			c.bad(steps, "the destination of callback %s cannot be read: only those of %s", name, strings.Join(readable, ", "))
		case slices.Contains(c.Config.Canary.ReadBack[:i], name):
			c.bad(steps, "callback %s is named twice", name)
		}
	}
}
