package pgdial

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"
)

// ServerError is an error from the server. Its text never quotes data.
type ServerError struct {
	Code    string // SQLSTATE
	Message string // empty if the server's message may quote a value
}

func (e *ServerError) Error() string {
	if e.Message == "" {
		return fmt.Sprintf("the server says SQLSTATE %s%s", e.Code, hint(e.Code))
	}
	return fmt.Sprintf("the server says: %s (SQLSTATE %s)%s", e.Message, e.Code, hint(e.Code))
}

func hint(code string) string {
	switch code {
	case "25006":
		return ": it is a standby or read only for now; with several hosts in the URL add target_session_attrs=read-write"
	case "25P03":
		return ": the relay was idle in a transaction for too long"
	case "40001", "40P01":
		return ": another transaction was in the way"
	case "42704":
		return ": the server does not know a parameter of the connection string"
	case "08P01":
		return ": it, or a pooler in front of it, refuses the relay's startup parameters; for PgBouncer see ignore_startup_parameters"
	case "53100":
		return ": its disk is full"
	case "53300":
		return ": it has no connection left"
	case "55P03":
		return ": another session holds a lock"
	case "57014":
		return ": a statement took longer than its statement_timeout, or was cancelled"
	case "57P03":
		return ": it is starting or shutting down"
	}
	return ""
}

// speaking are the SQLSTATE classes whose messages describe the server and its objects and
// never quote values.
var speaking = []string{"08", "25", "28", "3D", "3F", "42", "53", "55", "57"}

// quoting are codes of these classes whose messages quote the connection string.
var quoting = []string{"42704", "08P01"}

func serverError(e *pgconn.PgError) *ServerError {
	out := &ServerError{Code: e.Code}
	if len(e.Code) == 5 && slices.Contains(speaking, e.Code[:2]) && !slices.Contains(quoting, e.Code) {
		out.Message = e.Message
	}
	return out
}

// explained is a failure described in text that is safe to show. It unwraps to what a caller
// may check: a *ServerError, a context error, io.EOF.
type explained struct {
	text  string
	cause error
}

func (e *explained) Error() string { return e.text }
func (e *explained) Unwrap() error { return e.cause }

// Explain describes a failure between this process and the server. The result contains no data
// and nothing of the connection string that could be a password, because it never uses the
// driver's texts. Of an unrecognised error it keeps only the kind. If several hosts were tried,
// it describes the failure of each.
func Explain(err error) error {
	if err == nil {
		return nil
	}
	var all []error
	_, answered := errors.AsType[*pgconn.PgError](err)
	for _, one := range leaves(err) {
		if answered && strings.Contains(one.Error(), refusedTLS) {
			continue // with sslmode=prefer the driver tried again without TLS
		}
		e := explain(one)
		if !slices.ContainsFunc(all, func(before error) bool { return before.Error() == e.Error() }) {
			all = append(all, e)
		}
	}
	switch len(all) {
	case 0:
		return &explained{text: unknown}
	case 1:
		return all[0]
	}
	joined := all[0]
	for _, e := range all[1:] {
		joined = fmt.Errorf("%w; %w", joined, e)
	}
	return joined
}

// leaves returns the errors that err joins.
func leaves(err error) []error {
	for at := err; at != nil; at = errors.Unwrap(at) {
		if joined, ok := at.(interface{ Unwrap() []error }); ok {
			var all []error
			for _, one := range joined.Unwrap() {
				all = append(all, leaves(one)...)
			}
			return all
		}
	}
	return []error{err}
}

// refusedTLS is the driver's text if the server offers no TLS.
const refusedTLS = "server refused TLS connection"

const unknown = "the connection to the server failed"

func explain(err error) error {
	if e, ok := errors.AsType[*ServerError](err); ok {
		return e
	}
	if e, ok := errors.AsType[*explained](err); ok {
		return e
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return serverError(e)
	}
	if errors.Is(err, context.Canceled) {
		return context.Canceled
	}
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		return &explained{text: "the host's name cannot be resolved: " + e.Error()}
	}
	if text := tlsFailure(err); text != "" {
		return &explained{text: text}
	}
	if text := attributes(err); text != "" {
		return &explained{text: text}
	}
	if errors.Is(err, context.DeadlineExceeded) || pgconn.Timeout(err) {
		return &explained{text: "the server did not answer in time: it hangs, cannot be reached, or waits for a lock", cause: context.DeadlineExceeded}
	}
	for _, end := range []error{io.EOF, io.ErrUnexpectedEOF, pgconn.ErrConnClosed, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, end) {
			return &explained{text: "the server closed the connection", cause: io.EOF}
		}
	}
	if e, ok := errors.AsType[*net.OpError](err); ok {
		return &explained{text: e.Error(), cause: err}
	}
	return &explained{text: byText(err.Error())}
}

// attributes describes failures of target_session_attrs.
func attributes(err error) string {
	for known, text := range map[error]string{
		pgconn.ErrReadOnlyConnection:  "it is read only",
		pgconn.ErrReadWriteConnection: "it is not read only",
		pgconn.ErrPrimaryConnection:   "it is the primary",
		pgconn.ErrStandbyConnection:   "it is a standby",
	} {
		if errors.Is(err, known) {
			return "the server does not match target_session_attrs: " + text
		}
	}
	return ""
}

// tlsFailure describes a TLS failure. These errors contain hosts, dates and issuers.
func tlsFailure(err error) string {
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "the server's certificate is not accepted: " + e.Err.Error()
	}
	if e, ok := errors.AsType[x509.HostnameError](err); ok {
		return "the server's certificate is not accepted: " + e.Error()
	}
	if e, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "the server's certificate is not accepted: " + e.Error()
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		return "the server's certificate is not accepted: " + e.Error()
	}
	if e, ok := errors.AsType[tls.AlertError](err); ok {
		return "TLS failed: the server answered " + e.Error()
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "TLS failed: the server does not use it"
	}
	if strings.Contains(err.Error(), refusedTLS) {
		return "TLS failed: the server does not offer TLS, and sslmode requires it"
	}
	return ""
}

// byText recognises errors for which the driver has no type. The result contains nothing of the
// text.
func byText(text string) string {
	for _, known := range []struct{ part, say string }{
		{"channel binding", "the server does not support channel binding, and channel_binding requires it"},
		{"tls:", "TLS failed"},
		{"SCRAM", "the server's proof that it knows the password is wrong, or it requires an unsupported authentication method"},
		{"authentication", "the server requires an authentication method that is not supported or not allowed"},
		{"encode", "a column has an unexpected type: the tables were altered"},
		{"scan", "an answer of the server has an unexpected type: the tables were altered"},
		{"unexpected message", "the server does not use Postgres's protocol"},
		{"message type", "the server does not use Postgres's protocol"},
		{"message length", "the server does not use Postgres's protocol"},
		{"body length", "the server does not use Postgres's protocol"},
		{"bad connection", "the server closed the connection"},
	} {
		if strings.Contains(text, known.part) {
			return known.say
		}
	}
	return unknown
}
