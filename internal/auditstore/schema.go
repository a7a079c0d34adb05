package auditstore

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// schema returns the statements that create what is missing.
func (s *Store) schema() []string {
	d := s.options.Dialect
	position, text, bytes := d.types()
	must := text + " NOT NULL"
	statements := []string{
		"CREATE TABLE IF NOT EXISTS " + s.tables.meta + " (name " + must + " PRIMARY KEY, value BIGINT NOT NULL)",
		"CREATE TABLE IF NOT EXISTS " + s.tables.journals + " (number " + position + ", name " + must + " UNIQUE, identity " + must + ", writes BIGINT NOT NULL DEFAULT 0)",
		"CREATE TABLE IF NOT EXISTS " + s.tables.events + " (position " + position + ", journal BIGINT NOT NULL, sequence BIGINT NOT NULL, " +
			"tombstone BIGINT NOT NULL, updated_at BIGINT NOT NULL, received BIGINT NOT NULL, " +
			"action " + must + ", table_name " + must + ", object_id " + must + ", changed_by " + must + ", changed_by_api_key " + must + ", " +
			"namespace " + must + ", id " + must + ", data " + must + ", digest " + bytes + ", teams " + text + ", team_names " + text + ", tokens " + text + ", " + conflictColumn + ", " + s.mappingColumn() + ", " + strings.Join(s.originColumns(), ", ") + ")",
		"CREATE UNIQUE INDEX IF NOT EXISTS auditrelay_events_place ON " + s.tables.events + " (journal, sequence)",
		"CREATE INDEX IF NOT EXISTS auditrelay_events_received ON " + s.tables.events + " (received, position)",
		s.insideIndex(),
		s.namespaceIndex(),
	}
	for _, f := range indexed {
		statements = append(statements, "CREATE INDEX IF NOT EXISTS auditrelay_events_"+string(f)+" ON "+s.tables.events+" ("+string(f)+", updated_at, position"+d.beside(f)+")")
	}
	return statements
}

// insideIndex is the index by time. It contains the searchable texts from inside values, so
// such a search reads only the index.
func (s *Store) insideIndex() string {
	return "CREATE INDEX IF NOT EXISTS auditrelay_events_time ON " + s.tables.events + " (updated_at, position, teams, team_names, tokens)"
}

// conflictColumn is 1 if another event with the row's identity was accepted before.
const conflictColumn = "conflict BIGINT NOT NULL DEFAULT 0"

// mappingColumn contains, as JSON, where the fields of a record in another schema are. It is
// empty for LiteLLM's schema.
func (s *Store) mappingColumn() string {
	_, text, _ := s.options.Dialect.types()
	return "mapping " + text + " NOT NULL DEFAULT ''"
}

// originColumns state where a record came from. They have no index; a search by them scans in
// time order.
func (s *Store) originColumns() []string {
	_, text, _ := s.options.Dialect.types()
	return []string{"source " + text + " NOT NULL DEFAULT ''", "principal " + text + " NOT NULL DEFAULT ''"}
}

// namespaceIndex is for readers of one namespace. It leaves out LiteLLM's events, which
// normally are most of a store.
func (s *Store) namespaceIndex() string {
	return "CREATE INDEX IF NOT EXISTS auditrelay_events_namespace ON " + s.tables.events + " (namespace, updated_at, position) WHERE " + otherNamespace
}

const otherNamespace = "namespace <> 'litellm'"

// migrate upgrades tables of an earlier version, one version at a time.
func (s *Store) migrate(ctx context.Context) error {
	err := s.transaction(ctx, func(tx *sql.Tx) error {
		version, err := s.number(ctx, tx, metaVersion)
		if err != nil {
			return err
		}
		if version < versionDigest {
			if err := s.addDigests(ctx, tx); err != nil {
				return err
			}
		}
		if version < versionConflict {
			if err := s.addConflicts(ctx, tx); err != nil {
				return err
			}
		}
		if version < versionMapping {
			if _, err := tx.ExecContext(ctx, "ALTER TABLE "+s.tables.events+" ADD COLUMN "+s.mappingColumn()); err != nil {
				return err
			}
		}
		if version < versionOrigin {
			for _, column := range s.originColumns() {
				if _, err := tx.ExecContext(ctx, "ALTER TABLE "+s.tables.events+" ADD COLUMN "+column); err != nil {
					return err
				}
			}
		}
		return s.set(ctx, tx, metaVersion, max(version, versionNewest))
	})
	if err != nil {
		return fmt.Errorf("bring the tables up to date: %w", err)
	}
	return s.check(ctx)
}

