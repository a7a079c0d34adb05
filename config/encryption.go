package config

import (
	"time"

	"auditrelay"
)

// Encryption configures the encryption of stored events; see docs/operators/encryption.md.
type Encryption struct {
	// Key is the master key, at least 32 bytes; make one with `openssl rand -hex 32`. It wraps
	// the keys of the periods, which encrypt the events. Without it nobody can read the
	// journal: keep a copy elsewhere.
	Key auditrelay.Secret `yaml:"key"`
	// PreviousKey is the former master key, for the first start with a new one.
	PreviousKey auditrelay.Secret `yaml:"previous_key"`
	// Period is the time that one key covers, and so the smallest unit that you can erase.
	// Periods end at multiples of it, in UTC. Default: 24h.
	Period time.Duration `yaml:"period" range:"1h..366d"`
	// DecryptOnly turns encryption off: encrypted events stay readable, and new events are
	// stored unencrypted. Default: false.
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
		c.bad(at("journal", "encryption", "previous_key"), "the same as key: previous_key is the former master key")
	}
}
