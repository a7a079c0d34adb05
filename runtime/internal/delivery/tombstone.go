package delivery

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"auditrelay"
)

// tombstone is the record that the destination gets in place of an event that could not be
// delivered. It contains no text that a sender or a guest chose. The action comes from a closed
// set. The id is a keyed digest, which only the holder of the journal's key can link to an id.
type tombstone struct {
	Tombstone bool               `json:"auditrelay_tombstone"`
	Sequence  uint64             `json:"sequence"`
	Received  time.Time          `json:"received"`
	Action    string             `json:"action"`
	Outcome   auditrelay.Outcome `json:"outcome"`
	Cause     auditrelay.Cause   `json:"cause"`
	IDDigest  string             `json:"id_hmac_sha256"`
}

// newTombstone returns the tombstone of e.
func newTombstone(e *auditrelay.Event, o auditrelay.Outcome, cause auditrelay.Cause, key []byte) auditrelay.Record {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(e.Namespace))
	mac.Write([]byte{0})
	mac.Write([]byte(e.ID))
	data, err := json.Marshal(tombstone{Tombstone: true, Sequence: e.Sequence, Received: e.Received.UTC(),
		Action: e.Action.Closed(), Outcome: o, Cause: cause, IDDigest: hex.EncodeToString(mac.Sum(nil)[:16])})
	if err != nil {
		panic("encode a tombstone: " + err.Error()) // cannot happen: every field can be encoded
	}
	return auditrelay.Record{Sequence: e.Sequence, Namespace: e.Namespace, Time: e.Received, TimeFrom: auditrelay.TimeMissing,
		Received: e.Received, Action: auditrelay.Action(e.Action.Closed()), Source: e.Provenance.Source, Principal: e.Provenance.Principal, Tombstone: true, Data: data}
}
