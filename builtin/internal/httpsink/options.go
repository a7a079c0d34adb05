package httpsink

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"auditrelay"

	"golang.org/x/net/idna"
)

// The compressions of a request's body.
const (
	CompressionGzip = "gzip"
	CompressionNone = "none"
)

// The named networks of AllowNetworks.
const (
	NetworkLoopback = "loopback"
	NetworkPrivate  = "private"
)

// Options configure a sink's connection. The zero value means the defaults.
type Options struct {
	// TLS configures the trusted certificates and the client certificate. Default: the system's
	// roots, no client certificate.
	TLS TLS `yaml:"tls"`

	// Proxy is the URL of an HTTP proxy, or none. Default: the variables HTTPS_PROXY,
	// HTTP_PROXY and NO_PROXY. A proxy resolves the destination's name itself, so
	// allow_networks then applies only to addresses in the URL.
	Proxy string `yaml:"proxy"`

	// AllowNetworks lists internal networks to which connections are allowed: loopback, private
	// (10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, fc00::/7), or prefixes such as 10.1.0.0/16.
	// The address that a name resolves to is checked when the connection is made. Default:
	// none, so no URL leads to this machine, its neighbours or a cloud's metadata service.
	AllowNetworks []string `yaml:"allow_networks"`

	// Compression of the body: gzip or none.
	Compression string `yaml:"compression"`

	// Concurrency is the maximum number of simultaneous requests. It is halved when the
	// destination asks for less, and grows again. Default: 4.
	Concurrency int `yaml:"concurrency" range:"1..64"`

	// RequestsPerSecond limits the rate of requests. Default: no limit.
	RequestsPerSecond int `yaml:"requests_per_second" range:"1..100000"`

	// RequestTimeout limits one request, from the connection to the end of the answer. Default:
	// 30s.
	RequestTimeout time.Duration `yaml:"request_timeout" range:"1s..10m"`
}

// TLS are the options of a sink's TLS connections.
type TLS struct {
	// CA is PEM of the certificates to trust instead of the system's: file:/path.
	CA string `yaml:"ca"`

	// CertFile is the file of a client certificate in PEM. Set it together with key_file. Both
	// files are read again for new connections when they change.
	CertFile string `yaml:"cert_file"`

	// KeyFile is the file of the client certificate's key in PEM. See cert_file.
	KeyFile string `yaml:"key_file"`

	// ServerName is the required name in the destination's certificate. Default: the URL's
	// host.
	ServerName string `yaml:"server_name"`

	// InsecureSkipVerify accepts any certificate: an attacker on the path can read the events.
	// Default: false.
	InsecureSkipVerify bool `yaml:"insecure_skip_verify"`
}

// WithDefaults returns o with defaults for unset options. compression is the sink's own
// default.
func (o Options) WithDefaults(compression string) Options {
	if o.Compression == "" {
		o.Compression = compression
	}
	if o.Concurrency == 0 {
		o.Concurrency = 4
	}
	if o.RequestTimeout == 0 {
		o.RequestTimeout = 30 * time.Second
	}
	return o
}

// Relative makes file names relative to the configuration file.
func (o *Options) Relative(path func(string) string) {
	o.TLS.CertFile, o.TLS.KeyFile = path(o.TLS.CertFile), path(o.TLS.KeyFile)
}

// check returns an *auditrelay.OptionError for each invalid option. Paths are relative to the
// option http.
func (o Options) check() (errs []error) {
	bad := func(path, format string, args ...any) {
		errs = append(errs, &auditrelay.OptionError{Path: "http." + path, Err: fmt.Errorf(format, args...)})
	}
	if o.Compression != CompressionGzip && o.Compression != CompressionNone {
		bad("compression", "expected gzip or none")
	}
	if o.Concurrency < 1 || o.Concurrency > 64 {
		bad("concurrency", "expected 1 to 64")
	}
	if o.RequestTimeout < time.Second || o.RequestTimeout > 10*time.Minute {
		bad("request_timeout", "expected 1s to 10m")
	}
	if o.RequestsPerSecond < 0 {
		bad("requests_per_second", "it must not be negative")
	}
	if _, err := o.proxy(); err != nil {
		bad("proxy", "%w", err)
	}
	for i, name := range o.AllowNetworks {
		if _, err := network(name); err != nil {
			bad(fmt.Sprintf("allow_networks[%d]", i), "%w", err)
		}
	}
	if o.TLS.CA != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(o.TLS.CA)) {
		bad("tls.ca", "it contains no PEM certificate; write file:/path for a file's content")
	}
	if (o.TLS.CertFile == "") != (o.TLS.KeyFile == "") {
		bad("tls.cert_file", "cert_file and key_file go together")
	}
	return errs
}

