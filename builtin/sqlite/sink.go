// Package sqlite delivers records to a SQLite database, to be searched: the store that the
// audit API reads.
//
// A delivery is one transaction with synchronous=FULL on the write-ahead log. It counts once
// the log is on disk. Repeating a delivery changes nothing, since a record is identified by its
// place in the journal and by its id; see package auditstore.
//
// The driver is SQLite translated to Go (modernc.org/sqlite), without cgo.
package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"auditrelay"
	"auditrelay/internal/auditstore"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// Sink writes to one database. It is safe for concurrent use, but makes one delivery at a time.
type Sink struct {
	path string
	turn chan struct{} // contains one token; its holder may use the fields below

	store *auditstore.Store // nil while closed
	file  os.FileInfo       // the opened file
}

// Place implements auditrelay.Placed.
func (s *Sink) Place() string { return auditrelay.PlaceFile + s.path }

var (
	_ auditrelay.Placed   = (*Sink)(nil)
	_ auditrelay.Sink     = (*Sink)(nil)
	_ auditrelay.Splitter = (*Sink)(nil)
	_ auditrelay.Prover   = (*Sink)(nil)
	_ auditrelay.Prober   = (*Sink)(nil)
	_ auditrelay.Reader   = (*Sink)(nil)
	_ io.Closer           = (*Sink)(nil)
)

// New returns a sink for o. It does no I/O: the first delivery opens the database. The error
// joins an *auditrelay.OptionError for each invalid option.
func New(o Options) (*Sink, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	s := &Sink{path: o.Path, turn: make(chan struct{}, 1)}
	s.turn <- struct{}{}
	return s, nil
}

// Render returns payloads of at most 1,000 records.
func (s *Sink) Render(chunk auditrelay.Chunk) ([]auditrelay.Payload, error) {
	return auditstore.Render(chunk)
}

// RenderProof returns a bundle of proofs, which has its own table.
func (s *Sink) RenderProof(p auditrelay.Proof) (auditrelay.Payload, error) {
	return auditstore.RenderProof(p)
}

// Split halves a payload.
func (s *Sink) Split(p auditrelay.Payload) (first, second auditrelay.Payload, err error) {
	return auditstore.Split(p)
}

// Deliver stores the payload's records and returns when they are on disk.
func (s *Sink) Deliver(ctx context.Context, p auditrelay.Payload) (auditrelay.Receipt, error) {
	select {
	case <-s.turn:
		defer func() { s.turn <- struct{}{} }()
	case <-ctx.Done():
		return auditrelay.Receipt{}, s.failure(ctx, ctx.Err())
	}
	if err := ctx.Err(); err != nil {
		return auditrelay.Receipt{}, s.failure(ctx, err)
	}
	if auditstore.IsProof(&p) {
		return s.deliverProof(ctx, &p)
	}
	journal, records, err := auditstore.Parse(&p)
	if err != nil {
		return auditrelay.Receipt{}, &auditrelay.DeliveryError{Kind: auditrelay.Refused, Err: fmt.Errorf("store in %s: %w", s.path, err)}
	}
	stored, err := s.put(ctx, journal, records)
	if err != nil {
		// The next delivery starts from the state on disk.
		_ = s.close()
		return auditrelay.Receipt{}, s.failure(ctx, err)
	}
	return auditrelay.Receipt{Location: s.path, Duplicate: stored.Known == len(records)}, nil
}

func (s *Sink) deliverProof(ctx context.Context, p *auditrelay.Payload) (auditrelay.Receipt, error) {
	err := s.reopen(ctx)
	if err == nil {
		err = s.store.PutProof(ctx, p)
	}
	if errors.Is(err, auditrelay.ErrProofGap) {
		return auditrelay.Receipt{}, &auditrelay.DeliveryError{Kind: auditrelay.Refused, Err: fmt.Errorf("store in %s: %w", s.path, err)}
	}
	if err != nil {
		_ = s.close()
		return auditrelay.Receipt{}, s.failure(ctx, err)
	}
	return auditrelay.Receipt{Location: s.path}, nil
}

func (s *Sink) put(ctx context.Context, journal string, records []auditstore.Record) (auditstore.Stored, error) {
	if err := s.reopen(ctx); err != nil {
		return auditstore.Stored{}, err
	}
	return s.store.Put(ctx, journal, records, 0) // an operator may restore an older file
}

// reopen opens the database, unless it is open and the file is still the same.
func (s *Sink) reopen(ctx context.Context) (err error) {
	if s.store != nil {
		// Data written to a file that was moved or replaced would be lost.
		if at, err := os.Stat(s.path); err != nil || !os.SameFile(at, s.file) {
			if err := s.close(); err != nil {
				return err
			}
		}
	}
	if s.store == nil {
		if s.store, err = open(ctx, s.path, writing); err != nil {
			return err
		}
		if s.file, err = os.Stat(s.path); err != nil {
			return err
		}
	}
	return nil
}

// ReadBack implements auditrelay.Reader.
func (s *Sink) ReadBack(ctx context.Context, p auditrelay.Payload, _ auditrelay.Receipt) ([]byte, error) {
	select {
	case <-s.turn:
		defer func() { s.turn <- struct{}{} }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err := s.reopen(ctx); err != nil {
		return nil, s.failure(ctx, err)
	}
	held, err := s.store.ReadBack(ctx, &p)
	if err != nil && !errors.Is(err, auditrelay.ErrMissing) {
		return nil, s.failure(ctx, err)
	}
	return held, err
}

// Probe creates and removes a file in the database's folder.
func (s *Sink) Probe(ctx context.Context) error {
	dir := filepath.Dir(s.path)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: the folder %s does not exist yet; the first delivery creates it", auditrelay.ErrNotChecked, dir)
	}
	f, err := os.CreateTemp(dir, ".auditrelay-probe-*")
	if err != nil {
		return s.failure(ctx, err)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// Close closes the database.
func (s *Sink) Close() error {
	<-s.turn
	defer func() { s.turn <- struct{}{} }()
	return s.close()
}

func (s *Sink) close() error {
	if s.store == nil {
		return nil
	}
	err := s.store.Close()
	s.store, s.file = nil, nil
	return err
}

// failure classifies an error. SQLite's own texts describe the file or a statement and quote no
// value.
func (s *Sink) failure(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		err = ctx.Err() // SQLite only reports that it was interrupted
	}
	kind := auditrelay.Transient
	for _, mendable := range []error{auditstore.ErrVersion, fs.ErrPermission, syscall.EROFS, syscall.ENOTDIR, syscall.EISDIR} {
		if errors.Is(err, mendable) {
			kind = auditrelay.Misconfigured
		}
	}
	if Damaged(err) {
		kind = auditrelay.Misconfigured
		err = fmt.Errorf("%w: move it away with its -wal and -shm files, and fill the store again from the journal (auditrelay store rebuild)", err)
	}
	if code(err) == lib.SQLITE_READONLY || code(err) == lib.SQLITE_PERM || code(err) == lib.SQLITE_CANTOPEN || code(err) == lib.SQLITE_AUTH {
		kind = auditrelay.Misconfigured
	}
	return &auditrelay.DeliveryError{Kind: kind, Err: fmt.Errorf("store in %s: %w", s.path, err)}
}

// Damaged reports whether err says that the file is not a database or is damaged.
func Damaged(err error) bool {
	c := code(err)
	return c == lib.SQLITE_CORRUPT || c == lib.SQLITE_NOTADB
}

// code returns SQLite's primary result code, or 0 if err is not SQLite's.
func code(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code() & 0xff
	}
	return 0
}
