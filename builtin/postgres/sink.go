// Package postgres delivers records to tables of its own in a Postgres database, to be
// searched: the store that the audit API reads.
//
// A delivery is one transaction: it counts once the server has it on disk. Delivering
// again changes nothing, since a record is known by its place in the journal and by its
// id; package auditstore says how. Several relays may write to one store, one at a time.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"auditrelay"
	"auditrelay/internal/auditstore"

	"github.com/jackc/pgx/v5/pgconn"
)

// Sink writes to one database. It is safe for concurrent use, one delivery at a time.
type Sink struct {
	options Options
	place   string
	turn    chan struct{} // holds one token: whose turn it is to use what follows

	store *auditstore.Store // nil while closed
}

var (
	_ auditrelay.Sink     = (*Sink)(nil)
	_ auditrelay.Splitter = (*Sink)(nil)
	_ auditrelay.Prober   = (*Sink)(nil)
	_ io.Closer           = (*Sink)(nil)
)

// New returns a sink for o. It does not connect: that is the first delivery's. The error
// joins an *auditrelay.OptionError for each bad option.
func New(o Options) (*Sink, error) {
	o = o.withDefaults()
	if _, err := o.connection(); err != nil {
		return nil, err
	}
	s := &Sink{options: o, place: o.Place(), turn: make(chan struct{}, 1)}
	s.turn <- struct{}{}
	return s, nil
}

// Render gives payloads of at most 1,000 records.
func (s *Sink) Render(chunk auditrelay.Chunk) ([]auditrelay.Payload, error) {
	return auditstore.Render(chunk)
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
	journal, records, err := auditstore.Parse(&p)
	if err != nil {
		return auditrelay.Receipt{}, &auditrelay.DeliveryError{Kind: auditrelay.Refused, Err: fmt.Errorf("store in %s: %w", s.place, err)}
	}
	if s.store == nil {
		if s.store, err = open(ctx, s.options, writing); err != nil {
			return auditrelay.Receipt{}, s.failure(ctx, err)
		}
	}
	stored, err := s.store.Put(ctx, journal, records)
	if err != nil {
		// The next delivery connects anew, and looks at the tables anew.
		_ = s.close()
		return auditrelay.Receipt{}, s.failure(ctx, err)
	}
	return auditrelay.Receipt{Location: s.place, Duplicate: stored.Known == len(records)}, nil
}

// Probe connects, and makes the tables where they are not there.
func (s *Sink) Probe(ctx context.Context) error {
	store, err := open(ctx, s.options, writing)
	if err != nil {
		return s.failure(ctx, err)
	}
	return store.Close()
}

// Close gives up the connection.
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
	s.store = nil
	return err
}

func (s *Sink) failure(ctx context.Context, err error) error {
	kind := kindOf(err)
	if ctx.Err() != nil {
		kind = auditrelay.Transient
	}
	return &auditrelay.DeliveryError{Kind: kind, Err: fmt.Errorf("store in %s: %w", s.place, plain(ctx, err))}
}

// kindOf classifies by the class of SQLSTATE.
func kindOf(err error) auditrelay.ErrorKind {
	if errors.Is(err, auditstore.ErrVersion) {
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
		return auditrelay.Refused // a value that the server cannot hold: this record's fault
	case e.Code[:2] == "3D", e.Code[:2] == "3F", e.Code[:2] == "42", e.Code == "25006":
		return auditrelay.Misconfigured
	}
	return auditrelay.Transient
}

// plain is an error of the driver's without what could quote a record or a password: the
// server's message is kept where its class speaks of the server alone.
func plain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch class := e.Code[:min(2, len(e.Code))]; class {
		case "08", "28", "3D", "3F", "42", "53", "55", "57", "25":
			return fmt.Errorf("the server says %s (SQLSTATE %s)", e.Message, e.Code)
		}
		return fmt.Errorf("the server says SQLSTATE %s", e.Code)
	}
	for _, known := range []error{auditstore.ErrVersion, io.EOF, io.ErrUnexpectedEOF, context.DeadlineExceeded} {
		if errors.Is(err, known) {
			return known
		}
	}
	if e, ok := errors.AsType[*net.OpError](err); ok {
		return e
	}
	if e, ok := errors.AsType[*auditrelay.OptionError](err); ok {
		return e
	}
	return errors.New("the connection to the server failed")
}
