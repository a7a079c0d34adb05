// Package syslog delivers records as messages of RFC 5424 over TLS (RFC 5425) or TCP, with
// octet counting.
//
// Syslog has no acknowledgement, so delivered has a weak meaning here. On Linux it means that
// the receiver's system acknowledged the bytes with TCP, on a connection that it had not
// closed. On other systems it means that the local system accepted them. If the receiver's
// program ends before it has read a message, the message is lost without an error. After an
// error a payload is sent again, so the receiver may have its records twice. PROCID (the
// journal) and MSGID (the sequence) identify them.
package syslog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"auditrelay"
	"auditrelay/builtin/internal/httpsink"
)

// informational is the severity of every message.
const informational = 6

// maxPayloadBytes limits how much is written between two checks of the connection.
const maxPayloadBytes = 256 << 10

// Sink writes to one receiver. It is safe for concurrent use.
type Sink struct {
	options Options // with defaults filled in
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	packing httpsink.Packing
	known   httpsink.Known

	mu   sync.Mutex // held while a payload is written
	conn *connection
}

var (
	_ auditrelay.Sink     = (*Sink)(nil)
	_ auditrelay.Splitter = (*Sink)(nil)
	_ auditrelay.Prober   = (*Sink)(nil)
)

// New returns a sink for o. It does no I/O. The error joins an *auditrelay.OptionError for each
// invalid option.
func New(o Options) (*Sink, error) {
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	dial, err := httpsink.Dial(o.AllowNetworks)
	if err != nil {
		return nil, err
	}
	return &Sink{options: o, dial: dial, packing: httpsink.Packing{
		ContentType: "text/plain; charset=utf-8", Separator: "\n", Close: "\n", Compression: httpsink.CompressionNone,
		MaxBytes: max(maxPayloadBytes, int(o.MaxMessageBytes)+2), MaxItem: int(o.MaxMessageBytes),
	}}, nil
}

// Render returns payloads with one message a line. Deliver adds the framing.
func (s *Sink) Render(chunk auditrelay.Chunk) ([]auditrelay.Payload, error) {
	items := make([]httpsink.Item, len(chunk.Records))
	for i, r := range chunk.Records {
		items[i].Sequence = r.Sequence
		if len(r.Data) > 0 {
			items[i].Data = s.message(chunk.Journal, r)
		}
	}
	return s.packing.Pack(chunk, items)
}

// message formats a record by RFC 5424: without structured data, with the record as MSG.
func (s *Sink) message(journal string, r auditrelay.Record) []byte {
	at := r.Time
	if r.TimeFrom == auditrelay.TimeMissing || r.TimeFrom == auditrelay.TimeUnreadable || at.UTC().Year() < 1 || at.UTC().Year() > 9999 {
		at = r.Received
	}
	b := make([]byte, 0, len(r.Data)+160)
	b = strconv.AppendInt(append(b, '<'), int64(8*s.options.Facility+informational), 10)
	b = at.UTC().AppendFormat(append(b, ">1 "...), "2006-01-02T15:04:05.000000Z07:00")
	b = append(append(append(b, ' '), s.options.Hostname...), ' ')
	b = append(append(append(b, s.options.AppName...), ' '), field(journal, 128)...)
	b = strconv.AppendUint(append(b, ' '), r.Sequence, 10)
	return append(append(b, " - "...), r.Data...)
}

// field returns a text in the form of a header's field: printable, without spaces, at most n
// bytes.
func field(text string, n int) string {
	b := []byte(text[:min(len(text), n)])
	for i, c := range b {
		if c <= ' ' || c >= 0x7f {
			b[i] = '_'
		}
	}
	if len(b) == 0 {
		return "-"
	}
	return string(b)
}

// Split halves a payload.
func (s *Sink) Split(p auditrelay.Payload) (first, second auditrelay.Payload, err error) {
	return s.packing.Split(p)
}

// Deliver writes one payload's messages.
func (s *Sink) Deliver(ctx context.Context, p auditrelay.Payload) (auditrelay.Receipt, error) {
	receipt := auditrelay.Receipt{Location: "syslog://" + s.options.Address}
	if s.known.Has(p.Key) {
		receipt.Duplicate = true
		return receipt, nil
	}
	attempt, cancel := context.WithTimeout(ctx, s.options.RequestTimeout)
	defer cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.write(attempt, framed(p.Body)); err != nil {
		return auditrelay.Receipt{}, s.failure(ctx, err)
	}
	s.known.Add(p.Key)
	return receipt, nil
}

