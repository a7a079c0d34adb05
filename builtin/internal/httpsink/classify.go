package httpsink

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"auditrelay"
)

// maxRetryAfter is the maximum pause that a destination can request.
const maxRetryAfter = time.Hour

// Refusal returns the classified failure for an answer, or nil for a 2xx without an HTML page.
// The table of kinds:
//
//	2xx                      delivered; misconfigured for an HTML page, such as a proxy's log-in
//	401, 403, 407            unauthorized: the callback stalls
//	408, 425, 409, 5xx       transient
//	429, 503                 throttled
//	413                      too large: the payload is halved
//	400, 422                 refused: the invalid record is found and dead-lettered; misconfigured
//	                         if a TLS port answers a plain-text request
//	3xx, any other 4xx, 501  misconfigured: the callback stalls, since every record would fail
//	                         alike; redirects are not followed
func (c *Client) Refusal(a Answer) error {
	switch {
	case a.Status >= 200 && a.Status < 300 && !a.html():
		return nil
	case a.Status >= 200 && a.Status < 300:
		what := "the response is an HTML page; is there a proxy or a log-in server?"
		if !bytes.ContainsRune(a.Body, '<') { // some frameworks use that type for every text
			what = "the response has the content type of an HTML page; is there a proxy or a log-in server? A receiver of your own must return 204, or JSON"
		}
		return c.Fail(auditrelay.Misconfigured, a, what)
	case a.Status == http.StatusBadRequest && c.url.Scheme == "http" && wantsTLS.Match(a.Body[:min(len(a.Body), 1024)]):
		return c.Fail(auditrelay.Misconfigured, a, "the port uses TLS: write https in the URL")
	}
	return c.Fail(KindOf(a.Status), a, hints[a.Status])
}

// wantsTLS matches the answers of TLS servers to a plain-text request: of Go, Tomcat, nginx and
// Apache's httpd.
var wantsTLS = regexp.MustCompile(`^(Client sent an HTTP request to an HTTPS server\.` +
	`|Bad Request\s+This combination of host and port requires TLS\.` +
	`|<html>\s*<head><title>400 The plain HTTP request was sent to HTTPS port` +
	`|<!DOCTYPE HTML [^>]*>\s*<html><head>\s*<title>400 Bad Request</title>\s*</head><body>\s*<h1>Bad Request</h1>\s*` +
	`<p>Your browser sent a request that this server could not understand\.<br />\s*Reason: You're speaking plain HTTP)`)

// KindOf returns the kind of a status outside 2xx; see Refusal.
func KindOf(status int) auditrelay.ErrorKind {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired:
		return auditrelay.Unauthorized
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusConflict, http.StatusMisdirectedRequest:
		return auditrelay.Transient
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return auditrelay.Throttled
	case http.StatusRequestEntityTooLarge:
		return auditrelay.TooLarge
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		return auditrelay.Refused
	case http.StatusNotImplemented:
		return auditrelay.Misconfigured
	}
	if status >= 300 && status < 500 {
		return auditrelay.Misconfigured
	}
	return auditrelay.Transient
}

// hints tell the operator what to check.
var hints = map[int]string{
	http.StatusUnauthorized:      "the destination does not know the credentials",
	http.StatusForbidden:         "the credentials lack a permission, or a firewall blocks the request",
	http.StatusProxyAuthRequired: "the proxy requires credentials",
	http.StatusNotFound:          "this path does not exist",
	http.StatusGone:              "the destination no longer exists",
	http.StatusMovedPermanently:  "redirects are not followed: configure the new address",
	http.StatusPermanentRedirect: "redirects are not followed: configure the new address",
	http.StatusTemporaryRedirect: "redirects are not followed: configure the final address",
	http.StatusSeeOther:          "redirects are not followed: is there a log-in server?",
	http.StatusFound:             "redirects are not followed: is there a log-in server?",
}

// Fail returns the classified failure of an answered request.
func (c *Client) Fail(kind auditrelay.ErrorKind, a Answer, what string) error {
	text := fmt.Sprintf("post to %s: status %d", c.Target(), a.Status)
	if what != "" {
		text += ": " + what
	}
	return &auditrelay.DeliveryError{
		Kind: kind, RetryAfter: RetryAfter(a.Header, c.now()), Err: errors.New(text),
		Status: a.Status, Answer: a.words(), Reason: auditrelay.ReasonAnswer,
	}
}

// words returns the beginning of the destination's text; see Hide.
func (a Answer) words() string {
	text := Hide(string(a.Body), a.sent, a.query)
	return text[:min(len(text), auditrelay.MaxAnswer)]
}

// Hide returns a destination's text without the values of the request's headers and URL query:
// some destinations quote them, and they contain credentials.
func Hide(text string, sent http.Header, query string) string {
	hide := func(value string) {
		if len(value) >= shortestSecret {
			text = strings.ReplaceAll(text, value, "[hidden]")
		}
	}
	for parameter := range strings.SplitSeq(query, "&") {
		name, value, named := strings.Cut(parameter, "=")
		if !named {
			value = name
		}
		hide(value)
		if plain, err := url.QueryUnescape(value); err == nil {
			hide(plain)
		}
	}
	for name, values := range sent {
		if name == ContentType || name == ContentEncoding {
			continue
		}
		for _, value := range values {
			if _, credential, ok := strings.Cut(value, " "); ok {
				hide(credential) // Bearer x, Splunk x
			}
			hide(value)
		}
	}
	return text
}

