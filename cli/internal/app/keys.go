package app

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"

	"auditrelay"
	"auditrelay/config"
	"auditrelay/runtime"
)

// tableKey is the table_name of own records about keys.
const tableKey = "auditrelay_key"

// keyState describes a key in own records: its versions, each with a keyed fingerprint.
// Fingerprints distinguish versions and reveal nothing about the key.
type keyState struct {
	Current  int               `json:"current"`
	Versions map[string]string `json:"versions"`
}

// versionDestroyed replaces the fingerprint of a destroyed version.
const versionDestroyed = "destroyed"

func keyStates(keys map[string]config.Key, digestKey []byte) map[string]keyState {
	states := make(map[string]keyState, len(keys))
	for name, key := range keys {
		s := keyState{Current: key.Current, Versions: make(map[string]string, len(key.Versions))}
		for number, v := range key.Versions {
			if v.Destroyed {
				s.Versions[strconv.Itoa(number)] = versionDestroyed
				continue
			}
			// 128 bits, like pseudonyms.
			s.Versions[strconv.Itoa(number)] = keyedDigest(digestKey, "key", v.Secret.Reveal())[:32]
		}
		states[name] = s
	}
	return states
}

// keyChanges returns own records of every key that was added, rotated, changed or removed since
// the relay last recorded it. A key with another current version was rotated.
func (d *daemon) keyChanges(by runtime.By, cfg *config.Config) ([]runtime.Change, func()) {
	return told[keyState]{
		file: d.data.file("keys.json"), table: tableKey,
		action: func(before, after keyState) auditrelay.Action {
			if before.Current != after.Current {
				return auditrelay.ActionRotated
			}
			return auditrelay.ActionUpdated
		},
	}.changes(d, by, keyStates(cfg.Keys, d.build.digestKey))
}

// keyedDigest returns an HMAC with the relay's key, in hexadecimal, for one purpose. Other
// purposes give other digests. So do digests of configurations, which begin with a number.
func keyedDigest(key []byte, purpose, value string) string {
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s\n%s", purpose, value)
	return hex.EncodeToString(mac.Sum(nil))
}