// addDigests upgrades version 1 to 2. Missing values stay null: the digest forever, because
// nothing states what was stored, and the searchable values until Fill.
func (s *Store) addDigests(ctx context.Context, tx *sql.Tx) error {
	_, text, bytes := s.options.Dialect.types()
	for _, statement := range []string{
		"ALTER TABLE " + s.tables.journals + " ADD COLUMN writes BIGINT NOT NULL DEFAULT 0",
		"ALTER TABLE " + s.tables.events + " ADD COLUMN digest " + bytes,
		"ALTER TABLE " + s.tables.events + " ADD COLUMN teams " + text,
		"ALTER TABLE " + s.tables.events + " ADD COLUMN team_names " + text,
		"ALTER TABLE " + s.tables.events + " ADD COLUMN tokens " + text,
		s.insideIndex(),
		"DROP INDEX IF EXISTS " + s.qualified("auditrelay_events_updated_at"),
	} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	newest, err := s.newest(ctx, tx)
	if err != nil {
		return err
	}
	for name, value := range map[string]int64{metaFilled: 0, metaFillTo: newest} {
		if err := s.setNew(ctx, tx, name, value); err != nil {
			return err
		}
	}
	return nil
}

// addConflicts upgrades version 2 to 3 and marks existing conflicts: it finds ids that occur
// more than once along their index.
func (s *Store) addConflicts(ctx context.Context, tx *sql.Tx) error {
	events := s.tables.events
	for _, statement := range []string{
		"ALTER TABLE " + events + " ADD COLUMN " + conflictColumn,
		s.namespaceIndex(),
		"UPDATE " + events + " SET conflict = 1 WHERE tombstone = 0 AND id IN (SELECT id FROM " + events + " WHERE id <> '' GROUP BY id HAVING count(*) > 1) AND " +
			"EXISTS (SELECT 1 FROM " + events + " f WHERE f.id = " + events + ".id AND f.namespace = " + events + ".namespace AND f.tombstone = 0 AND (f.received, f.position) < (" + events + ".received, " + events + ".position))",
	} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) qualified(name string) string {
	if s.options.Schema == "" {
		return name
	}
	return s.options.Schema + "." + name
}

// Missing returns how many positions Fill still has to process.
func (s *Store) Missing(ctx context.Context) (int64, error) {
	if s.version < versionDigest {
		return 0, ErrEarlier
	}
	filled, err := s.number(ctx, s.db, metaFilled)
	if err != nil {
		return 0, err
	}
	to, err := s.number(ctx, s.db, metaFillTo)
	return max(0, to-filled), err
}

// fillBatch is how many rows one transaction fills. Deliveries wait for that transaction.
const fillBatch = 500

// Fill adds the searchable values to some rows of an earlier version in one small transaction.
// It reports whether there may be more.
func (s *Store) Fill(ctx context.Context) (more bool, err error) {
	if s.version < versionDigest {
		return false, nil
	}
	missing, err := s.Missing(ctx)
	if err != nil || missing == 0 {
		return false, err
	}
	err = s.transaction(ctx, func(tx *sql.Tx) error {
		more = false
		filled, err := s.number(ctx, tx, metaFilled)
		if err != nil {
			return err
		}
		to, err := s.number(ctx, tx, metaFillTo)
		if err != nil || filled >= to {
			return err
		}
		rows, err := s.unfilled(ctx, tx, filled, to)
		if err != nil {
			return err
		}
		next := to
		if more = len(rows) == fillBatch; more {
			next = rows[len(rows)-1].position
		}
		for _, r := range rows {
			in := insideOf(r.data)
			q := s.statement("UPDATE " + s.tables.events + " SET teams = ").arg(in.teams).text(", team_names = ").arg(in.names).text(", tokens = ").arg(in.tokens).
				text(" WHERE teams IS NULL AND position = ").arg(r.position)
			if _, err := tx.ExecContext(ctx, q.String(), q.args...); err != nil {
				return err
			}
		}
		return s.set(ctx, tx, metaFilled, next)
	})
	if err != nil {
		return false, fmt.Errorf("fill in the search columns: %w", err)
	}
	return more, nil
}

type unfilled struct {
	position int64
	data     []byte
}

func (s *Store) unfilled(ctx context.Context, tx *sql.Tx, after, to int64) (all []unfilled, err error) {
	q := s.statement("SELECT position, data FROM " + s.tables.events + " WHERE position > ").arg(after).text(" AND position <= ").arg(to).
		text(" ORDER BY position LIMIT ").arg(int64(fillBatch))
	rows, err := tx.QueryContext(ctx, q.String(), q.args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var r unfilled
		if err := rows.Scan(&r.position, &r.data); err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, rows.Err()
}
