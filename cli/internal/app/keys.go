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

// tableKey is the table_name of the relay's own events about keys.
const tableKey = "auditrelay_key"

// keyState describes a key in audit events: its versions, each with a keyed fingerprint.
// Fingerprints distinguish versions and reveal nothing of the key.
type keyState struct {
	Current  int               `json:"current"`
	Versions map[string]string `json:"versions"`
}

// versionDestroyed stands in the place of a destroyed version's fingerprint.
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
			// 128 bits, as pseudonyms have.
			s.Versions[strconv.Itoa(number)] = keyedDigest(digestKey, "key", v.Secret.Reveal())[:32]
		}
		states[name] = s
	}
	return states
}

// keyChanges tell of every key that was added, rotated, changed or taken away since
// the relay last told of it. A key whose current version is another one was rotated.
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

// keyedDigest is an HMAC under the relay's key, in hexadecimal, for one purpose: what
// is digested for another gives another digest, and so do configurations, whose digests
// begin with a number.
func keyedDigest(key []byte, purpose, value string) string {
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s\n%s", purpose, value)
	return hex.EncodeToString(mac.Sum(nil))
}
