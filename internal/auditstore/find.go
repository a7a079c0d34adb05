package auditstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"auditrelay"
)

// Row returns the record at a position, and false if there is none. Its Integrity reports
// whether it is what was stored. Rely on nothing in a Damaged row.
func (s *Store) Row(ctx context.Context, position int64) (Row, bool, error) {
	return s.row(ctx, s.rows().text(" WHERE e.position = ").arg(position))
}

// Found is the result of Find.
type Found struct {
	Row
	// Others are other accepted records with this id, at most 100: later ones in the same
	// namespace and those of other namespaces.
	Others []Other
}

// Other is another record with the same id.
type Other struct {
	Namespace string
	Journal   string
	Sequence  uint64
	Received  time.Time
	Conflict  bool
}

const (
	usualNamespace = auditrelay.NamespaceLiteLLM
	maxOthers      = 100
)

// Find returns the record with this id, in the given namespace unless that is empty. Of several
// it returns the one that was accepted first, and prefers LiteLLM's to other namespaces. A
// tombstone has no id. See Row.
func (s *Store) Find(ctx context.Context, namespace, id string) (found Found, ok bool, err error) {
	with := func(st *statement) *statement {
		st.text(" WHERE e.id = ").arg(column(id)).text(" AND e.tombstone = 0")
		if namespace != "" {
			st.text(" AND e.namespace = ").arg(column(namespace))
		}
		conflict := ""
		if s.version >= versionConflict {
			conflict = "e.conflict, "
		}
		return st.text(" ORDER BY CASE WHEN e.namespace = ").arg(usualNamespace).text(" THEN 0 ELSE 1 END, " + conflict + "e.received, e.position LIMIT ")
	}
	if found.Row, ok, err = s.row(ctx, with(s.rows()).text("1")); err != nil || !ok {
		return found, ok, err
	}
	st := with(s.statement("SELECT e.namespace, j.name, e.sequence, e.received, " + s.conflict() + " FROM " + s.tables.events + " e LEFT JOIN " + s.tables.journals + " j ON j.number = e.journal")).arg(int64(maxOthers + 1))
	rows, err := s.db.QueryContext(ctx, st.String(), st.args...)
	if err != nil {
		return found, false, fmt.Errorf("read the records of one id: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var o Other
		var journal sql.NullString
		var sequence, received, conflict int64
		if err := rows.Scan(&o.Namespace, &journal, &sequence, &received, &conflict); err != nil {
			return found, false, fmt.Errorf("read the records of one id: %w", err)
		}
		o.Journal, o.Sequence, o.Received, o.Conflict = journal.String, uint64(sequence), fromMicros(received), conflict != 0
		if o.Journal != found.Journal || o.Sequence != found.Sequence {
			found.Others = append(found.Others, o)
		}
	}
	return found, true, rows.Err()
}

// conflict returns the column, or its replacement in a table e that lacks it.
func (s *Store) conflict() string {
	if s.version < versionConflict {
		return "0"
	}
	return "e.conflict"
}

func (s *Store) rows() *statement {
	digest := "NULL, NULL, NULL, NULL"
	if s.version >= versionDigest {
		digest = "e.digest, e.teams, e.team_names, e.tokens"
	}
	mapping := "''"
	if s.version >= versionMapping {
		mapping = "e.mapping"
	}
	origin := "'', ''"
	if s.version >= versionOrigin {
		origin = "e.source, e.principal"
	}
	return s.statement("SELECT e.position, j.name, e.sequence, e.tombstone, e.updated_at, e.received, e.namespace, e.id, e.data, " +
		"e.action, e.table_name, e.object_id, e.changed_by, e.changed_by_api_key, " + digest + ", " + s.conflict() + ", " + mapping + ", " + origin + " FROM " + s.tables.events + " e LEFT JOIN " + s.tables.journals + " j ON j.number = e.journal")
}

func (s *Store) row(ctx context.Context, st *statement) (Row, bool, error) {
	r, err := scanRow(s.db.QueryRowContext(ctx, st.String(), st.args...).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return Row{}, false, nil
	}
	if err != nil {
		return Row{}, false, fmt.Errorf("read a record: %w", err)
	}
	return r, true, nil
}

// scanRow reads the columns that rows selects.
func scanRow(scan func(...any) error) (Row, error) {
	var w written
	var journal sql.NullString // null if the row is damaged
	var conflict int64
	c := &w.columns
	err := scan(&w.position, &journal, &w.sequence, &w.tombstone, &w.at, &w.received, &w.namespace, &w.id, &w.data,
		&c[0], &c[1], &c[2], &c[3], &c[4], &w.digest, &w.searched.teams, &w.searched.names, &w.searched.tokens, &conflict, &w.mapping, &w.source, &w.principal)
	if err != nil {
		return Row{}, err
	}
	return Row{Position: w.position, Journal: journal.String, Sequence: uint64(w.sequence), Namespace: w.namespace, ID: w.id, Time: fromMicros(w.at),
		Received: fromMicros(w.received), Source: w.source, Principal: w.principal, Tombstone: w.tombstone != 0, Conflict: conflict != 0, Mapping: parseMapping(w.mapping), Data: []byte(w.data), Integrity: integrity(journal.String, &w)}, nil
}
