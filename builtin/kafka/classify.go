package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"auditrelay"
	"auditrelay/builtin/kafka/brokers"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// errNoAnswer: nothing was sent yet.
var errNoAnswer = errors.New("no broker answered")

// failure classifies an error. Its text contains nothing of a record.
func (s *Sink) failure(ctx context.Context, err error) error {
	if d, ok := errors.AsType[*auditrelay.DeliveryError](err); ok {
		return d
	}
	text := "produce to " + s.options.Brokers[0] + "/" + s.options.Topic + ": "
	if ctx.Err() != nil {
		return &auditrelay.DeliveryError{Reason: auditrelay.ReasonTimeout, Err: fmt.Errorf("%sstopped: %w", text, ctx.Err())}
	}
	if refused, ok := errors.AsType[*kerr.Error](err); ok {
		return &auditrelay.DeliveryError{Kind: kindOf(refused), Reason: auditrelay.ReasonAnswer, Err: fmt.Errorf("%s%s (%d)", text, refused.Message, refused.Code)}
	}
	kind, reason := auditrelay.Transient, auditrelay.ReasonConnection
	switch {
	case brokers.Inside(err):
		return &auditrelay.DeliveryError{Kind: auditrelay.Misconfigured, Reason: auditrelay.ReasonAddress,
			Err: fmt.Errorf("%sa broker's address is internal: add its network to allow_networks", text)}
	case errors.Is(err, errNoAnswer):
		return &auditrelay.DeliveryError{Kind: kind, Reason: auditrelay.ReasonTimeout,
			Err: fmt.Errorf("%sno broker answered within request_timeout (%v): are the port, and TLS or plaintext, right?", text, s.options.RequestTimeout)}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, kgo.ErrRecordTimeout), errors.Is(err, kgo.ErrRecordRetries):
		return &auditrelay.DeliveryError{Kind: kind, Reason: auditrelay.ReasonTimeout, Err: fmt.Errorf("%sno acknowledgement within request_timeout (%v)", text, s.options.RequestTimeout)}
	}
	if e, ok := errors.AsType[*net.OpError](err); ok {
		return &auditrelay.DeliveryError{Kind: kind, Reason: reason, Err: fmt.Errorf("%s%w", text, e)}
	}
	if brokers.Untrusted(err) {
		return &auditrelay.DeliveryError{Kind: kind, Reason: reason, Err: errors.New(text + "a broker's certificate is not trusted")}
	}
	if what := unusable(err); what != "" {
		return &auditrelay.DeliveryError{Kind: kind, Reason: reason, Err: errors.New(text + what)}
	}
	return &auditrelay.DeliveryError{Kind: kind, Reason: reason, Err: fmt.Errorf("%sno connection to a broker (%T)", text, err)}
}

// kindOf returns the kind of a broker's error. An unknown error is retried, as is an unknown id of
// a topic: the topic was made anew, and the next attempt asks for its id.
func kindOf(e *kerr.Error) auditrelay.ErrorKind {
	switch e {
	case kerr.TopicAuthorizationFailed, kerr.ClusterAuthorizationFailed, kerr.TransactionalIDAuthorizationFailed, kerr.SaslAuthenticationFailed, kerr.UnsupportedSaslMechanism:
		return auditrelay.Unauthorized
	case kerr.MessageTooLarge, kerr.RecordListTooLarge:
		return auditrelay.TooLarge
	case kerr.InvalidRecord:
		return auditrelay.Refused
	case kerr.ThrottlingQuotaExceeded:
		return auditrelay.Throttled
	case kerr.UnknownTopicOrPartition, kerr.InvalidTopicException, kerr.InvalidRequiredAcks, kerr.UnsupportedVersion, kerr.PolicyViolation,
		kerr.InvalidTimestamp, kerr.UnsupportedCompressionType, kerr.UnsupportedForMessageFormat:
		return auditrelay.Misconfigured
	}
	return auditrelay.Transient
}

// unusable returns why a connection that was made could not be used, or "" if err does not say it.
// kgo has no types for most of it.
func unusable(err error) string {
	if _, ok := errors.AsType[*kgo.ErrFirstReadEOF](err); ok {
		return "a broker closed the connection at once: does it expect TLS, or a password (sasl)?"
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "a broker does not speak TLS: name its port for TLS, or set plaintext"
	}
	switch text := err.Error(); {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "a broker closed the connection: are user, password and mechanism right (sasl), and TLS or plaintext?"
	case strings.Contains(text, "beginning of an HTTP response"):
		return "an HTTP server answers there, and no broker: is the port right?"
	case strings.Contains(text, "tls alert record"):
		return "a broker expects TLS: remove plaintext"
	case strings.Contains(text, "invalid large response size"):
		return "what answers there is no broker: is the port right?"
	}
	return ""
}
