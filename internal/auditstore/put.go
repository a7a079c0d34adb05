package auditstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
)

// Stored is the result of one Put.
type Stored struct {
	Inserted int
	Replaced int   // tombstones replaced by their event, or contents replaced by newer ones
	Known    int   // stored before and left unchanged
	Writes   int64 // transactions of this journal including this one; 0 if they are not counted
}

// LostError means that the database lacks transactions that it had acknowledged: a standby took
// over without the last ones, or the database was restored.
type LostError struct{ Acknowledged, Has int64 }

func (e *LostError) Error() string {
	return fmt.Sprintf("the store lost what it had acknowledged: it has %d of %d transactions of this journal (a standby took over without the last ones, or an older state was restored); auditrelay store rebuild fills it again from the journal", e.Has, e.Acknowledged)
}

// Put stores the records of one journal in one transaction. If it returns nil, they are
// durable; otherwise none of them is stored. Putting records again changes nothing.
//
//   - If a row with the same (journal, sequence) has other contents, it is replaced: a
//     tombstone by the replayed event, an event by the result of other filters. A
//     tombstone never replaces an event.
//   - An event whose (namespace, id) is stored with the same contents is known. A restored
//     journal gives new numbers to events that come again, and this avoids duplicates.
//   - An id that comes again with other contents is another row, because both events were
//     accepted and neither may be lost. All but the one accepted first are marked as a
//     conflict; see Row.
//
// A damaged row is replaced as well. A row without a digest gets one.
//
// journal is the journal's identity and incarnation, joined by a dot. atLeast is the number of
// transactions of this journal that the caller knows to be acknowledged; see Stored.Writes. If
// the database has fewer, Put returns a *LostError and stores nothing.
func (s *Store) Put(ctx context.Context, journal string, records []Record, atLeast int64) (Stored, error) {
	var done Stored
	err := s.transaction(ctx, func(tx *sql.Tx) error {
		done = Stored{}
		p, err := s.newPutter(ctx, tx, journal)
		if err != nil {
			return err
		}
		defer p.close()
		if done.Writes = p.writes; s.version >= versionDigest && p.writes <= atLeast {
			return &LostError{Acknowledged: atLeast, Has: p.writes - 1}
		}
		for rest := records; len(rest) > 0; rest = rest[min(len(rest), maxBatch):] {
			if err := p.putAll(ctx, rest[:min(len(rest), maxBatch)], &done); err != nil {
				return err
			}
		}
		return s.add(ctx, tx, metaRows, int64(done.Inserted))
	})
	if err != nil {
		return Stored{}, err
	}
	return done, nil
}

// putter has the statements of one transaction.
type putter struct {
	tx       *sql.Tx
	store    *Store
	name     string // the journal's name
	journal  int64  // the journal's number
	identity string // without the incarnation
	writes   int64  // transactions of the journal including this one
	digests  bool   // rows have digests
	mapped   bool   // rows state where their fields are
	origins  bool   // rows state where they came from
	marks    bool   // rows state whether they are a conflict

	atPlace, withID, insert, update, mark *sql.Stmt
}

// recordColumns returns the columns of a record's row in the order in which write fills them.
func (p *putter) recordColumns() []string {
	names := []string{"journal", "sequence", "tombstone", "updated_at", "received", "action", "table_name", "object_id", "changed_by", "changed_by_api_key", "namespace", "id", "data"}
	if p.digests {
		names = append(names, "digest", "teams", "team_names", "tokens")
	}
	if p.mapped {
		names = append(names, "mapping")
	}
	if p.origins {
		names = append(names, "source", "principal")
	}
	return names
}