// proxy returns the proxy's URL, or nil if the environment decides.
func (o Options) proxy() (*url.URL, error) {
	if o.Proxy == "" || o.Proxy == "none" {
		return nil, nil
	}
	u, err := url.Parse(o.Proxy)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, errors.New("expected none or a URL such as http://proxy.internal:3128")
	}
	return u, nil
}

// network returns the prefixes of an entry of AllowNetworks.
func network(name string) ([]netip.Prefix, error) {
	switch name {
	case NetworkLoopback:
		return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}, nil
	case NetworkPrivate:
		return []netip.Prefix{
			netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("fc00::/7"),
		}, nil
	}
	p, err := netip.ParsePrefix(name)
	if err != nil || p != p.Masked() {
		return nil, errors.New("expected loopback, private or a prefix such as 10.1.0.0/16")
	}
	return []netip.Prefix{p}, nil
}

// tls returns the TLS configuration of connections.
func (o Options) tls() *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: o.TLS.ServerName, InsecureSkipVerify: o.TLS.InsecureSkipVerify} //nolint:gosec // the operator's choice, documented
	if o.TLS.CA != "" {
		c.RootCAs = x509.NewCertPool()
		c.RootCAs.AppendCertsFromPEM([]byte(o.TLS.CA))
	}
	if o.TLS.CertFile != "" {
		pair := &keyPair{cert: o.TLS.CertFile, key: o.TLS.KeyFile}
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return pair.get() }
	}
	return c
}

// CheckURL checks a destination's URL. path is the path of the option. The result has no
// trailing slash.
func (o Options) CheckURL(path, text string) (*url.URL, error) {
	bad := func(format string, args ...any) (*url.URL, error) {
		return nil, &auditrelay.OptionError{Path: path, Err: fmt.Errorf(format, args...)}
	}
	u, err := url.Parse(strings.TrimSuffix(text, "/"))
	switch {
	case text == "":
		return bad("it is required")
	case err != nil || u.Host == "" || u.Hostname() == "" || (u.Scheme != "http" && u.Scheme != "https"):
		return bad("expected a URL such as https://host/path")
	case u.User != nil:
		return bad("it contains a name or password: use the options for credentials")
	case u.Fragment != "":
		return bad("a fragment is never sent: remove # and the text after it")
	}
	// An address in the URL is refused here. A name is checked when the connection is made.
	guard, _ := newGuard(o.AllowNetworks)
	host := u.Hostname()
	if ascii, err := idna.Lookup.ToASCII(host); err == nil { // as net/http spells it
		host = ascii
	}
	if numeric(host) {
		return bad("a number is not a host name; write an address in its usual form, such as 192.0.2.7")
	}
	if name := strings.ToLower(strings.TrimSuffix(host, ".")); name == "localhost" || strings.HasSuffix(name, ".localhost") {
		host = "127.0.0.1" // RFC 6761
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		if err := guard.check(ip); err != nil {
			return bad("%w", err)
		}
	}
	return u, nil
}

// Expected returns the error of a required option whose value has the wrong form.
func Expected(value, form string) error {
	if value == "" {
		return errors.New("it is required: " + form)
	}
	return errors.New("expected " + form)
}

// numeric reports whether some resolvers read a host as an IPv4 address and others as a name:
// 2130706433, 0x7f000001, 0177.0.0.1, 127.1.
func numeric(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return false
	}
	host = strings.TrimSuffix(host, ".")
	last := host[strings.LastIndexByte(host, '.')+1:]
	if digits, ok := strings.CutPrefix(strings.ToLower(last), "0x"); ok {
		return strings.Trim(digits, "0123456789abcdef") == ""
	}
	return last != "" && strings.Trim(last, "0123456789") == ""
}
