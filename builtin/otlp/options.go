package otlp

import (
	"errors"
	"fmt"
	"net/textproto"
	"net/url"
	"slices"
	"strings"

	"auditrelay"
	"auditrelay/builtin/internal/httpsink"

	"golang.org/x/net/http/httpguts"
)

// Options configure the sink. URL is required.
type Options struct {
	// URL is the receiver's URL, as in https://collector.example:4318; the sink appends
	// /v1/logs.
	URL string `yaml:"url"`

	// Token is sent as Authorization: Bearer. Default: none.
	Token auditrelay.Secret `yaml:"token"`

	// TokenFile is a file with the token. The sink reads it again when it changes.
	TokenFile string `yaml:"token_file"`

	// Headers are sent with each request, such as api-key. Their values are secrets.
	Headers map[string]auditrelay.Secret `yaml:"headers"`

	// Service is the resource's service.name. Default: auditrelay.
	Service string `yaml:"service"`

	// Resource has further attributes of the resource, as in deployment.environment: prod.
	Resource map[string]string `yaml:"resource"`

	// MaxRequestBytes limits a request's body before compression. Default: 3MB, below the 4 MiB
	// that receivers accept with gRPC.
	MaxRequestBytes auditrelay.ByteSize `yaml:"max_request_bytes" range:"10KB..50MB"`

	// MaxEvents limits the number of events in a request. Default: 1000.
	MaxEvents int `yaml:"max_events" range:"1..10000"`

	// Isolate sends a payload again in halves if the receiver rejected some of its records,
	// until the rejected ones are alone. OTLP does not name them, so the receiver gets the
	// others twice. Default: false, and every record of such a payload becomes a dead letter.
	Isolate bool `yaml:"isolate"`

	// HTTP configures the connection. Default of compression: gzip.
	HTTP httpsink.Options `yaml:"http"`
}

func (o Options) withDefaults() Options {
	if o.Service == "" {
		o.Service = "auditrelay"
	}
	if o.MaxRequestBytes == 0 {
		o.MaxRequestBytes = 3_000_000
	}
	if o.MaxEvents == 0 {
		o.MaxEvents = 1000
	}
	o.HTTP = o.HTTP.WithDefaults(httpsink.CompressionGzip)
	return o
}

// reserved are the headers that the sink or the protocol sets.
var reserved = []string{"Host", "Content-Type", "Content-Length", "Content-Encoding", "Transfer-Encoding", "Connection", "User-Agent", "Accept-Encoding"}

func (o Options) check() (*url.URL, *httpsink.Secret, error) {
	errs := []error{o.HTTP.Check()}
	bad := func(path, format string, args ...any) {
		errs = append(errs, &auditrelay.OptionError{Path: path, Err: fmt.Errorf(format, args...)})
	}
	u, err := o.HTTP.CheckURL("url", o.URL)
	errs = append(errs, err)
	if u != nil && u.RawQuery != "" {
		bad("url", "it has a query")
	}
	var token *httpsink.Secret
	if o.Token != "" || o.TokenFile != "" {
		token, err = httpsink.NewSecret("token", o.Token, o.TokenFile)
		errs = append(errs, err)
	}
	for name, value := range o.Headers {
		switch canonical := textproto.CanonicalMIMEHeaderKey(name); {
		case !httpguts.ValidHeaderFieldName(name), slices.Contains(reserved, canonical), canonical == "Authorization" && token != nil:
			bad("headers."+name, "not a header name, or the name of a header that the sink sets")
		case !httpguts.ValidHeaderFieldValue(value.Reveal()):
			bad("headers."+name, "its value contains characters that a header must not have")
		}
	}
	for name := range o.Resource {
		if name == "" || name == "service.name" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' }) {
			bad("resource."+name, "expected a name without spaces, other than service.name")
		}
	}
	if o.MaxRequestBytes < 10_000 || o.MaxRequestBytes > 50_000_000 {
		bad("max_request_bytes", "expected 10KB to 50MB")
	}
	if o.MaxEvents < 1 || o.MaxEvents > 10000 {
		bad("max_events", "expected 1 to 10000")
	}
	return u, token, errors.Join(errs...)
}