func (s *Store) newPutter(ctx context.Context, tx *sql.Tx, journal string) (*putter, error) {
	identity, _, _ := strings.Cut(journal, ".")
	p := &putter{tx: tx, store: s, name: journal, identity: identity, digests: s.version >= versionDigest, marks: s.version >= versionConflict, mapped: s.version >= versionMapping, origins: s.version >= versionOrigin}
	if err := s.nameJournal(ctx, p); err != nil {
		return nil, fmt.Errorf("name the journal: %w", err)
	}
	none := "" // replaces the digest if there is none
	if p.digests {
		none = ", digest, teams, team_names, tokens"
	}
	if p.mapped {
		none += ", mapping"
	}
	if p.origins {
		none += ", source, principal"
	}
	// The other columns are read too: a row that is damaged in one of them is not known.
	atPlace := s.statement("SELECT position, tombstone, updated_at, received, namespace, id, data, action, table_name, object_id, changed_by, changed_by_api_key" + none + " FROM " + s.tables.events + " WHERE journal = ").arg(nil).text(" AND sequence = ").arg(nil)
	// same: the same event from before the journal was restored from a backup.
	withID := s.statement("SELECT e.position, e.data, CASE WHEN e.sequence = ").arg(nil).
		text(" AND j.identity = ").arg(nil).text(" THEN 1 ELSE 0 END AS same FROM " + s.tables.events + " e JOIN " + s.tables.journals + " j ON j.number = e.journal WHERE e.id = ").
		arg(nil).text(" AND e.namespace = ").arg(nil).text(" AND e.tombstone = 0 ORDER BY same DESC, e.position")
	names := p.recordColumns()
	insert := s.statement("INSERT INTO " + s.tables.events + " (" + strings.Join(names, ", ") + ") VALUES (")
	update := s.statement("UPDATE " + s.tables.events + " SET ")
	for i, name := range names {
		if i > 0 {
			insert.text(", ")
			update.text(", ")
		}
		insert.arg(nil)
		update.text(name + " = ").arg(nil)
	}
	insert.text(")")
	update.text(" WHERE position = ").arg(nil)
	mark := s.statement("SELECT 1")
	if p.marks {
		same := " id = "
		mark = s.statement("UPDATE " + s.tables.events + " SET conflict = 1 WHERE" + same).arg(nil).text(" AND namespace = ").arg(nil).
			text(" AND tombstone = 0 AND conflict = 0 AND position <> (SELECT position FROM " + s.tables.events + " WHERE" + same).arg(nil).text(" AND namespace = ").arg(nil).
			text(" AND tombstone = 0 ORDER BY conflict, received, position LIMIT 1)")
	}
	for _, one := range []struct {
		into **sql.Stmt
		q    *statement
	}{{&p.atPlace, atPlace}, {&p.withID, withID}, {&p.insert, insert}, {&p.update, update}, {&p.mark, mark}} {
		if s.options.Dialect == Postgres {
			// The driver names a statement by its text. Through a pooler, a failed transaction
			// of another client may have left a statement with that name.
			one.q.text(fmt.Sprintf(" /* %016x */", rand.Uint64()))
		}
		var err error
		if *one.into, err = tx.PrepareContext(ctx, one.q.String()); err != nil {
			p.close()
			return nil, fmt.Errorf("prepare: %w", err)
		}
	}
	return p, nil
}

// nameJournal finds the journal's number and counts its transactions.
func (s *Store) nameJournal(ctx context.Context, p *putter) error {
	q := s.statement("INSERT INTO " + s.tables.journals + " (name, identity) VALUES (").arg(p.name).text(", ").arg(p.identity).text(") ON CONFLICT (name) DO NOTHING")
	if _, err := p.tx.ExecContext(ctx, q.String(), q.args...); err != nil {
		return err
	}
	if !p.digests {
		q = s.statement("SELECT number FROM " + s.tables.journals + " WHERE name = ").arg(p.name)
		return p.tx.QueryRowContext(ctx, q.String(), q.args...).Scan(&p.journal)
	}
	q = s.statement("UPDATE " + s.tables.journals + " SET writes = writes + 1 WHERE name = ").arg(p.name)
	if _, err := p.tx.ExecContext(ctx, q.String(), q.args...); err != nil {
		return err
	}
	q = s.statement("SELECT number, writes FROM " + s.tables.journals + " WHERE name = ").arg(p.name)
	return p.tx.QueryRowContext(ctx, q.String(), q.args...).Scan(&p.journal, &p.writes)
}

