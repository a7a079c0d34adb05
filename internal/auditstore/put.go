package auditstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
)

// Stored says what became of the records of one Put.
type Stored struct {
	Inserted int
	Replaced int // a tombstone by its event, or contents by newer ones
	Known    int // stored before, and left as they were
}

// Put stores the records of one journal in one transaction: durable when it returns
// without an error, and none of them stored otherwise. Putting records again changes
// nothing.
//
//   - What stands under (journal, sequence) already is replaced where the contents
//     differ: a tombstone by the event that was replayed, an event by what other
//     filters made of it. A tombstone never replaces an event.
//   - An event whose (namespace, id) is there with the same contents is known. So a
//     restored journal, which numbers anew what comes again, doubles nothing.
//   - An id that comes again with other contents is another row: both were accepted,
//     and neither may get lost.
//
// journal is the journal's identity and incarnation, joined by a dot.
func (s *Store) Put(ctx context.Context, journal string, records []Record) (Stored, error) {
	var done Stored
	err := s.transaction(ctx, func(tx *sql.Tx) error {
		done = Stored{}
		p, err := s.newPutter(ctx, tx, journal)
		if err != nil {
			return err
		}
		defer p.close()
		for i := range records {
			if err := p.put(ctx, &records[i], &done); err != nil {
				return fmt.Errorf("store record %d: %w", records[i].Sequence, err)
			}
		}
		return s.add(ctx, tx, metaRows, int64(done.Inserted))
	})
	if err != nil {
		return Stored{}, err
	}
	return done, nil
}

// putter is the statements of one transaction.
type putter struct {
	journal  int64  // its number
	identity string // without the incarnation

	atPlace, withID, insert, update *sql.Stmt
}

func (s *Store) newPutter(ctx context.Context, tx *sql.Tx, journal string) (*putter, error) {
	identity, _, _ := strings.Cut(journal, ".")
	q := s.statement("INSERT INTO auditrelay_journals (name, identity) VALUES (").arg(journal).text(", ").arg(identity).text(") ON CONFLICT (name) DO NOTHING")
	if _, err := tx.ExecContext(ctx, q.String(), q.args...); err != nil {
		return nil, fmt.Errorf("name the journal: %w", err)
	}
	p := &putter{identity: identity}
	q = s.statement("SELECT number FROM auditrelay_journals WHERE name = ").arg(journal)
	if err := tx.QueryRowContext(ctx, q.String(), q.args...).Scan(&p.journal); err != nil {
		return nil, fmt.Errorf("name the journal: %w", err)
	}
	atPlace := s.statement("SELECT position, tombstone, data FROM auditrelay_events WHERE journal = ").arg(nil).text(" AND sequence = ").arg(nil)
	// same: the very event, of the journal before it was restored from a backup.
	withID := s.statement("SELECT e.position, e.data, CASE WHEN e.sequence = ").arg(nil).
		text(" AND j.identity = ").arg(nil).text(" THEN 1 ELSE 0 END AS same FROM auditrelay_events e JOIN auditrelay_journals j ON j.number = e.journal WHERE e.id = ").
		arg(nil).text(" AND e.namespace = ").arg(nil).text(" AND e.tombstone = 0 ORDER BY same DESC, e.position")
	insert := s.statement("INSERT INTO auditrelay_events (journal, sequence, tombstone, updated_at, received, action, table_name, object_id, changed_by, changed_by_api_key, namespace, id, data) VALUES (").arg(nil)
	for range 12 {
		insert.text(", ").arg(nil)
	}
	insert.text(")")
	update := s.statement("UPDATE auditrelay_events SET ")
	for i, name := range []string{"journal", "sequence", "tombstone", "updated_at", "received", "action", "table_name", "object_id", "changed_by", "changed_by_api_key", "namespace", "id", "data"} {
		if i > 0 {
			update.text(", ")
		}
		update.text(name + " = ").arg(nil)
	}
	update.text(" WHERE position = ").arg(nil)
	for _, one := range []struct {
		into **sql.Stmt
		q    *statement
	}{{&p.atPlace, atPlace}, {&p.withID, withID}, {&p.insert, insert}, {&p.update, update}} {
		var err error
		if *one.into, err = tx.PrepareContext(ctx, one.q.String()); err != nil {
			p.close()
			return nil, fmt.Errorf("prepare: %w", err)
		}
	}
	return p, nil
}

func (p *putter) close() {
	for _, s := range []*sql.Stmt{p.atPlace, p.withID, p.insert, p.update} {
		if s != nil {
			_ = s.Close() // the transaction's end closes it anyway
		}
	}
}

func (p *putter) put(ctx context.Context, r *Record, done *Stored) error {
	text := string(r.Data)
	var position, tombstone int64
	var stored string
	err := p.atPlace.QueryRowContext(ctx, p.journal, int64(r.Sequence)).Scan(&position, &tombstone, &stored)
	switch {
	case err == nil && (stored == text || r.Tombstone && tombstone == 0):
		done.Known++
		return nil
	case err == nil:
		done.Replaced++
		return p.write(ctx, p.update, r, text, position)
	case !errors.Is(err, sql.ErrNoRows):
		return err
	}
	if !r.Tombstone {
		position, known, err := p.same(ctx, r, text)
		switch {
		case err != nil:
			return err
		case known:
			done.Known++
			return nil
		case position > 0:
			done.Replaced++
			return p.write(ctx, p.update, r, text, position)
		}
	}
	done.Inserted++
	return p.write(ctx, p.insert, r, text)
}

// same looks for the event under its id: known with these contents, or at a position
// with others.
func (p *putter) same(ctx context.Context, r *Record, text string) (position int64, known bool, err error) {
	rows, err := p.withID.QueryContext(ctx, int64(r.Sequence), p.identity, column(r.ID), column(r.Namespace))
	if err != nil {
		return 0, false, err
	}
	defer rows.Close()
	for rows.Next() {
		var at, same int64
		var stored string
		if err := rows.Scan(&at, &stored, &same); err != nil {
			return 0, false, err
		}
		if stored == text {
			return 0, true, nil
		}
		if same == 1 && position == 0 {
			position = at
		}
	}
	return position, false, rows.Err()
}

func (p *putter) write(ctx context.Context, s *sql.Stmt, r *Record, text string, position ...any) error {
	tombstone := int64(0)
	if r.Tombstone {
		tombstone = 1
	}
	args := []any{p.journal, int64(r.Sequence), tombstone, micros(r.Time), micros(r.Received)}
	for _, value := range columns(r.Data) {
		args = append(args, value)
	}
	args = append(args, column(r.Namespace), column(r.ID), text)
	_, err := s.ExecContext(ctx, append(args, position...)...)
	return err
}
