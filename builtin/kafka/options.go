package kafka

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"auditrelay"
	"auditrelay/builtin/internal/httpsink"
	"auditrelay/builtin/kafka/brokers"
)

// Options configure the sink. Brokers and Topic are required.
type Options struct {
	// Brokers are the first brokers to contact, as host:port; they name the others. For Event
	// Hubs: NAMESPACE.servicebus.windows.net:9093.
	Brokers []string `yaml:"brokers"`

	// Topic is the topic for the records; it must exist. For Event Hubs it is the event hub's
	// name.
	Topic string `yaml:"topic"`

	// SASL authenticates the relay. Default: anonymous, or the client certificate's subject.
	SASL brokers.SASL `yaml:"sasl"`

	// Plaintext connects without TLS. Default: false.
	Plaintext bool `yaml:"plaintext"`

	// TLS configures the trusted certificates and the client certificate. Default: the system's
	// roots, no client certificate.
	TLS brokers.TLS `yaml:"tls"`

	// AllowNetworks lists internal networks to which connections are allowed: loopback,
	// private, or prefixes such as 10.1.0.0/16. They also apply to brokers that other brokers
	// name. Default: none.
	AllowNetworks []string `yaml:"allow_networks"`

	// Compression is the compression of batches: none, gzip or zstd. Event Hubs accepts none,
	// or gzip in its upper tiers. Default: none.
	Compression string `yaml:"compression"`

	// MaxRequestBytes limits a batch. A larger record becomes a dead letter. Event Hubs closes
	// the connection at 1046528 bytes. Default: 900KB.
	MaxRequestBytes auditrelay.ByteSize `yaml:"max_request_bytes" range:"10KB..10MB"`

	// RequestTimeout limits one delivery, including its internal retries. Default: 30s.
	RequestTimeout time.Duration `yaml:"request_timeout" range:"1s..10m"`
}

func (o Options) withDefaults() Options {
	if o.Compression == "" {
		o.Compression = httpsink.CompressionNone
	}
	if o.MaxRequestBytes == 0 {
		o.MaxRequestBytes = 900_000
	}
	if o.RequestTimeout == 0 {
		o.RequestTimeout = 30 * time.Second
	}
	return o
}

func (o Options) check() (*brokers.Access, error) {
	var errs []error
	bad := func(path, format string, args ...any) {
		errs = append(errs, &auditrelay.OptionError{Path: path, Err: fmt.Errorf(format, args...)})
	}
	access, err := brokers.Connection{Brokers: o.Brokers, SASL: o.SASL, Plaintext: o.Plaintext, TLS: o.TLS, AllowNetworks: o.AllowNetworks}.Access()
	errs = append(errs, err)
	if !brokers.ValidTopic(o.Topic) {
		bad("topic", "%w", httpsink.Expected(o.Topic, "letters, digits, dots, - and _"))
	}
	if !slices.Contains([]string{httpsink.CompressionNone, httpsink.CompressionGzip, "zstd"}, o.Compression) {
		bad("compression", "expected none, gzip or zstd")
	}
	if o.MaxRequestBytes < 10_000 || o.MaxRequestBytes > 10_000_000 {
		bad("max_request_bytes", "expected 10KB to 10MB")
	}
	if o.RequestTimeout < time.Second || o.RequestTimeout > 10*time.Minute {
		bad("request_timeout", "expected 1s to 10m")
	}
	return access, errors.Join(errs...)
}
