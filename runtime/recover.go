package runtime

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"auditrelay"
	"auditrelay/runtime/internal/journal"
	"auditrelay/runtime/internal/pgstore"
)

// ErrWhole: the journal is not damaged, so there is nothing to recover.
var ErrWhole = journal.ErrWhole

// Recovery describes a damaged journal (from Examine) or its repair (from Recover).
type Recovery struct {
	Damage string    `json:"damage"` // the place and the evidence
	From   uint64    `json:"from"`   // the sequences [From, To) are unreadable because of the damage;
	To     uint64    `json:"to"`     // both are 0 if only callbacks' state is missing
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

// JournalPlace is the place of the journal of a closed relay.
type JournalPlace struct {
	DataDir    string
	Postgres   PostgresJournal // the zero value: the journal is in DataDir
	Encryption Encryption
}

// opener returns a function that opens the store of a journal on a server.
func (p JournalPlace) opener() func() (journal.Shared, error) {
	return func() (journal.Shared, error) {
		s, err := pgstore.Open(context.Background(), pgstore.Options{URL: p.Postgres.URL, Schema: p.Postgres.Schema, Lock: p.Postgres.Takeover})
		if err != nil {
			return nil, err
		}
		return s, nil
	}
}

// Examine reports the damage to the journal of a closed relay. It changes nothing. For a journal on
// Postgres it compares the server with the state in the data directory.
//
// Errors: ErrWhole; ErrNoKey or ErrWrongKey; another error if Recover cannot repair the journal, so that
// only a backup helps.
func Examine(p JournalPlace) (Recovery, error) {
	o := journal.Options{Encryption: p.Encryption.options()}
	var r *journal.Recovery
	var err error
	if p.Postgres.on() {
		r, err = journal.ExamineShared(p.opener(), anchorDir(p.DataDir), o)
	} else {
		r, err = journal.Examine(journalDir(p.DataDir), o)
	}
	if err != nil {
		return Recovery{}, err
	}
	return recovery(r), nil
}

// Recover repairs a damaged journal as a new incarnation with all intact data. It accepts intact events
// after the damage again, under new sequences, so they may be delivered twice. An own record for table
// auditrelay_journal describes the gap; by is its actor. Recover keeps the damaged files. The relay must be
// closed. If Recover is interrupted, call it again.
//
// With restored, Recover also processes an undamaged journal on Postgres, after an operator restored the
// server from a backup. For any other journal restored is an error.
func Recover(p JournalPlace, by By, restored bool) (Recovery, error) {
	record := func(r *journal.Recovery) (auditrelay.Event, error) {
		done := recovery(r)
		c := Change{By: by, Act: "recover", Action: auditrelay.ActionUpdated, Table: "auditrelay_journal", Object: r.Before.ID,
			Before: struct {
				Incarnation string `json:"incarnation"`
				Next        uint64 `json:"next"`
			}{r.Before.Incarnation, max(r.Damage.To, r.Next)}, After: done}
		// If Recover runs again after its record was accepted, it creates the same record.
		id := sha256.Sum256(fmt.Appendf(nil, "recover %s", r.Identity))
		return c.eventWith(hex.EncodeToString(id[:16]), outcomeDone, "")
	}
	o := journal.Options{Encryption: p.Encryption.options()}
	var r *journal.Recovery
	var err error
	switch {
	case p.Postgres.on():
		r, err = journal.RecoverShared(p.opener(), anchorDir(p.DataDir), o, restored, record)
	case restored:
		err = errors.New("the journal is in the data directory: auditrelay restore gives a restored one a new incarnation by itself")
	default:
		r, err = journal.Recover(journalDir(p.DataDir), o, record)
	}
	if err != nil {
		return Recovery{}, err
	}
	return recovery(r), nil
}
