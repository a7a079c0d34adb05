package runtime

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"auditrelay"
	"auditrelay/runtime/internal/journal"
)

// Moved is the result of MoveJournal.
type Moved struct {
	Journal string `json:"journal"` // the journal's identity, which does not change
	Events  uint64 `json:"events"`  // number of moved events
	Next    uint64 `json:"next"`    // the next sequence
	Kept    string `json:"kept"`    // where the old journal is; the relay rejects it
}

// MoveJournal moves the journal of a closed relay from p.DataDir to p.Postgres, or with back from
// p.Postgres to p.DataDir. It moves all or nothing. Sequences, progress, proofs and encryption continue.
// The old journal stays, but Open rejects it. The new journal records the move and by.
//
// If MoveJournal is interrupted, either the old journal is still in force, or Open rejects both. Then
// remove the leftovers and call MoveJournal again, as its error says.
func MoveJournal(p JournalPlace, back bool, by By) (Moved, error) {
	if !p.Postgres.on() {
		return Moved{}, errors.New("move the journal: no journal.postgres is configured")
	}
	o := journal.Options{Encryption: p.Encryption.options()}
	var m Moved
	var err error
	if back {
		m, err = moveBack(p, o, by)
	} else {
		m, err = moveToPostgres(p, o, by)
	}
	if err != nil {
		return m, fmt.Errorf("move the journal: %w", err)
	}
	return m, nil
}

func moveToPostgres(p JournalPlace, o journal.Options, by By) (m Moved, err error) {
	dir := journalDir(p.DataDir)
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return m, fmt.Errorf("the data directory %s has no journal: it is on Postgres already, or --data-dir is another one", p.DataDir)
	} else if err != nil {
		return m, err
	}
	from, err := journal.Open(dir, o)
	if err != nil {
		return m, err
	}
	m = movedOf(from)
	s, err := p.opener()()
	if err == nil {
		if err = from.CopyTo(s); err != nil {
			err = fmt.Errorf("to schema %s: %w", p.Postgres.schema(), err)
		}
		err = errors.Join(err, s.Close())
	}
	if err = errors.Join(err, from.Close()); err != nil {
		return m, err
	}
	s2, err := p.opener()()
	if err != nil {
		return m, err
	}
	// From here on the data directory says where its journal is. Open with the former configuration fails
	// and creates no new journal there.
	if err := os.RemoveAll(anchorDir(p.DataDir)); err != nil { // left by an interrupted move
		return m, errors.Join(err, s2.Close())
	}
	to, err := journal.OpenShared(s2, anchorDir(p.DataDir), o)
	if err == nil {
		err = errors.Join(recordMove(to, m, "data_dir", "postgres", by), to.Close())
	}
	if err != nil {
		return m, err
	}
	m.Kept = dir + ".moved-" + time.Now().UTC().Format("20060102T150405Z")
	if err := os.Rename(dir, m.Kept); err != nil {
		return m, err
	}
	return m, syncDir(p.DataDir)
}

func moveBack(p JournalPlace, o journal.Options, by By) (m Moved, err error) {
	dir := journalDir(p.DataDir)
	if _, err := os.Lstat(dir); err == nil {
		return m, fmt.Errorf("%s exists: the data directory has a journal of its own, or an interrupted move left its copy; remove it if no relay has run with it, and move again", dir)
	}
	s, err := p.opener()()
	if err != nil {
		return m, err
	}
	from, err := journal.OpenShared(s, anchorDir(p.DataDir), o)
	if err != nil {
		return m, fmt.Errorf("from schema %s: %w", p.Postgres.schema(), err)
	}
	defer func() {
		if from != nil {
			err = errors.Join(err, from.Close())
		}
	}()
	m = movedOf(from)
	building := dir + ".moving"
	if err := os.RemoveAll(building); err != nil {
		return m, err
	}
	if err := from.CopyToDir(building, o); err != nil {
		return m, err
	}
	to, err := journal.Open(building, o)
	if err == nil {
		err = errors.Join(recordMove(to, m, "postgres", "data_dir", by), to.Close())
	}
	if err != nil {
		return m, err
	}
	// First add the new one, then remove the old one. In between both exist, and Open rejects the data
	// directory with either configuration.
	if err := errors.Join(os.Rename(building, dir), syncDir(p.DataDir)); err != nil {
		return m, err
	}
	if err := from.MarkMoved(); err != nil {
		return m, err
	}
	m.Kept = "schema " + p.Postgres.schema()
	err, from = from.Close(), nil
	return m, errors.Join(err, os.RemoveAll(anchorDir(p.DataDir)))
}

func movedOf(j *journal.Journal) Moved {
	return Moved{Journal: j.Identity().String(), Events: j.Head().Next - j.Oldest(), Next: j.Head().Next}
}

func recordMove(j *journal.Journal, m Moved, from, to string, by By) error {
	c := Change{By: by, Act: "move", Action: auditrelay.ActionUpdated, Table: "auditrelay_journal", Object: j.Identity().ID,
		Before: map[string]any{"place": from}, After: map[string]any{"place": to, "events": m.Events, "next": m.Next}}
	e, err := c.event()
	if err != nil {
		return err
	}
	tx := new(journal.Tx)
	tx.MakesRoom()
	tx.Append(e)
	_, err = j.Commit(tx)
	return err
}
