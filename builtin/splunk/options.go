package splunk

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"auditrelay"
	"auditrelay/builtin/internal/httpsink"
)

// Options configure the sink. URL and one of Token and TokenFile are required.
type Options struct {
	// URL is the address of the HTTP Event Collector without its path:
	// https://splunk.example:8088.
	URL string `yaml:"url"`

	// Token is the collector's token.
	Token auditrelay.Secret `yaml:"token"`

	// TokenFile contains the token. It is read again when it changes.
	TokenFile string `yaml:"token_file"`

	// Index is the index for the events. Default: the token's.
	Index string `yaml:"index"`

	// Host is the events' host. Default: Splunk sets it.
	Host string `yaml:"host"`

	// Source is the source of the events. Default: auditrelay.
	Source string `yaml:"source"`

	// SourceType is the source type of the events. Default: _json, which is built into Splunk.
	SourceType string `yaml:"sourcetype"`

	// Fields are indexed fields in addition to auditrelay_journal and auditrelay_sequence,
	// which identify an event even if it arrived twice.
	Fields map[string]string `yaml:"fields"`

	// Ack waits for Splunk to confirm that events are indexed, and only then counts them as
	// delivered. The token must have indexer acknowledgement enabled, which Splunk Enterprise
	// supports and Splunk Cloud does not. Default: false; Splunk's status 200 counts as
	// delivery, while the event is in the indexer's memory.
	Ack bool `yaml:"ack"`

	// AckTimeout is how long to wait for an acknowledgement before the events are sent again.
	// Events that were indexed after all are then doubled. Default: 10m.
	AckTimeout time.Duration `yaml:"ack_timeout" range:"30s..24h"`

	// MaxRequestBytes limits a request's body before compression. Default: 1MB, the limit of
	// Splunk Cloud.
	MaxRequestBytes auditrelay.ByteSize `yaml:"max_request_bytes" range:"10KB..32MiB"`

	// MaxEventBytes limits one encoded event. A larger one becomes a dead letter, since Splunk
	// would truncate it. Default: max_request_bytes.
	MaxEventBytes auditrelay.ByteSize `yaml:"max_event_bytes" range:"1KB..32MiB"`

	// HTTP configures the connection. Default of compression: gzip.
	HTTP httpsink.Options `yaml:"http"`
}

func (o Options) withDefaults() Options {
	if o.Source == "" {
		o.Source = "auditrelay"
	}
	if o.SourceType == "" {
		o.SourceType = "_json"
	}
	if o.AckTimeout == 0 {
		o.AckTimeout = 10 * time.Minute
	}
	if o.MaxRequestBytes == 0 {
		o.MaxRequestBytes = 1_000_000
	}
	if o.MaxEventBytes == 0 {
		o.MaxEventBytes = o.MaxRequestBytes
	}
	o.HTTP = o.HTTP.WithDefaults(httpsink.CompressionGzip)
	return o
}

// fieldName is the form of an indexed field's name that Splunk accepts without quotes.
var fieldName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]{0,63}$`)

// check returns the destination. Its error joins an *auditrelay.OptionError for each invalid
// option.
func (o Options) check() (*url.URL, *httpsink.Secret, error) {
	errs := []error{o.HTTP.Check()}
	bad := func(path, format string, args ...any) {
		errs = append(errs, &auditrelay.OptionError{Path: path, Err: fmt.Errorf(format, args...)})
	}
	u, err := o.HTTP.CheckURL("url", o.URL)
	errs = append(errs, err)
	if u != nil && u.RawQuery != "" {
		bad("url", "it has a query: give the token in token")
	}
	if u != nil && strings.HasSuffix(u.Path, collector) {
		bad("url", "leave out %s: the sink adds it", collector)
	}
	token, err := httpsink.NewSecret("token", o.Token, o.TokenFile)
	errs = append(errs, err)
	if o.AckTimeout < 30*time.Second || o.AckTimeout > 24*time.Hour {
		bad("ack_timeout", "expected 30s to 24h")
	}
	if o.MaxRequestBytes < 10_000 || o.MaxRequestBytes > 32<<20 {
		bad("max_request_bytes", "expected 10KB to 32MiB")
	}
	if o.MaxEventBytes < 1_000 || o.MaxEventBytes > o.MaxRequestBytes {
		bad("max_event_bytes", "expected 1KB to max_request_bytes")
	}
	for name := range o.Fields {
		switch {
		case !fieldName.MatchString(name):
			bad("fields."+name, "expected a name of letters, digits, _ and .")
		case strings.HasPrefix(name, "auditrelay_"):
			bad("fields."+name, "names that begin with auditrelay_ are reserved")
		}
	}
	return u, token, errors.Join(errs...)
}
