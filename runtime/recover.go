package runtime

import (
	"time"

	"auditrelay"
	"auditrelay/runtime/internal/journal"
)

// ErrWhole: the journal is not damaged; there is nothing to recover.
var ErrWhole = journal.ErrWhole

// Recovery is what Examine found in a damaged journal, or what Recover did.
type Recovery struct {
	Damage string    `json:"damage"` // where, and what shows it
	From   uint64    `json:"from"`   // the sequences [From, To) cannot be read where they stood;
	To     uint64    `json:"to"`     // both 0 where only callbacks' state is missing
	Since  time.Time `json:"since,omitzero"`
	Behind int       `json:"behind"` // whole events behind the damage, which Recover accepts again

	Before string `json:"before"`          // identity and incarnation of the damaged journal
	After  string `json:"after,omitempty"` // by Recover: the new incarnation
	Saved  int    `json:"saved"`           // by Recover: how many events were accepted again
	Kept   string `json:"kept,omitempty"`  // by Recover: where the damaged files are
}

func recovery(r *journal.Recovery) Recovery {
	out := Recovery{Damage: r.Damage.Err.Error(), From: r.Damage.From, To: r.Damage.To, Since: r.Damage.Since,
		Behind: r.Behind, Before: r.Before.String(), Saved: r.Saved, Kept: r.Kept}
	if r.Identity != r.Before {
		out.After = r.Identity.String()
	}
	return out
}

// Examine reports the damage to the journal in a data directory that no runtime has
// open. It changes nothing.
//
// Errors: ErrWhole; ErrCorrupt where only a backup helps; ErrNoKey, ErrWrongKey.
func Examine(dataDir string, e Encryption) (Recovery, error) {
	r, err := journal.Examine(journalDir(dataDir), journal.Options{Encryption: e.options()})
	if err != nil {
		return Recovery{}, err
	}
	return recovery(r), nil
}

// Recover opens what is whole of a damaged journal, as a new incarnation. Whole events
// from behind the damage are accepted again under new sequences, and may be delivered
// twice. An audit event of the relay's own, for table auditrelay_journal, records the
// gap; by says who asked. The damaged files are kept. An interrupted Recover is called
// once more.
func Recover(dataDir string, e Encryption, by string) (Recovery, error) {
	r, err := journal.Recover(journalDir(dataDir), journal.Options{Encryption: e.options()}, func(r *journal.Recovery) (auditrelay.Event, error) {
		done := recovery(r)
		c := Change{Actor: by, Action: auditrelay.ActionUpdated, Table: "auditrelay_journal", Object: r.Before.ID,
			Before: struct {
				Incarnation string `json:"incarnation"`
				Next        uint64 `json:"next"`
			}{r.Before.Incarnation, max(r.Damage.To, r.Next)}, After: done}
		return c.event()
	})
	if err != nil {
		return Recovery{}, err
	}
	return recovery(r), nil
}
