package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"auditrelay/internal/auditstore"

	"github.com/jackc/pgx/v5/stdlib"
)

type access uint8

const (
	writing access = iota
	reading
)

// readers is how many statements read at a time.
const readers = 4

// connectTimeout bounds a connection's making.
const connectTimeout = 10 * time.Second

// Open opens the store for reading, Maintain for deleting from it. Both go beside a Sink
// that writes to it.
//
// The store is internal: these two are for the relay. Their errors are safe to show.
func Open(ctx context.Context, o Options) (*auditstore.Store, error) {
	s, err := open(ctx, o, writing) // which makes the tables
	if err == nil {
		err = s.Close()
	}
	if err == nil {
		s, err = open(ctx, o, reading)
	}
	if err != nil {
		return nil, plain(ctx, err)
	}
	return s, nil
}

// Maintain: see Open.
func Maintain(ctx context.Context, o Options) (*auditstore.Store, error) {
	s, err := open(ctx, o, writing)
	if err != nil {
		return nil, plain(ctx, err)
	}
	return s, nil
}

func open(ctx context.Context, o Options, how access) (*auditstore.Store, error) {
	o = o.withDefaults()
	db, err := connect(o, how)
	if err != nil {
		return nil, err
	}
	if how == writing {
		if err := makeSchema(ctx, db, o.Schema); err != nil {
			return nil, errors.Join(err, db.Close())
		}
	}
	s, err := auditstore.New(ctx, db, auditstore.Postgres, how == reading)
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	return s, nil
}

// connect says how to connect; it does not yet.
func connect(o Options, how access) (*sql.DB, error) {
	c, err := o.connection()
	if err != nil {
		return nil, err
	}
	c.ConnectTimeout = connectTimeout
	c.RuntimeParams["application_name"] = "auditrelay"
	c.RuntimeParams["search_path"] = o.Schema
	// Acknowledged means on the server's disk, whatever its own default.
	c.RuntimeParams["synchronous_commit"] = "on"
	if how == reading {
		c.RuntimeParams["default_transaction_read_only"] = "on"
	}
	db := stdlib.OpenDB(*c)
	db.SetMaxOpenConns(1)
	if how == reading {
		db.SetMaxOpenConns(readers)
	}
	return db, nil
}

// makeSchema makes the schema unless it is there: to try it takes a right that a role
// need not have.
func makeSchema(ctx context.Context, db *sql.DB, name string) error {
	var one int
	err := db.QueryRowContext(ctx, "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1", name).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		// The name has no character that would need quotes.
		_, err = db.ExecContext(ctx, "CREATE SCHEMA IF NOT EXISTS "+name)
	}
	if err != nil {
		return fmt.Errorf("make the schema: %w", err)
	}
	return nil
}
