// Package postgres delivers records to its own tables in a Postgres database, to be searched:
// the store that the audit API reads.
//
// A delivery is one transaction. It counts once the server has it on disk. Repeating a delivery
// changes nothing, since a record is identified by its place in the journal and by its id; see
// package auditstore. Several relays may write to one store, one at a time.
package postgres

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"

	"auditrelay"
	"auditrelay/internal/auditstore"
	"auditrelay/internal/pgdial"

	"github.com/jackc/pgx/v5/pgconn"
)

// Sink writes to one database. It is safe for concurrent use, but makes one delivery at a time.
type Sink struct {
	options Options
	place   string
	turn    chan struct{} // contains one token; its holder may use the fields below

	store *auditstore.Store // nil while closed
	mark  *mark
}

// Place implements auditrelay.Placed.
func (s *Sink) Place() string {
	if s.place == "" {
		return ""
	}
	c, err := s.options.connection()
	if err != nil {
		return ""
	}
	return "postgres " + pgdial.SamePlace(c) + "/" + s.options.Schema
}

var (
	_ auditrelay.Placed   = (*Sink)(nil)
	_ auditrelay.Sink     = (*Sink)(nil)
	_ auditrelay.Splitter = (*Sink)(nil)
	_ auditrelay.Prover   = (*Sink)(nil)
	_ auditrelay.Prober   = (*Sink)(nil)
	_ auditrelay.Reader   = (*Sink)(nil)
	_ io.Closer           = (*Sink)(nil)
)

// New returns a sink for o. It does not connect; the first delivery does. The error joins an
// *auditrelay.OptionError for each invalid option.
func New(o Options) (*Sink, error) {
	o = o.withDefaults()
	if _, err := o.connection(); err != nil {
		return nil, err
	}
	s := &Sink{options: o, place: o.Place(), turn: make(chan struct{}, 1), mark: newMark(o.Mark)}
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

// Deliver stores the payload's records and returns when they are on the server's disk.
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
		return auditrelay.Receipt{}, &auditrelay.DeliveryError{Kind: auditrelay.Refused, Err: fmt.Errorf("store in %s: %w", s.place, err)}
	}
	if err := s.connect(ctx); err != nil {
		return auditrelay.Receipt{}, err
	}
	stored, err := s.store.Put(ctx, journal, records, s.mark.get(journal))
	if lost, ok := errors.AsType[*auditstore.LostError](err); ok {
		// The loss is reported once and counted in the database. Then deliveries continue.
		if err := s.store.Lost(ctx, lost.Acknowledged-lost.Has); err != nil {
			_ = s.close()
			return auditrelay.Receipt{}, s.failure(ctx, err)
		}
		s.mark.set(journal, lost.Has)
	}
	if err != nil {
		// The next delivery connects again and checks the tables again.
		_ = s.close()
		if suspect(err) && ctx.Err() == nil {
			// If the tables were changed, the record is not at fault.
			store, setup := open(ctx, s.options, writing)
			if own(setup) != nil {
				err = setup
			}
			if setup == nil {
				_ = store.Close()
			}
		}
		return auditrelay.Receipt{}, s.failure(ctx, err)
	}
	s.mark.set(journal, stored.Writes)
	return auditrelay.Receipt{Location: s.place, Duplicate: stored.Known == len(records)}, nil
}

// connect opens the store unless it is open.
func (s *Sink) connect(ctx context.Context) (err error) {
	if s.store != nil {
		return nil
	}
	if s.store, err = open(ctx, s.options, writing); err != nil {
		return s.failure(ctx, err)
	}
	return nil
}

func (s *Sink) deliverProof(ctx context.Context, p *auditrelay.Payload) (auditrelay.Receipt, error) {
	if err := s.connect(ctx); err != nil {
		return auditrelay.Receipt{}, err
	}
	err := s.store.PutProof(ctx, p)
	if errors.Is(err, auditrelay.ErrProofGap) {
		return auditrelay.Receipt{}, &auditrelay.DeliveryError{Kind: auditrelay.Refused, Err: fmt.Errorf("store in %s: %w", s.place, auditrelay.ErrProofGap)}
	}
	if err != nil {
		_ = s.close()
		return auditrelay.Receipt{}, s.failure(ctx, err)
	}
	return auditrelay.Receipt{Location: s.place}, nil
}

