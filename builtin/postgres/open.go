package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"auditrelay/internal/auditstore"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

type access uint8

const (
	writing access = iota
	reading
)

// readers is the maximum number of parallel reads.
const readers = 4

// connectTimeout limits the time for connecting.
const connectTimeout = 10 * time.Second

// Open opens the store for reading, and Maintain opens it for deleting. Both work in parallel
// with a Sink that writes to it.
//
// The store is internal, so both are only for the relay. Their errors are safe to show.
func Open(ctx context.Context, o Options) (*auditstore.Store, error) {
	s, err := open(ctx, o, writing) // this creates the tables
	if err == nil {
		err = s.Close()
	}
	if err == nil {
		s, err = open(ctx, o, reading)
	}
	if err != nil {
		return nil, plain(err)
	}
	return s, nil
}

// Maintain opens the store for deleting; see Open.
func Maintain(ctx context.Context, o Options) (*auditstore.Store, error) {
	s, err := open(ctx, o, writing)
	if err != nil {
		return nil, plain(err)
	}
	return s, nil
}

// View opens the store for reading and creates nothing.
func View(ctx context.Context, o Options) (*auditstore.Store, error) {
	s, err := open(ctx, o, reading)
	if err != nil {
		return nil, plain(err)
	}
	return s, nil
}

func open(ctx context.Context, o Options, how access) (*auditstore.Store, error) {
	o = o.withDefaults()
	db, err := connect(o, how)
	if err != nil {
		return nil, err
	}
	if err := look(ctx, db, o.Schema, how); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	s, err := auditstore.New(ctx, db, auditstore.Options{Dialect: auditstore.Postgres, Schema: o.Schema, ReadOnly: how == reading, Denied: denied})
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	return s, nil
}

// denied reports whether the role lacks a right.
func denied(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && e.Code == "42501"
}

// connect prepares a connection without connecting.
//
// A pooler such as PgBouncer may reject or drop unknown startup parameters, and may use another
// connection for each transaction. So the store sets nothing for a session. Tables are named
// with their schema, a transaction sets its own parameters, and prepared statements have unique
// names.
func connect(o Options, how access) (*sql.DB, error) {
	c, err := o.connection()
	if err != nil {
		return nil, err
	}
	c.ConnectTimeout = connectTimeout
	c.RuntimeParams["application_name"] = "auditrelay"
	c.RuntimeParams["client_encoding"] = "UTF8" // poolers track this parameter
	c.DefaultQueryExecMode = pgx.QueryExecModeExec
	db := stdlib.OpenDB(*c)
	db.SetMaxOpenConns(1)
	if how == reading {
		db.SetMaxOpenConns(readers)
	}
	return db, nil
}

// SetupError reports that a database cannot be a store with its current setup.
type SetupError struct{ Text string }

func (e *SetupError) Error() string { return e.Text }

// look checks the database before any change. It creates the schema only if it is missing,
// since the attempt needs a right that a role may lack.
func look(ctx context.Context, db *sql.DB, schema string, how access) error {
	var encoding string
	var isSchema, isStore, isStray bool
	err := db.QueryRowContext(ctx, `SELECT current_setting('server_encoding'),
		EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1), to_regclass($1 || '.auditrelay_meta') IS NOT NULL, to_regclass('public.auditrelay_meta') IS NOT NULL`, schema).
		Scan(&encoding, &isSchema, &isStore, &isStray)
	if err != nil {
		return fmt.Errorf("check the database: %w", err)
	}
	switch {
	case encoding != "UTF8" && encoding != "SQL_ASCII":
		// Other encodings cannot represent every text.
		return &SetupError{"the database's encoding is " + encoding + ", and the store needs UTF8: CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0"}
	case isStray && !isStore:
		// Older versions wrote there through a pooler that dropped the search path.
		return &SetupError{"the store's tables are in schema public, since a pooler dropped the search path of an earlier version: ALTER TABLE public.auditrelay_meta SET SCHEMA " + schema +
			", and so auditrelay_journals and auditrelay_events (CREATE SCHEMA " + schema + " first), or drop them"}
	case isStore:
		return errors.Join(visible(ctx, db, schema), asMade(ctx, db, schema))
	case !isSchema && how == writing:
		// The name has no character that needs quotes.
		if _, err := db.ExecContext(ctx, "CREATE SCHEMA IF NOT EXISTS "+schema); err != nil {
			return fmt.Errorf("create the schema: %w", err)
		}
	}
	return nil
}

// visible checks that no row-level policy hides rows from the role.
func visible(ctx context.Context, db *sql.DB, schema string) error {
	var table, policies string
	err := db.QueryRowContext(ctx, `SELECT c.relname, coalesce((SELECT string_agg(p.polname, ', ' ORDER BY p.polname) FROM pg_catalog.pg_policy p WHERE p.polrelid = c.oid), 'none, which hides all')
		FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = $1 AND c.relkind = 'r' AND c.relname LIKE 'auditrelay\_%' AND row_security_active(c.oid) LIMIT 1`, schema).Scan(&table, &policies)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return fmt.Errorf("check row-level security: %w", err)
	}
	return &SetupError{"row-level security hides rows of " + table + " from the role (policies: " + policies + "): ALTER ROLE ... BYPASSRLS, or drop it from the table"}
}

// asMade checks that the tables have the right types and constraints. If a column has another
// type, the server's error would look like a bad record.
func asMade(ctx context.Context, db *sql.DB, schema string) error {
	var what string
	err := db.QueryRowContext(ctx, `SELECT CASE WHEN c.relpersistence <> 'p' THEN format('%s is unlogged: a crash of the server empties it', c.relname)
			ELSE format('column %s of %s is of type %s, which it was not made with', a.attname, c.relname, t.typname) END
		FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
		WHERE n.nspname = $1 AND c.relkind = 'r' AND c.relname IN ('auditrelay_meta', 'auditrelay_journals', 'auditrelay_events') AND a.attnum > 0 AND NOT a.attisdropped
			AND (c.relpersistence <> 'p' OR t.typname <> CASE
				WHEN a.attname IN ('position', 'number', 'journal', 'sequence', 'tombstone', 'updated_at', 'received', 'value', 'writes', 'conflict') THEN 'int8'
				WHEN a.attname = 'digest' THEN 'bytea'
				WHEN a.attname IN ('name', 'identity', 'action', 'table_name', 'object_id', 'changed_by', 'changed_by_api_key', 'namespace', 'id', 'data', 'teams', 'team_names', 'tokens') THEN 'text'
				ELSE t.typname END)
		LIMIT 1`, schema).Scan(&what)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return fmt.Errorf("check the tables: %w", err)
	}
	return &SetupError{"the store's tables were altered: " + what}
}
