package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"auditrelay"
	"auditrelay/builtin/postgres"
	"auditrelay/builtin/sqlite"
	"auditrelay/cli/internal/http"
	"auditrelay/config"
	"auditrelay/internal/auditstore"
)

// The types of sinks that are stores, whose records can be searched.
const (
	sqliteSink   = "sqlite"
	postgresSink = "postgres"
)

// store is a callback whose sink is a store, and how to open it.
type store struct {
	callback string
	digest   string // digest of its options; an unchanged store stays open
	place    string // the database, for errors; two callbacks must not have the same
	file     string // empty if it is not on this machine
	keep     auditstore.Keep

	open     func(ctx context.Context) (*auditstore.Store, error) // opens it for reading
	maintain func(ctx context.Context) (*auditstore.Store, error) // opens it for deleting
	view     func(ctx context.Context) (*auditstore.Store, error) // opens it for reading without any change
	backup   func(ctx context.Context, to string) error           // nil if its database has its own backups
}

// storesOf returns the stores of a configuration, and the name of the one that the audit API
// reads, or "" if there is none.
func (a *assembler) storesOf(cfg *config.Config) (all []store, serves string, err error) {
	var errs []error
	places := map[string]string{}
	for i := range cfg.Callbacks {
		c := &cfg.Callbacks[i]
		s, err := a.storeOf(cfg, c)
		if err != nil {
			errs = append(errs, err)
		}
		if s == nil {
			continue
		}
		if other, taken := places[s.place]; taken {
			errs = append(errs, a.at(c.Place(), "callback "+c.Name, fmt.Errorf("its store is that of callback %s: give each its own", other)))
		}
		places[s.place] = c.Name
		s.digest = cfg.CallbackDigest(a.digestKey, c) + s.place
		all = append(all, *s)
		if cfg.Store == c.Name || cfg.Store == "" {
			serves = c.Name
		}
	}
	switch {
	case cfg.Store == "" && len(all) > 1:
		errs = append(errs, a.at(config.Place{}, "store", fmt.Errorf("callbacks %s and %s are both stores: name the one that the audit API reads", all[0].callback, all[1].callback)))
	case cfg.Store != "" && serves == "":
		errs = append(errs, a.at(config.Place{}, "store", errors.New("it names no callback whose sink is a store (sqlite, postgres)")))
	}
	return all, serves, errors.Join(errs...)
}

// storeOf returns a callback's store, or nil if its sink is not one.
func (a *assembler) storeOf(cfg *config.Config, c *config.Callback) (*store, error) {
	switch c.Sink.Type {
	case sqliteSink:
	case postgresSink:
		return postgresStore(c)
	default:
		return nil, nil
	}
	o, err := sqliteOptions(cfg, c)
	if err != nil {
		return nil, err
	}
	place, err := filepath.Abs(o.Path)
	if err != nil {
		return nil, err
	}
	return &store{
		callback: c.Name, place: place, file: o.Path,
		keep:     auditstore.Keep{Age: o.Keep.Age, Rows: o.Keep.Rows},
		open:     func(ctx context.Context) (*auditstore.Store, error) { return sqlite.Open(ctx, o) },
		maintain: func(ctx context.Context) (*auditstore.Store, error) { return sqlite.Maintain(ctx, o) },
		view:     func(ctx context.Context) (*auditstore.Store, error) { return sqlite.View(ctx, o.Path) },
		backup:   func(ctx context.Context, to string) error { return sqlite.Backup(ctx, o, to) },
	}, nil
}

func postgresStore(c *config.Callback) (*store, error) {
	var o postgres.Options
	if err := c.Sink.Options.Decode(&o); err != nil {
		return nil, err
	}
	return &store{
		callback: c.Name, place: "postgres " + o.Place(),
		keep:     auditstore.Keep{Age: o.Keep.Age, Rows: o.Keep.Rows},
		open:     func(ctx context.Context) (*auditstore.Store, error) { return postgres.Open(ctx, o) },
		maintain: func(ctx context.Context) (*auditstore.Store, error) { return postgres.Maintain(ctx, o) },
		view:     func(ctx context.Context) (*auditstore.Store, error) { return postgres.View(ctx, o) },
	}, nil
}

func makePostgres(section config.Section) (auditrelay.Sink, error) {
	var o postgres.Options
	decoded := section.Decode(&o)
	sink, err := postgres.New(o)
	return made(sink, decoded, err)
}

// sqliteOptions returns a store's options. By default its file is in the data directory.
func sqliteOptions(cfg *config.Config, c *config.Callback) (o sqlite.Options, err error) {
	if err := c.Sink.Options.Decode(&o); err != nil {
		return o, err
	}
	if o.Path = c.Sink.Options.Path(o.Path); o.Path == "" {
		o.Path = filepath.Join(dataDir(cfg.DataDir).stores(), c.Name+storeSuffix)
	}
	return o, nil
}

// makeSQLite creates the sink to check its options. The place of its file depends on more
// options; see sink.
func makeSQLite(section config.Section) (auditrelay.Sink, error) {
	var o sqlite.Options
	decoded := section.Decode(&o)
	if o.Path == "" {
		o.Path = "store" + storeSuffix
	}
	sink, err := sqlite.New(o)
	return made(sink, decoded, err)
}