// shortestSecret leaves short values alone. Removing the words of a user agent, for example,
// could blank half of an answer.
const shortestSecret = 8

// Failure classifies the failure of a request without an answer. It returns an already
// classified error unchanged.
func (c *Client) Failure(ctx context.Context, err error) error {
	if d, ok := errors.AsType[*auditrelay.DeliveryError](err); ok {
		return d
	}
	if _, named := errors.AsType[*auditrelay.RecordErrors](err); named {
		return err
	}
	text := fmt.Sprintf("post to %s: ", c.Target())
	if ctx.Err() != nil {
		return &auditrelay.DeliveryError{Reason: auditrelay.ReasonTimeout, Err: fmt.Errorf("%sstopped: %w", text, ctx.Err())}
	}
	kind, reason, status := auditrelay.Transient, auditrelay.ReasonNone, 0
	if cut, ok := errors.AsType[*cutAnswer](err); ok {
		status = cut.status
	}
	refused, ofProxy := errors.AsType[proxyError](err)
	switch {
	case ofProxy:
		kind, reason = refused.kind(), auditrelay.ReasonConnection
	case errors.Is(err, ErrInside):
		kind, reason = auditrelay.Misconfigured, auditrelay.ReasonAddress
	case errors.Is(err, context.DeadlineExceeded):
		reason = auditrelay.ReasonTimeout
	case notTLS(err):
		reason = auditrelay.ReasonTLS
	case longHeaders(err): // it stays so, and the destination may have taken the request
		kind = auditrelay.Misconfigured
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		reason = auditrelay.ReasonConnection
	}
	return &auditrelay.DeliveryError{Kind: kind, Reason: reason, Status: status, Err: fmt.Errorf("%s%w", text, c.unanswered(err))}
}

// unanswered returns why there was no answer, without any content of the request.
func (c *Client) unanswered(err error) error {
	if cut, ok := errors.AsType[*cutAnswer](err); ok {
		what := "was cut off"
		if errors.Is(err, context.DeadlineExceeded) {
			what = fmt.Sprintf("did not end within request_timeout (%v)", c.options.RequestTimeout)
		}
		return fmt.Errorf("status %d, but its body %s", cut.status, what)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no answer within request_timeout (%v)", c.options.RequestTimeout)
	}
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fmt.Errorf("the certificate is not trusted: %w", e.Err)
	}
	if e, ok := errors.AsType[proxyError](err); ok {
		return e
	}
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		return e
	}
	if errors.Is(err, ErrInside) {
		return inner(err)
	}
	if e, ok := errors.AsType[*net.OpError](err); ok {
		return e
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the connection was closed before the answer")
	}
	// net/http has no types for most of these errors, and its texts may quote the answer.
	switch {
	case notTLS(err):
		return errors.New("the server does not use TLS: are the port and https in the URL right?")
	case longHeaders(err):
		return fmt.Errorf("the response's headers are over %d KiB: make the destination send fewer", maxHeaderBytes>>10)
	case strings.Contains(inner(err).Error(), "malformed HTTP"):
		return errors.New("the server does not use HTTP: is the port right?")
	}
	return fmt.Errorf("no valid answer (%T)", inner(err))
}

// longHeaders reports whether an answer's headers exceed maxHeaderBytes. With HTTP/2 this is
// a broken protocol like any other.
func longHeaders(err error) bool {
	return strings.Contains(inner(err).Error(), "server response headers exceeded")
}

// notTLS reports whether a server answered a handshake with another protocol.
func notTLS(err error) bool {
	_, plain := errors.AsType[tls.RecordHeaderError](err)
	return plain || strings.Contains(inner(err).Error(), "server gave HTTP response to HTTPS client")
}

// proxyError is the status with which a proxy refused to connect to the destination.
type proxyError int

func (e proxyError) Error() string {
	text := fmt.Sprintf("the proxy refused to connect to the destination: status %d", int(e))
	switch int(e) {
	case http.StatusProxyAuthRequired:
		text += ": it requires credentials, in the URL of http.proxy or of HTTPS_PROXY"
	case http.StatusForbidden:
		text += ": its rules do not allow the destination"
	}
	return text
}

// kind is like the kind of an answer, except that a proxy's 403 concerns its rules, and a
// refused connection never concerns a record.
func (e proxyError) kind() auditrelay.ErrorKind {
	if e == http.StatusForbidden {
		return auditrelay.Misconfigured
	}
	switch kind := KindOf(int(e)); kind {
	case auditrelay.Refused, auditrelay.TooLarge:
		return auditrelay.Misconfigured
	default:
		return kind
	}
}

// inner returns the error below those that name the request.
func inner(err error) error {
	if e, ok := errors.AsType[*net.OpError](err); ok {
		return e.Err
	}
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}

// RetryAfter returns the pause requested by a header, at most an hour, or 0. A date counts from
// the answer's own date if there is one, since the two clocks may differ.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	text := h.Get("Retry-After")
	if text == "" {
		return 0
	}
	// ParseInt returns the nearest number if the value is out of range.
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		return min(max(0, time.Duration(min(seconds, int64(maxRetryAfter/time.Second)))*time.Second), maxRetryAfter)
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	if theirs, err := http.ParseTime(h.Get("Date")); err == nil {
		now = theirs
	}
	return min(max(0, at.Sub(now)), maxRetryAfter)
}
