package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"auditrelay/internal/auditstore"
)

type access uint8

const (
	writing access = iota
	reading
)

// readers is the maximum number of parallel reads.
const readers = 4

// Open opens the store at o.Path for reading, and Maintain opens it for deleting. They create a
// missing file. Both work in parallel with a Sink that writes to it.
//
// The store is internal, so both are only for the relay.
func Open(ctx context.Context, o Options) (*auditstore.Store, error) {
	s, err := open(ctx, o.Path, writing) // this creates the tables
	if err != nil {
		return nil, err
	}
	if err := s.Close(); err != nil {
		return nil, err
	}
	return open(ctx, o.Path, reading)
}

// Maintain opens the store for deleting; see Open.
func Maintain(ctx context.Context, o Options) (*auditstore.Store, error) {
	return open(ctx, o.Path, writing)
}

// View opens the store at path for reading. It creates and changes nothing. A relay may write
// to the store meanwhile. If no program has the file open, View reads it without writing beside
// it, so that it may be on a read-only medium.
func View(ctx context.Context, path string) (*auditstore.Store, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	d := dsn(path, reading) + "&mode=ro"
	if _, err := os.Stat(path + "-wal"); errors.Is(err, fs.ErrNotExist) {
		d += "&immutable=1"
	}
	db, err := sql.Open("sqlite", d)
	if err != nil {
		return nil, err
	}
	s, err := auditstore.New(ctx, db, auditstore.Options{ReadOnly: true})
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	return s, nil
}

// IsDatabase reports by its first bytes whether a file is a SQLite database.
func IsDatabase(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	var head [16]byte
	_, err = io.ReadFull(f, head[:])
	return err == nil && string(head[:]) == "SQLite format 3\x00"
}

func open(ctx context.Context, path string, how access, more ...string) (*auditstore.Store, error) {
	if how == writing {
		if err := create(path); err != nil {
			return nil, err
		}
	}
	db, err := sql.Open("sqlite", dsn(path, how, more...))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	if how == reading {
		db.SetMaxOpenConns(readers)
	}
	s, err := auditstore.New(ctx, db, auditstore.Options{ReadOnly: how == reading})
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	if how == writing {
		if err := syncDir(filepath.Dir(path)); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return s, nil
}

// create creates the file with its mode, which SQLite uses for its other files too.
func create(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// dsn returns the parameters of a connection. Deleted data, and data replaced after a policy
// was corrected, is overwritten (secure_delete), not just released.
func dsn(path string, how access, more ...string) string {
	query := url.Values{"_pragma": {
		"busy_timeout(2000)", "journal_mode(WAL)", "synchronous(FULL)", "secure_delete(ON)", "trusted_schema(OFF)",
		"journal_size_limit(67108864)",
	}}
	query["_pragma"] = append(query["_pragma"], more...)
	if how == writing {
		query.Set("_txlock", "immediate")
		// SQLite's default of 2 MB holds no index of a large store, so each record would read
		// and write the same pages again. With a log of 32 MiB, pages that change in each
		// transaction are copied to the file once for about twenty transactions.
		query["_pragma"] = append(query["_pragma"], "cache_size(-32768)", "wal_autocheckpoint(8192)")
	} else {
		query.Add("_pragma", "query_only(ON)")
	}
	if !filepath.IsAbs(path) {
		path = "./" + path
	}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + query.Encode()
}

// syncDir makes a folder's entries durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Backup copies the database at o.Path to the new file to. Writers continue meanwhile. Backup
// returns when the copy is on disk. Without a database it returns fs.ErrNotExist and creates
// nothing.
func Backup(ctx context.Context, o Options, to string) (err error) {
	if _, err := os.Stat(o.Path); err != nil {
		return err
	}
	f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, f.Sync(), f.Close(), syncDir(filepath.Dir(to)))
	}()
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: o.Path}).EscapedPath()+"?_pragma=busy_timeout(2000)")
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, "VACUUM INTO ?", to)
	return errors.Join(err, db.Close())
}
