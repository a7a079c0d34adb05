package sentinel

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"

	"auditrelay"
	"auditrelay/builtin/internal/httpsink"
	"auditrelay/builtin/internal/oauth"
)

// Options configure the sink. URL, Rule and Stream are required.
type Options struct {
	// URL is the logs endpoint of the data collection rule or of a data collection endpoint,
	// such as https://NAME.eastus-1.ingest.monitor.azure.com.
	URL string `yaml:"url"`

	// Rule is the immutable id of the data collection rule: dcr- and 32 hexadecimal digits.
	Rule string `yaml:"rule"`

	// Stream is the rule's stream, such as Custom-AuditRelay_CL.
	Stream string `yaml:"stream"`

	// TenantID is the application's directory in Microsoft Entra.
	TenantID string `yaml:"tenant_id"`

	// ClientID is the application's client id. The application needs the role Monitoring
	// Metrics Publisher on the rule. Default: none; Azure's own search is used: AZURE_*
	// variables, workload identity, managed identity.
	ClientID string `yaml:"client_id"`

	// ClientSecret is a secret of the application.
	ClientSecret auditrelay.Secret `yaml:"client_secret"`

	// ClientSecretFile contains the secret. It is read again when it changes.
	ClientSecretFile string `yaml:"client_secret_file"`

	// Authority is the token service, if it is not that of Azure's public cloud. Default:
	// https://login.microsoftonline.com.
	Authority string `yaml:"authority"`

	// Scope is the scope of the tokens, if it is not that of Azure's public cloud. Default:
	// https://monitor.azure.com/.default.
	Scope string `yaml:"scope"`

	// MaxRequestBytes limits a request's body before compression. Default: 950KB, below the
	// service's 1 MB.
	MaxRequestBytes auditrelay.ByteSize `yaml:"max_request_bytes" range:"10KB..1MB"`

	// MaxEvents limits the events of a request. Default: 1000.
	MaxEvents int `yaml:"max_events" range:"1..10000"`

	// HTTP configures the connection. Default of compression: gzip.
	HTTP httpsink.Options `yaml:"http"`
}

func (o Options) withDefaults() Options {
	if o.Authority == "" {
		o.Authority = "https://login.microsoftonline.com"
	}
	if o.Scope == "" {
		o.Scope = "https://monitor.azure.com/.default"
	}
	if o.MaxRequestBytes == 0 {
		o.MaxRequestBytes = 950_000
	}
	if o.MaxEvents == 0 {
		o.MaxEvents = 1000
	}
	o.HTTP = o.HTTP.WithDefaults(httpsink.CompressionGzip)
	return o
}

var (
	ruleForm   = regexp.MustCompile(`^dcr-[0-9a-f]{32}$`)
	streamForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{2,99}$`)
	tenantForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.-]{1,252}$`)
)

func (o Options) check() (*url.URL, oauth.Opener, error) {
	errs := []error{o.HTTP.Check()}
	bad := func(path, format string, args ...any) {
		errs = append(errs, &auditrelay.OptionError{Path: path, Err: fmt.Errorf(format, args...)})
	}
	u, err := o.HTTP.CheckURL("url", o.URL)
	errs = append(errs, err)
	if u != nil && u.RawQuery != "" {
		bad("url", "it has a query: give only the endpoint")
	}
	if !ruleForm.MatchString(o.Rule) {
		bad("rule", "%w", httpsink.Expected(o.Rule, "the rule's immutable id, dcr- and 32 hexadecimal digits"))
	}
	if !streamForm.MatchString(o.Stream) {
		bad("stream", "%w", httpsink.Expected(o.Stream, "the rule's stream, as in Custom-AuditRelay_CL"))
	}
	if o.MaxRequestBytes < 10_000 || o.MaxRequestBytes > 1_000_000 {
		bad("max_request_bytes", "expected 10KB to 1MB")
	}
	if o.MaxEvents < 1 || o.MaxEvents > 10000 {
		bad("max_events", "expected 1 to 10000")
	}
	service, err := o.HTTP.CheckURL("authority", o.Authority)
	errs = append(errs, err)
	if o.ClientID == "" {
		if o.ClientSecret != "" || o.ClientSecretFile != "" || o.TenantID != "" {
			bad("client_id", "it is required with tenant_id and client_secret")
		}
		return u, nil, errors.Join(errs...)
	}
	if !tenantForm.MatchString(o.TenantID) {
		bad("tenant_id", "%w", httpsink.Expected(o.TenantID, "the directory's id or domain"))
	}
	secret, err := httpsink.NewSecret("client_secret", o.ClientSecret, o.ClientSecretFile)
	errs = append(errs, err)
	if err := errors.Join(errs...); err != nil {
		return nil, nil, err
	}
	return u, oauth.Entra(service.JoinPath(o.TenantID, "oauth2", "v2.0", "token").String(), o.ClientID, secret, o.Scope), nil
}
