package config

import (
	"time"

	"auditrelay"
)

// Encryption of what the journal holds of events; see docs/operators/encryption.md.
type Encryption struct {
	// Key is the master key, at least 32 bytes, as `openssl rand -hex 32` makes one. What
	// is stored of events is encrypted under keys of its own, one for each period, which
	// it wraps. Without it the journal cannot be read: keep a copy elsewhere.
	Key auditrelay.Secret `yaml:"key"`
	// PreviousKey is the master key before this one, for the first start with a new key.
	PreviousKey auditrelay.Secret `yaml:"previous_key"`
	// Period is how long one key serves, and so what can be erased by itself. Periods end
	// at multiples of it, in UTC. Default: 24h.
	Period time.Duration `yaml:"period" range:"1h..366d"`
	// DecryptOnly turns encryption off without losing what is encrypted: that stays
	// readable, and new events are stored in the clear. Default: false.
	DecryptOnly bool `yaml:"decrypt_only"`
}

const minMasterBytes = 32

func (c checker) encryption() {
	e := &c.Journal.Encryption
	section := c.in("journal", "encryption")
	if c.in("journal").get("encryption") == nil || section.kind != kindMapping {
		return
	}
	if !section.get("key").given() {
		c.bad(at("journal", "encryption", "key"), "it is required: the master key, from a file or the environment")
	}
	for _, s := range []struct {
		key    string
		secret auditrelay.Secret
	}{{"key", e.Key}, {"previous_key", e.PreviousKey}} {
		n := section.get(s.key)
		if n.given() && n.kind == kindString && !n.unset && len(s.secret) < minMasterBytes {
			c.bad(at("journal", "encryption", s.key), "a master key shorter than %d bytes: make one with openssl rand -hex 32", minMasterBytes)
		}
	}
	if e.Key != "" && e.Key == e.PreviousKey {
		c.bad(at("journal", "encryption", "previous_key"), "the key once more: it is for the one before")
	}
}