// close closes the statements before the transaction ends. Behind a pooler the connection may
// belong to another client after that.
func (p *putter) close() {
	for _, s := range []*sql.Stmt{p.atPlace, p.withID, p.insert, p.update, p.mark} {
		if s != nil {
			_ = s.Close() // after a failure it stays, under a name that nobody else uses
		}
	}
}

// putAll stores several records. Records that have no row yet, normally all, are inserted
// without a lookup for each.
func (p *putter) putAll(ctx context.Context, records []Record, done *Stored) error {
	k, err := p.known(ctx, records)
	if err != nil {
		return fmt.Errorf("look for records: %w", err)
	}
	for i := range records {
		r := &records[i]
		if k.add(r) {
			err = p.put(ctx, r, done)
		} else {
			done.Inserted++
			err = exec(ctx, p.insert, p.args(p.made(r))...)
		}
		if err != nil {
			return fmt.Errorf("store record %d: %w", r.Sequence, err)
		}
	}
	return nil
}

// known is which of some records may be stored already, by place and by id.
type known struct {
	places map[int64]bool
	ids    map[string]bool
}

// known looks up the places and ids of records with two statements.
func (p *putter) known(ctx context.Context, records []Record) (known, error) {
	k := known{places: map[int64]bool{}, ids: map[string]bool{}}
	places := p.store.statement("SELECT sequence FROM " + p.store.tables.events + " WHERE journal = ").arg(p.journal).text(" AND sequence IN (")
	ids := p.store.statement("SELECT DISTINCT id FROM " + p.store.tables.events + " WHERE id IN (")
	for i := range records {
		if i > 0 {
			places.text(", ")
			ids.text(", ")
		}
		places.arg(int64(records[i].Sequence))
		ids.arg(column(records[i].ID))
	}
	// A tombstone has no id, and there may be very many tombstones.
	ids.text(") AND id <> ''")
	var sequence int64
	var id string
	return k, errors.Join(p.each(ctx, places.text(")"), &sequence, func() { k.places[sequence] = true }),
		p.each(ctx, ids, &id, func() { k.ids[id] = true }))
}

// each scans every row of a statement with one column into a variable.
func (p *putter) each(ctx context.Context, q *statement, into any, fn func()) error {
	rows, err := p.tx.QueryContext(ctx, q.String(), q.args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := rows.Scan(into); err != nil {
			return err
		}
		fn()
	}
	return rows.Err()
}

// add reports whether a record may be stored already, and adds it to the known ones.
func (k *known) add(r *Record) bool {
	id := column(r.ID)
	there := k.places[int64(r.Sequence)] || !r.Tombstone && k.ids[id]
	k.places[int64(r.Sequence)] = true
	if !r.Tombstone {
		k.ids[id] = true
	}
	return there
}

// put stores one record, whether or not a row for it exists.
func (p *putter) put(ctx context.Context, r *Record, done *Stored) error {
	w := p.made(r)
	there, err := p.there(ctx, r)
	switch {
	case err == nil && (w.equal(&there, p.digests) || r.Tombstone && there.tombstone == 0 && !w.was(&there)):
		done.Known++
		return nil
	case err == nil:
		done.Replaced++
		if err := exec(ctx, p.update, append(p.args(w), there.position)...); err != nil || r.Tombstone || there.tombstone == 0 {
			return err
		}
		return p.marked(ctx, r) // the event replaces its tombstone
	case !errors.Is(err, sql.ErrNoRows):
		return err
	}
	others := false
	if !r.Tombstone {
		var position int64
		var known bool
		position, known, others, err = p.same(ctx, r, w.data)
		switch {
		case err != nil:
			return err
		case known:
			done.Known++
			return nil
		case position > 0:
			done.Replaced++
			return exec(ctx, p.update, append(p.args(w), position)...)
		}
	}
	done.Inserted++
	if err := exec(ctx, p.insert, p.args(w)...); err != nil || !others {
		return err
	}
	return p.marked(ctx, r)
}

