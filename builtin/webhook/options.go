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
	// URL is the address to post events to.
	URL string `yaml:"url"`

	// Body is the content of a request: event (one event), array (a JSON array) or ndjson (one
	// event per line). Default: event, which every receiver understands and can deduplicate.
	Body string `yaml:"body"`

	// ContentType is the content type of the requests. Default: application/json;
	// application/x-ndjson for ndjson. With format: cloudevents, application/cloudevents+json
	// for one event and application/cloudevents-batch+json for an array.
	ContentType string `yaml:"content_type"`

	// Secrets are the keys of each request's signatures, according to Standard Webhooks: whsec_
	// and base64 of 24 to 64 bytes (HMAC-SHA256), or whsk_ and base64 of an Ed25519 private
	// key. List several during a rotation: each request then has one signature for each.
	// Default: none; requests are not signed.
	Secrets []auditrelay.Secret `yaml:"secrets"`

	// SecretFile contains secrets, one per line. It is read again when it changes.
	SecretFile string `yaml:"secret_file"`

	// Headers are headers of each request, such as Authorization. Their values are secrets.
	Headers map[string]auditrelay.Secret `yaml:"headers"`

	// MaxRequestBytes limits a request's body before compression. A larger event becomes a dead
	// letter. Default: 1MiB.
	MaxRequestBytes auditrelay.ByteSize `yaml:"max_request_bytes" range:"1KiB..32MiB"`

	// MaxEvents limits the events of a request, with array and ndjson. Default: 1000.
	MaxEvents int `yaml:"max_events" range:"1..10000"`

	// HTTP configures the connection. Default of compression: none, since a receiver verifies
	// the signature over the uncompressed body, and few decompress it.
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

// contentType returns the content type of a request with records of this media type.
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

// static returns the headers of every request.
func (o Options) static() http.Header {
	h := http.Header{}
	for name, value := range o.Headers {
		h.Set(name, value.Reveal())
	}
	return h
}