// framed returns the messages with their lengths, in newly allocated memory.
func framed(body []byte) []byte {
	out := make([]byte, 0, len(body)+len(body)/64+64)
	for line := range bytes.SplitSeq(bytes.TrimSuffix(body, []byte("\n")), []byte("\n")) {
		out = append(strconv.AppendInt(out, int64(len(line)), 10), ' ')
		out = append(out, line...)
	}
	return out
}

// errClosed: the receiver closed the connection, so nothing is written to it.
var errClosed = errors.New("the receiver closed the connection")

// write writes data to the connection. It opens a new one if the receiver closed the last.
// After an error it closes the connection, since it is unknown how much of data arrived.
func (s *Sink) write(ctx context.Context, data []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.conn == nil || s.conn.closed.Load() {
		s.hangUp()
		conn, err := s.connect(ctx)
		if err != nil {
			return err
		}
		s.conn = watch(conn)
	}
	conn := s.conn
	// It may run after the connection is closed.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	_, err := conn.Write(data)
	if err == nil {
		err = acknowledged(ctx, conn.Conn, conn.closed.Load)
	}
	if err == nil && conn.closed.Load() {
		err = errClosed
	}
	if err == nil {
		return nil
	}
	s.hangUp()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func (s *Sink) hangUp() {
	if s.conn != nil {
		s.conn.Close()
		s.conn = nil
	}
}

func (s *Sink) connect(ctx context.Context) (net.Conn, error) {
	conn, err := s.dial(ctx, "tcp", s.options.Address)
	if err != nil || s.options.Plaintext {
		return conn, err
	}
	return httpsink.Handshake(ctx, conn, s.options.TLS, s.options.Address)
}

// connection detects that the receiver closed it. A receiver sends no data.
type connection struct {
	net.Conn
	closed atomic.Bool
}

func watch(conn net.Conn) *connection {
	c := &connection{Conn: conn}
	go func() {
		var room [64]byte
		for {
			if _, err := conn.Read(room[:]); err != nil {
				c.closed.Store(true)
				return
			}
		}
	}()
	return c
}

// failure classifies an error.
func (s *Sink) failure(ctx context.Context, err error) error {
	if d, ok := errors.AsType[*auditrelay.DeliveryError](err); ok {
		return d
	}
	text := "write to " + s.options.Address + ": "
	switch {
	case ctx.Err() != nil:
		return &auditrelay.DeliveryError{Reason: auditrelay.ReasonTimeout, Err: fmt.Errorf("%sstopped: %w", text, ctx.Err())}
	case errors.Is(err, httpsink.ErrInside):
		return &auditrelay.DeliveryError{Kind: auditrelay.Misconfigured, Reason: auditrelay.ReasonAddress,
			Err: errors.New(text + "the address is internal: add its network to allow_networks")}
	case errors.Is(err, httpsink.ErrHandshake):
		return &auditrelay.DeliveryError{Reason: auditrelay.ReasonTLS,
			Err: fmt.Errorf("%s%w within request_timeout (%v): does the receiver use TLS on this port?", text, httpsink.ErrHandshake, s.options.RequestTimeout)}
	case errors.Is(err, context.DeadlineExceeded):
		return &auditrelay.DeliveryError{Reason: auditrelay.ReasonTimeout, Err: fmt.Errorf("%snot accepted within request_timeout (%v)", text, s.options.RequestTimeout)}
	}
	return &auditrelay.DeliveryError{Reason: auditrelay.ReasonConnection, Err: fmt.Errorf("%s%w", text, err)}
}

// Close closes the connection.
func (s *Sink) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hangUp()
	return nil
}

// Probe connects and sends nothing. If it can connect, its error wraps
// auditrelay.ErrNotChecked.
func (s *Sink) Probe(ctx context.Context) error {
	attempt, cancel := context.WithTimeout(ctx, s.options.RequestTimeout)
	defer cancel()
	conn, err := s.connect(attempt)
	if err != nil {
		return s.failure(ctx, err)
	}
	conn.Close()
	return fmt.Errorf("%w: %w", auditrelay.ErrNotChecked, errors.New("the receiver was reached; syslog has no responses, so run auditrelay sink test and check the receiver"))
}