// sink creates a callback's sink.
func (a *assembler) sink(cfg *config.Config, c *config.Callback) (auditrelay.Sink, error) {
	if c.Sink.Type == sqliteSink {
		o, err := sqliteOptions(cfg, c)
		if err != nil {
			return nil, err
		}
		sink, err := sqlite.New(o)
		return made(sink, nil, err)
	}
	if c.Sink.Type == postgresSink {
		var o postgres.Options
		if err := c.Sink.Options.Decode(&o); err != nil {
			return nil, err
		}
		o.Mark = filepath.Join(dataDir(cfg.DataDir).stores(), c.Name+markSuffix)
		sink, err := postgres.New(o)
		return made(sink, nil, err)
	}
	return a.makers[c.Sink.Type](c.Sink.Options)
}

// markSuffix is the suffix of the file with the number of transactions that a remote store
// acknowledged.
const markSuffix = ".mark"

// storeSuffix is the suffix of a store's file if the relay chooses the name.
const storeSuffix = ".db"

func (d dataDir) stores() string { return d.file("store") }

// stores are the stores of the current configuration. They are opened when first read.
type stores struct {
	mu     sync.Mutex
	live   map[string]*liveStore
	serves string
}

// liveStore is a store that may be open.
type liveStore struct {
	store
	mu     sync.Mutex
	closed bool
	reader *auditstore.Store // nil while it is closed
	opened os.FileInfo
}

// set puts the stores of a configuration in force. Unchanged stores stay open. A running search
// of another store may fail.
func (s *stores) set(all []store, serves string) {
	s.mu.Lock()
	before := s.live
	s.live, s.serves = map[string]*liveStore{}, serves
	for i := range all {
		name := all[i].callback
		if l := before[name]; l != nil && l.digest == all[i].digest {
			s.live[name] = l
			delete(before, name)
			continue
		}
		s.live[name] = &liveStore{store: all[i]}
	}
	s.mu.Unlock()
	for _, l := range before {
		_ = l.close() // it was only open for reading
	}
}

func (s *stores) close() { s.set(nil, "") }

// all returns every store.
func (s *stores) all() []*liveStore {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*liveStore
	for _, l := range s.live {
		all = append(all, l)
	}
	return all
}

// Serving returns the store that the audit API reads.
func (s *stores) Serving() (http.Store, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.live[s.serves]
	if l == nil {
		return nil, http.ErrNoStore
	}
	return l, nil
}

// Callback returns the name of the store's callback.
func (l *liveStore) Callback() string { return l.callback }

// Place returns the store's database without secrets.
func (l *liveStore) Place() string { return l.place }

// Read returns the store, open for reading.
func (l *liveStore) Read(ctx context.Context) (*auditstore.Store, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, http.ErrNoStore
	}
	if l.reader != nil && l.file != "" {
		// The file may have been moved away to start another.
		if at, err := os.Stat(l.file); err != nil || !os.SameFile(at, l.opened) {
			_ = l.reader.Close()
			l.reader = nil
		}
	}
	if l.reader == nil {
		reader, err := l.open(ctx)
		if err != nil {
			return nil, fmt.Errorf("the store of callback %s: %w", l.callback, err)
		}
		if l.file != "" {
			if l.opened, err = os.Stat(l.file); err != nil {
				return nil, errors.Join(err, reader.Close())
			}
		}
		l.reader = reader
	}
	return l.reader, nil
}

func (l *liveStore) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.reader == nil {
		return nil
	}
	err := l.reader.Close()
	l.reader = nil
	return err
}

// backupStores copies every store to a folder of the backup in dir. It runs after the journal's
// backup, so the copy contains everything that the journal counts as delivered.
func (s *stores) backupStores(ctx context.Context, dir string) error {
	for _, l := range s.all() {
		if l.backup == nil {
			continue
		}
		folder := filepath.Join(dir, "store")
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return err
		}
		err := l.backup(ctx, filepath.Join(folder, l.callback+storeSuffix))
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // nothing was delivered yet
			return fmt.Errorf("the store of callback %s: %w", l.callback, err)
		}
	}
	return nil
}

// RestoreStores copies the stores and the selected policies of a backup to their places in a
// data directory, and returns the names of the stores' callbacks. It overwrites nothing.
func RestoreStores(backup, into string) (callbacks []string, err error) {
	if err := copyPolicies(backup, into); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(filepath.Join(backup, "store"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	folder := dataDir(into).stores()
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), storeSuffix)
		if !ok || !e.Type().IsRegular() {
			continue
		}
		if err := copyNew(filepath.Join(backup, "store", e.Name()), filepath.Join(folder, e.Name())); err != nil {
			return callbacks, fmt.Errorf("restore the store of callback %s: %w", name, err)
		}
		callbacks = append(callbacks, name)
	}
	return callbacks, nil
}

// copyNew copies a file, to which nobody may write meanwhile, to a name that must not exist.
func copyNew(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}
