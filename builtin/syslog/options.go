package syslog

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"time"

	"auditrelay"
	"auditrelay/builtin/internal/httpsink"
)

// Options configure the sink. Address is required.
type Options struct {
	// Address is the receiver's address, as host:port. The port of syslog over TLS is 6514.
	Address string `yaml:"address"`

	// Plaintext connects without TLS, so that everyone on the path can read the events.
	// Default: false.
	Plaintext bool `yaml:"plaintext"`

	// TLS configures the trusted certificates and the client certificate. Default: the system's
	// roots, no client certificate.
	TLS httpsink.TLS `yaml:"tls"`

	// AllowNetworks lists internal networks to which connections are allowed: loopback,
	// private, or prefixes such as 10.1.0.0/16. Default: none.
	AllowNetworks []string `yaml:"allow_networks"`

	// Hostname is the host name in each message. Default: none (-).
	Hostname string `yaml:"hostname"`

	// AppName is the application name in each message. Default: auditrelay.
	AppName string `yaml:"app_name"`

	// Facility is the facility of the messages. Default: 13, log audit.
	Facility int `yaml:"facility" range:"1..23"`

	// MaxMessageBytes limits one message. A larger record becomes a dead letter, since
	// receivers silently cut longer messages. Default: 8192, which receivers should accept; set
	// it to your receiver's limit.
	MaxMessageBytes auditrelay.ByteSize `yaml:"max_message_bytes" range:"480B..1MiB"`

	// RequestTimeout limits the writing of one payload, including the connection. Default: 30s.
	RequestTimeout time.Duration `yaml:"request_timeout" range:"1s..10m"`
}

func (o Options) withDefaults() Options {
	if o.AppName == "" {
		o.AppName = "auditrelay"
	}
	if o.Hostname == "" {
		o.Hostname = "-"
	}
	if o.Facility == 0 {
		o.Facility = 13
	}
	if o.MaxMessageBytes == 0 {
		o.MaxMessageBytes = 8192
	}
	if o.RequestTimeout == 0 {
		o.RequestTimeout = 30 * time.Second
	}
	return o
}

// The forms of a header's fields in RFC 5424: printable ASCII without a space.
var (
	hostForm = regexp.MustCompile(`^[!-~]{1,255}$`)
	appForm  = regexp.MustCompile(`^[!-~]{1,48}$`)
)

func (o Options) check() error {
	errs := httpsink.CheckStream(o.Plaintext, o.TLS, o.AllowNetworks)
	bad := func(path, format string, args ...any) {
		errs = append(errs, &auditrelay.OptionError{Path: path, Err: fmt.Errorf(format, args...)})
	}
	if host, port, err := net.SplitHostPort(o.Address); err != nil || host == "" || port == "" {
		bad("address", "%w", httpsink.Expected(o.Address, "host:port, as in siem.example:6514"))
	}
	if !hostForm.MatchString(o.Hostname) {
		bad("hostname", "expected at most 255 printable characters of ASCII, without spaces")
	}
	if !appForm.MatchString(o.AppName) {
		bad("app_name", "expected at most 48 printable characters of ASCII, without spaces")
	}
	if o.Facility < 1 || o.Facility > 23 {
		bad("facility", "expected 1 to 23")
	}
	if o.MaxMessageBytes < 480 || o.MaxMessageBytes > 1<<20 {
		bad("max_message_bytes", "expected 480B to 1MiB")
	}
	if o.RequestTimeout < time.Second || o.RequestTimeout > 10*time.Minute {
		bad("request_timeout", "expected 1s to 10m")
	}
	return errors.Join(errs...)
}
