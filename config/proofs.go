package config

import (
	"time"

	"auditrelay"
	"auditrelay/internal/proof"
)

// Proofs signs the logs of what was accepted and delivered; see docs/compliance/auditors.md.
type Proofs struct {
	// Key is the signing key, as auditrelay proof keygen writes it. Default: a key that
	// the relay makes in the data directory. Whoever can read that directory can then
	// sign: keep the key elsewhere, such as file:/etc/auditrelay/proof.key.
	Key auditrelay.Secret `yaml:"key"`
	// PreviousKey is the former signing key, for the first start with a new one. The
	// relay records the change, signed by both keys.
	PreviousKey auditrelay.Secret `yaml:"previous_key"`
	// Every is the time between two signed checkpoints of a log. Default: 60s.
	Every time.Duration `yaml:"every" range:"1s..24h"`
	// Unsigned turns signing off: nothing is signed, and sinks get no proofs. The logs
	// are kept all the same. Default: false.
	Unsigned bool `yaml:"unsigned"`
}

func (c checker) proofs() {
	section := c.in("proofs")
	if c.root.get("proofs") == nil || section.kind != kindMapping {
		return
	}
	for _, s := range []struct {
		key    string
		secret auditrelay.Secret
	}{{"key", c.Proofs.Key}, {"previous_key", c.Proofs.PreviousKey}} {
		n := section.get(s.key)
		if !n.given() || n.kind != kindString || n.unset {
			continue
		}
		if _, err := proof.PublicKey(string(s.secret)); err != nil {
			c.bad(at("proofs", s.key), "%v", err)
		}
	}
	if c.Proofs.PreviousKey != "" && c.Proofs.Key == "" {
		c.bad(at("proofs", "previous_key"), "a previous key is given, and no key")
	}
	if c.Proofs.Key != "" && c.Proofs.Key == c.Proofs.PreviousKey {
		c.bad(at("proofs", "previous_key"), "the same as key: previous_key is the former signing key")
	}
}
