package datadog

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"

	"auditrelay"
	"auditrelay/builtin/internal/httpsink"
)

// The values of Time.
const (
	TimeOfEvent   = "event"
	TimeOfArrival = "arrival"
)

// The values of OldEvents.
const (
	OldEventsStall = "stall"
	OldEventsSend  = "send"
)

// Options configure the sink. One of APIKey and APIKeyFile is required.
type Options struct {
	// Site is the account's site, such as datadoghq.eu or us5.datadoghq.com. Default:
	// datadoghq.com.
	Site string `yaml:"site"`

	// URL is the address of the intake if it is not Datadog's own: an agent or a proxy.
	// Default: https://http-intake.logs.SITE.
	URL string `yaml:"url"`

	// APIKey is the account's API key.
	APIKey auditrelay.Secret `yaml:"api_key"`

	// APIKeyFile contains the key. It is read again when it changes.
	APIKeyFile string `yaml:"api_key_file"`

	// Source is the logs' ddsource, which selects Datadog's pipeline. Default: auditrelay.
	Source string `yaml:"source"`

	// Service is the service of the logs. Default: auditrelay.
	Service string `yaml:"service"`

	// Hostname is the host of the logs. Default: none.
	Hostname string `yaml:"hostname"`

	// Tags are the tags of the logs (ddtags), such as env: prod. Default: none.
	Tags map[string]string `yaml:"tags"`

	// Time is the time of a log in Datadog: event (the record's own time) or arrival. Datadog
	// drops logs over 18 hours old without an error. With arrival, no log is old. Default:
	// event.
	Time string `yaml:"time"`

	// OldEvents is the treatment of a payload with an event over 18 hours old, for example
	// after a long outage or in a replay: stall (the callback reports it and waits) or send
	// (Datadog answers 202 and drops it). Default: stall.
	OldEvents string `yaml:"old_events"`

	// MaxRequestBytes limits a request's body before compression. Default: 4250000, below the
	// intake's 5 MB.
	MaxRequestBytes auditrelay.ByteSize `yaml:"max_request_bytes" range:"10KB..5MB"`

	// MaxEvents limits the events of a request. Default: 1000, the intake's limit.
	MaxEvents int `yaml:"max_events" range:"1..1000"`

	// HTTP configures the connection. Default of compression: gzip.
	HTTP httpsink.Options `yaml:"http"`
}

// maxEventBytes is the intake's limit of one log. It truncates a larger log and answers 202, so
// the sink dead-letters it instead.
const maxEventBytes = 1_000_000

func (o Options) withDefaults() Options {
	if o.Site == "" {
		o.Site = "datadoghq.com"
	}
	if o.Source == "" {
		o.Source = "auditrelay"
	}
	if o.Service == "" {
		o.Service = "auditrelay"
	}
	if o.Time == "" {
		o.Time = TimeOfEvent
	}
	if o.OldEvents == "" {
		o.OldEvents = OldEventsStall
	}
	if o.MaxRequestBytes == 0 {
		o.MaxRequestBytes = 4_250_000
	}
	if o.MaxEvents == 0 {
		o.MaxEvents = 1000
	}
	o.HTTP = o.HTTP.WithDefaults(httpsink.CompressionGzip)
	return o
}

var (
	siteForm = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,252}$`)
	tagForm  = regexp.MustCompile(`^[^,:\s][^,\s]{0,198}$`)
)

func (o Options) check() (*url.URL, *httpsink.Secret, error) {
	errs := []error{o.HTTP.Check()}
	bad := func(path, format string, args ...any) {
		errs = append(errs, &auditrelay.OptionError{Path: path, Err: fmt.Errorf(format, args...)})
	}
	target, at := o.URL, "url"
	if target == "" {
		target, at = "https://http-intake.logs."+o.Site, "site"
		if !siteForm.MatchString(o.Site) {
			bad("site", "expected a site such as datadoghq.eu")
		}
	}
	u, err := o.HTTP.CheckURL(at, target)
	errs = append(errs, err)
	if u != nil && u.RawQuery != "" {
		bad("url", "it has a query: give the key in api_key")
	}
	key, err := httpsink.NewSecret("api_key", o.APIKey, o.APIKeyFile)
	errs = append(errs, err)
	if o.Time != TimeOfEvent && o.Time != TimeOfArrival {
		bad("time", "expected event or arrival")
	}
	if o.OldEvents != OldEventsStall && o.OldEvents != OldEventsSend {
		bad("old_events", "expected stall or send")
	}
	if o.MaxRequestBytes < 10_000 || o.MaxRequestBytes > 5_000_000 {
		bad("max_request_bytes", "expected 10KB to 5MB")
	}
	if o.MaxEvents < 1 || o.MaxEvents > 1000 {
		bad("max_events", "expected 1 to 1000")
	}
	for name, value := range o.Tags {
		if !tagForm.MatchString(name) || value != "" && !tagForm.MatchString(value) {
			bad("tags."+name, "a tag must not contain commas or spaces, and its name no colon")
		}
	}
	return u, key, errors.Join(errs...)
}
