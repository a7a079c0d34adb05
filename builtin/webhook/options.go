package webhook

import (
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"

	"auditrelay"
	"auditrelay/builtin/internal/httpsink"

	"golang.org/x/net/http/httpguts"
)

// The values of Body.
const (
	BodyEvent  = "event"
	BodyArray  = "array"
	BodyNDJSON = "ndjson"
)

// Options configure the sink. URL is required.
type Options struct {
	// URL that events are posted to.
	URL string `yaml:"url"`

	// Body is event (one event a request), array (a JSON array) or ndjson (an event a
	// line). Default: event, which every receiver can take and tells duplicates apart in.
	Body string `yaml:"body"`

	// ContentType of the requests. Default: application/json, application/x-ndjson for
	// ndjson, and what CloudEvents has for one event (application/cloudevents+json) and for
	// an array (application/cloudevents-batch+json) with format: cloudevents.
	ContentType string `yaml:"content_type"`

	// Secrets sign each request, as Standard Webhooks has it: whsec_ and base64 of 24 to
	// 64 bytes (HMAC-SHA256), or whsk_ and base64 of an Ed25519 private key. Several while
	// one rotates: a request then has a signature by each. Default: none; the requests are
	// not signed.
	Secrets []auditrelay.Secret `yaml:"secrets"`

	// SecretFile holds secrets, one a line; it is read again when it changes.
	SecretFile string `yaml:"secret_file"`

	// Headers are sent with each request, such as Authorization. Their values are secrets.
	Headers map[string]auditrelay.Secret `yaml:"headers"`

	// MaxRequestBytes bounds a request's body before compression; an event that is larger
	// is dead-lettered. Default: 1MiB.
	MaxRequestBytes auditrelay.ByteSize `yaml:"max_request_bytes" range:"1KiB..32MiB"`

	// MaxEvents bounds the events of a request, with array and ndjson. Default: 1000.
	MaxEvents int `yaml:"max_events" range:"1..10000"`

	// HTTP says how to connect. Default of compression: none, since a receiver verifies a
	// signature over the body as it stood before compression, and few undo it.
	HTTP httpsink.Options `yaml:"http"`
}

func (o Options) withDefaults() Options {
	if o.Body == "" {
		o.Body = BodyEvent
	}
	if o.MaxRequestBytes == 0 {
		o.MaxRequestBytes = 1 << 20
	}
	if o.MaxEvents == 0 {
		o.MaxEvents = 1000
	}
	o.HTTP = o.HTTP.WithDefaults(httpsink.CompressionNone)
	return o
}

// contentType of a request whose records are of this media type.
func (o Options) contentType(media string) string {
	array, batches := strings.CutSuffix(media, "cloudevents+json")
	switch {
	case o.ContentType != "":
		return o.ContentType
	case o.Body == BodyNDJSON && media == auditrelay.MediaTypeText:
		return media
	case o.Body == BodyNDJSON:
		return "application/x-ndjson"
	case o.Body == BodyArray && batches:
		return array + "cloudevents-batch+json"
	case o.Body == BodyArray || media == "":
		return "application/json"
	}
	return media
}

// reserved are headers that the sink or the protocol sets.
var reserved = []string{
	"Host", "Content-Type", "Content-Length", "Content-Encoding", "Transfer-Encoding", "Connection", "Te", "Trailer", "Upgrade", "Expect",
	"Keep-Alive", "Proxy-Connection", "Proxy-Authorization", "User-Agent", "Accept-Encoding",
}

func (o Options) check() (*url.URL, error) {
	errs := []error{o.HTTP.Check()}
	bad := func(path, format string, args ...any) {
		errs = append(errs, &auditrelay.OptionError{Path: path, Err: fmt.Errorf(format, args...)})
	}
	u, err := o.HTTP.CheckURL("url", o.URL)
	errs = append(errs, err)
	if !slices.Contains([]string{BodyEvent, BodyArray, BodyNDJSON}, o.Body) {
		bad("body", "expected event, array or ndjson")
	}
	if !httpguts.ValidHeaderFieldValue(o.ContentType) {
		bad("content_type", "not a valid header value")
	}
	if len(o.Secrets) > 0 && o.SecretFile != "" {
		bad("secrets", "secret_file is set too: give one of the two")
	}
	for i, s := range o.Secrets {
		if _, err := newSigner(s.Reveal()); err != nil {
			bad(fmt.Sprintf("secrets[%d]", i), "%w", err)
		}
	}
	for name, value := range o.Headers {
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		switch {
		case !httpguts.ValidHeaderFieldName(name):
			bad("headers."+name, "not a valid header name")
		case slices.Contains(reserved, canonical), strings.HasPrefix(canonical, "Webhook-"):
			bad("headers."+name, "the sink sets this header itself")
		case !httpguts.ValidHeaderFieldValue(value.Reveal()):
			bad("headers."+name, "not a valid header value")
		}
	}
	if o.MaxRequestBytes < 1<<10 || o.MaxRequestBytes > 32<<20 {
		bad("max_request_bytes", "expected 1KiB to 32MiB")
	}
	if o.MaxEvents < 1 || o.MaxEvents > 10_000 {
		bad("max_events", "expected 1 to 10000")
	}
	return u, errors.Join(errs...)
}

// static are the headers of every request.
func (o Options) static() http.Header {
	h := http.Header{}
	for name, value := range o.Headers {
		h.Set(name, value.Reveal())
	}
	return h
}