// ReadBack implements auditrelay.Reader.
func (s *Sink) ReadBack(ctx context.Context, p auditrelay.Payload, _ auditrelay.Receipt) ([]byte, error) {
	select {
	case <-s.turn:
		defer func() { s.turn <- struct{}{} }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err := s.connect(ctx); err != nil {
		return nil, s.failure(ctx, err)
	}
	held, err := s.store.ReadBack(ctx, &p)
	if err != nil && !errors.Is(err, auditrelay.ErrMissing) {
		return nil, s.failure(ctx, err)
	}
	return held, err
}

// Probe connects, creates missing tables, and runs a transaction like a delivery that stores
// nothing.
func (s *Sink) Probe(ctx context.Context) error {
	store, err := open(ctx, s.options, writing)
	if err != nil {
		return s.failure(ctx, err)
	}
	if err := errors.Join(store.Probe(ctx), store.Close()); err != nil {
		return s.failure(ctx, err)
	}
	return nil
}

// Close closes the connection.
func (s *Sink) Close() error {
	<-s.turn
	defer func() { s.turn <- struct{}{} }()
	s.mark.save()
	return s.close()
}

func (s *Sink) close() error {
	if s.store == nil {
		return nil
	}
	err := s.store.Close()
	s.store = nil
	return err
}

func (s *Sink) failure(ctx context.Context, err error) error {
	kind := kindOf(err)
	if ctx.Err() != nil {
		kind = auditrelay.Transient
		if !errors.Is(err, ctx.Err()) {
			err = fmt.Errorf("%w: %w", ctx.Err(), plain(err))
		}
	}
	return &auditrelay.DeliveryError{Kind: kind, Err: fmt.Errorf("store in %s: %w", s.place, plain(err))}
}

// kindOf classifies an error by the class of its SQLSTATE.
func kindOf(err error) auditrelay.ErrorKind {
	if own(err) != nil {
		return auditrelay.Misconfigured
	}
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || len(e.Code) < 2 {
		return auditrelay.Transient
	}
	switch {
	case e.Code[:2] == "28", e.Code == "42501":
		return auditrelay.Unauthorized
	case e.Code[:2] == "22", e.Code[:2] == "54":
		return auditrelay.Refused // the server cannot store a value of this record
	case e.Code[:2] == "3D", e.Code[:2] == "3F", e.Code[:2] == "42":
		return auditrelay.Misconfigured
	}
	return auditrelay.Transient // includes 25006: the server is currently a standby
}

// suspect reports whether err may come from changed tables: the server or the driver says that
// a value does not fit.
func suspect(err error) bool {
	if _, ok := errors.AsType[*pgconn.PgError](err); ok {
		return kindOf(err) == auditrelay.Refused
	}
	if _, ok := errors.AsType[net.Error](err); ok || own(err) != nil {
		return false
	}
	for _, end := range []error{io.EOF, io.ErrUnexpectedEOF, pgconn.ErrConnClosed, driver.ErrBadConn} {
		if errors.Is(err, end) {
			return false
		}
	}
	return true
}

// own returns err if it is the relay's own error, which quotes nothing, otherwise nil.
func own(err error) error {
	if errors.Is(err, auditstore.ErrVersion) {
		return auditstore.ErrVersion
	}
	if e, ok := errors.AsType[*SetupError](err); ok {
		return e
	}
	if e, ok := errors.AsType[*auditstore.LostError](err); ok {
		return e
	}
	if e, ok := errors.AsType[*auditrelay.OptionError](err); ok {
		return e
	}
	return nil
}

// plain returns an error without text that could quote a record or a password.
func plain(err error) error {
	if e := own(err); e != nil {
		return e
	}
	return pgdial.Explain(err)
}
