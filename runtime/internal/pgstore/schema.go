package pgstore

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"auditrelay/runtime/internal/journal"

	"github.com/jackc/pgx/v5"
)

const leastVersion = 140000

// migrations lead from each format to the next. An existing migration never changes.
var migrations = []string{`
CREATE TABLE {journal} (
	one boolean PRIMARY KEY DEFAULT true CHECK (one),
	format integer NOT NULL,
	epoch bigint NOT NULL,
	holder text NOT NULL,
	commits bigint NOT NULL,
	frame bytea NOT NULL,
	events_from bigint NOT NULL,
	index_from bigint NOT NULL,
	head bytea
) WITH (fillfactor = 10);
INSERT INTO {journal} (format, epoch, holder, commits, frame, events_from, index_from) VALUES (0, 0, '', 0, '', 0, 0);
CREATE TABLE {parts} (part integer PRIMARY KEY, first bigint NOT NULL, began timestamptz NOT NULL DEFAULT now());
CREATE TABLE {frames} (
	part integer NOT NULL,
	first bigint NOT NULL,
	id bytea NOT NULL,
	index bytea NOT NULL,
	lengths bytea NOT NULL,
	events bytea NOT NULL,
	PRIMARY KEY (part, first)
) PARTITION BY LIST (part);
CREATE TABLE {state} (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE {keyring} (one boolean PRIMARY KEY DEFAULT true CHECK (one), text bytea NOT NULL);
ALTER TABLE {frames} ALTER COLUMN index SET STORAGE EXTERNAL, ALTER COLUMN lengths SET STORAGE EXTERNAL, ALTER COLUMN events {stored};
ALTER TABLE {state} ALTER COLUMN value {stored};
`, `
CREATE TABLE {lease} (
	one boolean PRIMARY KEY DEFAULT true CHECK (one),
	epoch bigint NOT NULL,
	beat bigint NOT NULL,
	holder text NOT NULL,
	released boolean NOT NULL,
	secret text NOT NULL
) WITH (fillfactor = 10);
INSERT INTO {lease} (epoch, beat, holder, released, secret) VALUES (0, 0, '', true, gen_random_uuid()::text || gen_random_uuid()::text);
CREATE TABLE {relays} (
	instance text PRIMARY KEY,
	name text NOT NULL,
	address text NOT NULL,
	version text NOT NULL,
	digest text NOT NULL,
	since timestamptz NOT NULL,
	joined timestamptz NOT NULL,
	seen timestamptz NOT NULL,
	gone boolean NOT NULL,
	drained boolean NOT NULL,
	failed timestamptz,
	failure text NOT NULL
) WITH (fillfactor = 50);
CREATE TABLE {files} (name text PRIMARY KEY, content bytea NOT NULL);
`}

// prepare checks the server, migrates the tables to this program's format and takes the journal
// over. lock holds the journal's lock.
func (s *Store) prepare(ctx context.Context, lock *pgx.Conn) error {
	warnings, err := s.inspect(ctx, lock)
	if err != nil {
		return err
	}
	for _, w := range warnings {
		s.options.Logger.Warn("journal: "+w.What, "server", s.place(), "do", w.Do)
	}
	if err := s.migrate(ctx, lock); err != nil {
		return err
	}
	return s.takeOver(ctx, lock)
}

// migrate creates or migrates the tables. The lock prevents concurrent migrations.
func (s *Store) migrate(ctx context.Context, lock *pgx.Conn) error {
	tx, err := lock.Begin(ctx)
	if err != nil {
		return explain(err)
	}
	defer func() { _ = tx.Rollback(ctx) }() // no effect after a commit
	var schema, table bool
	if err := tx.QueryRow(ctx, "SELECT to_regnamespace($1) IS NOT NULL, to_regclass($2) IS NOT NULL", s.names.schema, s.names.journal).Scan(&schema, &table); err != nil {
		return explain(err)
	}
	if !schema {
		if _, err := tx.Exec(ctx, "CREATE SCHEMA "+s.names.schema); err != nil {
			return fmt.Errorf("make the schema %s: %w; make it, with CREATE SCHEMA %s AUTHORIZATION this role, or grant CREATE on the database", s.names.schema, explain(err), s.names.schema)
		}
	}
	format := 0
	if table {
		if err := tx.QueryRow(ctx, "SELECT format FROM "+s.names.journal).Scan(&format); err != nil {
			if errors.Is(err, pgx.ErrNoRows) {
				return &journal.CorruptError{Err: errors.New("the table journal is empty")}
			}
			return fmt.Errorf("read the table journal: %w", explain(err))
		}
	}
	if format > len(migrations) {
		return &journal.FormatError{Found: format, Expected: len(migrations)}
	}
	if format == len(migrations) {
		return nil
	}
	stored, err := storage(ctx, tx)
	if err != nil {
		return err
	}
	words := strings.NewReplacer("{journal}", s.names.journal, "{parts}", s.names.parts, "{frames}", s.names.frames, "{state}", s.names.state,
		"{keyring}", s.names.keyring, "{lease}", s.names.lease, "{relays}", s.names.relays, "{files}", s.names.files, "{stored}", stored)
	for _, step := range migrations[format:] {
		if _, err := tx.Exec(ctx, words.Replace(step)); err != nil {
			return fmt.Errorf("make the tables in schema %s: %w", s.names.schema, explain(err))
		}
	}
	if _, err := tx.Exec(ctx, "UPDATE "+s.names.journal+" SET format = $1", len(migrations)); err != nil {
		return explain(err)
	}
	return explain(tx.Commit(ctx))
}

// storage returns the storage mode of large values: compressed if the server has LZ4, since its
// other compression takes longer than everything else.
func storage(ctx context.Context, tx pgx.Tx) (string, error) {
	var lz4 bool
	err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_settings WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals))").Scan(&lz4)
	if err != nil || !lz4 {
		return "SET STORAGE EXTERNAL", explain(err)
	}
	return "SET COMPRESSION lz4", nil
}
