package azureblob

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"time"

	"auditrelay"
	"auditrelay/builtin/internal/httpsink"
	"auditrelay/builtin/internal/objects"
)

// Options configure the sink. AccountURL and Container are required.
type Options struct {
	// AccountURL is the storage account's URL, as in https://ACCOUNT.blob.core.windows.net.
	AccountURL string `yaml:"account_url"`

	// Container is the container's name.
	Container string `yaml:"container"`

	// Prefix is the prefix of all blob names. Default: none.
	Prefix string `yaml:"prefix"`

	// AccountKey is a shared key of the account. Default: none; see sas_token.
	AccountKey auditrelay.Secret `yaml:"account_key"`

	// AccountKeyFile is a file with the key. The sink reads it again when it changes.
	AccountKeyFile string `yaml:"account_key_file"`

	// SASToken is a shared access signature with the rights to create, and to write or read.
	// With only the right to create, the store rejects a blob that already exists (403), and
	// the callback stalls. The right to read allows comparing an existing blob. Default: none.
	// Without key and signature the sink uses Azure's own search: AZURE_* variables, workload
	// identity, managed identity.
	SASToken auditrelay.Secret `yaml:"sas_token"`

	// SASTokenFile is a file with the signature. The sink reads it again when it changes.
	SASTokenFile string `yaml:"sas_token_file"`

	// Tier is the access tier of the blobs: Hot, Cool, Cold or Archive. Default: the account's.
	Tier string `yaml:"tier"`

	// MaxObjectBytes limits a blob before compression. Default: 64MiB.
	MaxObjectBytes auditrelay.ByteSize `yaml:"max_object_bytes" range:"64KiB..1GiB"`

	// MaxEventAge limits how long before its receipt an event's own time may be. Within this
	// limit and max_event_ahead the event's own time selects the folder, otherwise the hour of
	// receipt does. Default: 720h.
	MaxEventAge time.Duration `yaml:"max_event_age" range:"1h.."`

	// MaxEventAhead is the same limit for a time after the receipt. Default: 24h.
	MaxEventAhead time.Duration `yaml:"max_event_ahead" range:"1m.."`

	// HTTP configures the connection. Default of compression: gzip, which compresses the blobs;
	// of request_timeout: 1m.
	HTTP httpsink.Options `yaml:"http"`
}

func (o Options) limits() objects.Limits {
	return objects.Limits{MaxObjectBytes: o.MaxObjectBytes, MaxEventAge: o.MaxEventAge, MaxEventAhead: o.MaxEventAhead}
}

func (o Options) withDefaults() Options {
	l := o.limits().WithDefaults()
	o.MaxObjectBytes, o.MaxEventAge, o.MaxEventAhead = l.MaxObjectBytes, l.MaxEventAge, l.MaxEventAhead
	if o.HTTP.RequestTimeout == 0 {
		o.HTTP.RequestTimeout = time.Minute
	}
	o.HTTP = o.HTTP.WithDefaults(httpsink.CompressionGzip)
	return o
}

var (
	containerForm = regexp.MustCompile(`^[a-z0-9](-?[a-z0-9]){2,62}$`)
	tiers         = map[string]bool{"": true, "Hot": true, "Cool": true, "Cold": true, "Archive": true}
)

func (o Options) check() (*url.URL, *secrets, error) {
	errs := []error{o.HTTP.Check()}
	bad := func(path, format string, args ...any) {
		errs = append(errs, &auditrelay.OptionError{Path: path, Err: fmt.Errorf(format, args...)})
	}
	u, err := o.HTTP.CheckURL("account_url", o.AccountURL)
	errs = append(errs, err)
	if u != nil && u.RawQuery != "" {
		bad("account_url", "it has a query: give a signature in sas_token")
	}
	if !containerForm.MatchString(o.Container) {
		bad("container", "%w", httpsink.Expected(o.Container, "3 to 63 small letters and digits, with single - between them"))
	}
	if err := objects.CheckPrefix(o.Prefix); err != nil {
		bad("prefix", "%w", err)
	}
	if !tiers[o.Tier] {
		bad("tier", "expected Hot, Cool, Cold or Archive")
	}
	o.limits().Check(bad)
	s := &secrets{}
	hasKey, hasSAS := o.AccountKey != "" || o.AccountKeyFile != "", o.SASToken != "" || o.SASTokenFile != ""
	switch {
	case hasKey && hasSAS:
		bad("sas_token", "account_key is set too: give one of the two")
	case hasKey:
		s.key, err = httpsink.NewSecret("account_key", o.AccountKey, o.AccountKeyFile)
		errs = append(errs, err)
		if _, wrong := base64.StdEncoding.DecodeString(o.AccountKey.Reveal()); wrong != nil {
			bad("account_key", "expected base64, as the portal shows it")
		}
	case hasSAS:
		s.sas, err = httpsink.NewSecret("sas_token", o.SASToken, o.SASTokenFile)
		errs = append(errs, err)
	case u != nil && u.Scheme != "https":
		bad("account_url", "tokens need https")
	}
	return u, s, errors.Join(errs...)
}
