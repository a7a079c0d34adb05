package runtime

import (
	"time"

	"auditrelay"
	"auditrelay/runtime/internal/journal"
)

// ErrWhole: the journal is not damaged, so there is nothing to recover.
var ErrWhole = journal.ErrWhole

// Recovery describes a damaged journal (from Examine) or its repair (from Recover).
type Recovery struct {
	Damage string    `json:"damage"` // the place and the evidence
	From   uint64    `json:"from"`   // the sequences [From, To) are unreadable at the place of the damage;
	To     uint64    `json:"to"`     // both 0 if only state of callbacks is missing
	Since  time.Time `json:"since,omitzero"`
	Behind int       `json:"behind"` // number of intact events after the damage; Recover accepts them again

	Before string `json:"before"`          // identity and incarnation of the damaged journal
	After  string `json:"after,omitempty"` // from Recover: the new incarnation
	Saved  int    `json:"saved"`           // from Recover: number of events that were accepted again
	Kept   string `json:"kept,omitempty"`  // from Recover: the path of the damaged files
}

func recovery(r *journal.Recovery) Recovery {
	out := Recovery{Damage: r.Damage.Err.Error(), From: r.Damage.From, To: r.Damage.To, Since: r.Damage.Since,
		Behind: r.Behind, Before: r.Before.String(), Saved: r.Saved, Kept: r.Kept}
	if r.Identity != r.Before {
		out.After = r.Identity.String()
	}
	return out
}

// Examine reports the damage to the journal of a closed data directory. It changes
// nothing.
//
// Errors: ErrWhole; ErrNoKey or ErrWrongKey; another error if the journal cannot be
// recovered, so that only a backup helps.
func Examine(dataDir string, e Encryption) (Recovery, error) {
	r, err := journal.Examine(journalDir(dataDir), journal.Options{Encryption: e.options()})
	if err != nil {
		return Recovery{}, err
	}
	return recovery(r), nil
}

// Recover repairs a damaged journal as a new incarnation that contains what is intact.
// Intact events after the damage are accepted again, under new sequences, and may be
// delivered twice. An audit event for table auditrelay_journal records the gap; by is its
// actor. The damaged files are kept. The data directory must be closed. If Recover is
// interrupted, call it again.
func Recover(dataDir string, e Encryption, by By) (Recovery, error) {
	r, err := journal.Recover(journalDir(dataDir), journal.Options{Encryption: e.options()}, func(r *journal.Recovery) (auditrelay.Event, error) {
		done := recovery(r)
		c := Change{By: by, Act: "recover", Action: auditrelay.ActionUpdated, Table: "auditrelay_journal", Object: r.Before.ID,
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
