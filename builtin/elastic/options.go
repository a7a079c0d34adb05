package elastic

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"

	"auditrelay"
	"auditrelay/builtin/internal/httpsink"
)

// Options configure the sink. URL and Index are required.
type Options struct {
	// URL is the cluster's address, such as https://elastic.example:9200, with a path if a
	// proxy requires one.
	URL string `yaml:"url"`

	// Index is the data stream or index, such as logs-lite_llm.audit-default.
	Index string `yaml:"index"`

	// Pipeline is the ingest pipeline. Default: the index's own.
	Pipeline string `yaml:"pipeline"`

	// APIKey is the API key in encoded form, as Elasticsearch shows it. Default: none; see
	// username.
	APIKey auditrelay.Secret `yaml:"api_key"`

	// APIKeyFile contains the key. It is read again when it changes.
	APIKeyFile string `yaml:"api_key_file"`

	// Username authenticates at OpenSearch and clusters without API keys, together with
	// password. Default: none.
	Username string `yaml:"username"`

	// Password is the password of username.
	Password auditrelay.Secret `yaml:"password"`

	// PasswordFile contains the password. It is read again when it changes.
	PasswordFile string `yaml:"password_file"`

	// MaxRequestBytes limits a request's body before compression. Default: 5MB; a cluster's own
	// limit is 100 MB.
	MaxRequestBytes auditrelay.ByteSize `yaml:"max_request_bytes" range:"10KB..50MB"`

	// MaxEvents limits the events of a request. Default: 1000.
	MaxEvents int `yaml:"max_events" range:"1..10000"`

	// HTTP configures the connection. Default of compression: gzip.
	HTTP httpsink.Options `yaml:"http"`
}

func (o Options) withDefaults() Options {
	if o.MaxRequestBytes == 0 {
		o.MaxRequestBytes = 5_000_000
	}
	if o.MaxEvents == 0 {
		o.MaxEvents = 1000
	}
	o.HTTP = o.HTTP.WithDefaults(httpsink.CompressionGzip)
	return o
}

// indexForm is the form of an index's name: no upper case, and no character with a meaning in
// URLs or patterns.
var indexForm = regexp.MustCompile(`^[a-z0-9][a-z0-9._+-]{0,254}$`)

// login is the sink's authentication.
type login struct {
	user   string           // empty: secret is a key
	secret *httpsink.Secret // nil: the cluster accepts anonymous clients
}

func (o Options) check() (*url.URL, login, error) {
	errs := []error{o.HTTP.Check()}
	bad := func(path, format string, args ...any) {
		errs = append(errs, &auditrelay.OptionError{Path: path, Err: fmt.Errorf(format, args...)})
	}
	u, err := o.HTTP.CheckURL("url", o.URL)
	errs = append(errs, err)
	if u != nil && u.RawQuery != "" {
		bad("url", "it has a query")
	}
	if !indexForm.MatchString(o.Index) {
		bad("index", "%w", httpsink.Expected(o.Index, "small letters, digits, dots, - and _, as in logs-lite_llm.audit-default"))
	}
	if o.Pipeline != "" && !indexForm.MatchString(o.Pipeline) {
		bad("pipeline", "expected small letters, digits, dots, - and _")
	}
	if o.MaxRequestBytes < 10_000 || o.MaxRequestBytes > 50_000_000 {
		bad("max_request_bytes", "expected 10KB to 50MB")
	}
	if o.MaxEvents < 1 || o.MaxEvents > 10000 {
		bad("max_events", "expected 1 to 10000")
	}
	var l login
	switch key := o.APIKey != "" || o.APIKeyFile != ""; {
	case key && o.Username != "":
		bad("username", "api_key is set too: give one of the two")
	case key:
		l.secret, err = httpsink.NewSecret("api_key", o.APIKey, o.APIKeyFile)
		errs = append(errs, err)
	case o.Username != "":
		l.user = o.Username
		l.secret, err = httpsink.NewSecret("password", o.Password, o.PasswordFile)
		errs = append(errs, err)
	case o.Password != "" || o.PasswordFile != "":
		bad("password", "username is missing")
	}
	return u, l, errors.Join(errs...)
}