// marked marks the conflicts among the events with r's identity.
func (p *putter) marked(ctx context.Context, r *Record) error {
	if !p.marks {
		return nil
	}
	id, namespace := column(r.ID), column(r.Namespace)
	return exec(ctx, p.mark, id, namespace, id, namespace)
}

func exec(ctx context.Context, s *sql.Stmt, args ...any) error {
	_, err := s.ExecContext(ctx, args...)
	return err
}

// written is a record as its row contains it.
type written struct {
	position, sequence, tombstone, at, received int64
	columns                                     [5]string
	namespace, id, data, mapping                string
	source, principal                           string
	digest                                      []byte
	inside                                      inside
	searched                                    searched // of a row that was read
}

func (p *putter) made(r *Record) *written {
	w := &written{sequence: int64(r.Sequence), at: micros(r.Time), received: micros(r.Received), namespace: column(r.Namespace), id: column(r.ID), data: string(r.Data)}
	if p.mapped {
		w.mapping = mappingText(r.Mapping)
	}
	if p.origins {
		w.source, w.principal = column(r.Source), column(r.Principal)
	}
	w.columns = columnsOf(w.mapping, r.Data)
	if r.Tombstone {
		w.tombstone = 1
	}
	if p.digests {
		w.digest = digest(p.name, w)
		w.inside = insideOf(r.Data)
	}
	return w
}

func (p *putter) args(w *written) []any {
	args := []any{p.journal, w.sequence, w.tombstone, w.at, w.received}
	for _, value := range w.columns {
		args = append(args, value)
	}
	args = append(args, w.namespace, w.id, w.data)
	if p.digests {
		args = append(args, w.digest, w.inside.teams, w.inside.names, w.inside.tokens)
	}
	if p.mapped {
		args = append(args, w.mapping)
	}
	if p.origins {
		args = append(args, w.source, w.principal)
	}
	return args
}

// there returns the row at the record's place.
func (p *putter) there(ctx context.Context, r *Record) (w written, err error) {
	c := &w.columns
	into := []any{&w.position, &w.tombstone, &w.at, &w.received, &w.namespace, &w.id, &w.data, &c[0], &c[1], &c[2], &c[3], &c[4]}
	if p.digests {
		into = append(into, &w.digest, &w.searched.teams, &w.searched.names, &w.searched.tokens)
	}
	if p.mapped {
		into = append(into, &w.mapping)
	}
	if p.origins {
		into = append(into, &w.source, &w.principal)
	}
	err = p.atPlace.QueryRowContext(ctx, p.journal, int64(r.Sequence)).Scan(into...)
	return w, err
}

// equal reports whether the stored row equals what would be written.
func (w *written) equal(there *written, digests bool) bool {
	if w.data != there.data || w.mapping != there.mapping || w.columns != there.columns || w.source != there.source || w.principal != there.principal {
		return false
	}
	return !digests || w.was(there) && there.searched.of(true, there.data) && w.tombstone == there.tombstone && w.at == there.at && w.received == there.received &&
		w.namespace == there.namespace && w.id == there.id
}

// was reports whether the stored row was written from this record.
func (w *written) was(there *written) bool {
	return w.digest != nil && string(w.digest) == string(there.digest)
}

// same looks for the event under its id: known with these contents, or at a position with
// others. others reports whether another event has this identity.
func (p *putter) same(ctx context.Context, r *Record, text string) (position int64, known, others bool, err error) {
	rows, err := p.withID.QueryContext(ctx, int64(r.Sequence), p.identity, column(r.ID), column(r.Namespace))
	if err != nil {
		return 0, false, false, err
	}
	defer rows.Close()
	for rows.Next() {
		var at, same int64
		var stored string
		if err := rows.Scan(&at, &stored, &same); err != nil {
			return 0, false, false, err
		}
		if stored == text {
			return 0, true, false, nil
		}
		others = true
		if same == 1 && position == 0 {
			position = at
		}
	}
	return position, false, others, rows.Err()
}
