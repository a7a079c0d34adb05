package gcs

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"time"

	"auditrelay"
	"auditrelay/builtin/internal/httpsink"
	"auditrelay/builtin/internal/objects"
)

// Options configure the sink. Bucket is required.
type Options struct {
	// Bucket is the bucket's name.
	Bucket string `yaml:"bucket"`

	// Prefix is the prefix of all keys. Default: none.
	Prefix string `yaml:"prefix"`

	// CredentialsFile is a file of Google's in JSON: a service account's key, or the
	// configuration of workload identity federation. The sink reads it again after the store
	// rejected the credentials. Default: Google's own search: GOOGLE_APPLICATION_CREDENTIALS,
	// gcloud's file, the metadata service of the machine or pod.
	CredentialsFile string `yaml:"credentials_file"`

	// Anonymous sends no credentials, for emulators. Default: false.
	Anonymous bool `yaml:"anonymous"`

	// StorageClass is the storage class of the objects, such as NEARLINE. Default: the
	// bucket's.
	StorageClass string `yaml:"storage_class"`

	// KMSKey is the key that encrypts the objects, as in
	// projects/P/locations/L/keyRings/R/cryptoKeys/K. Default: the bucket's.
	KMSKey string `yaml:"kms_key"`

	// MaxObjectBytes limits an object before compression. Default: 64MiB.
	MaxObjectBytes auditrelay.ByteSize `yaml:"max_object_bytes" range:"64KiB..1GiB"`

	// MaxEventAge limits how long before its receipt an event's own time may be. Within this
	// limit and max_event_ahead the event's own time selects the folder, otherwise the hour of
	// receipt does. Default: 720h.
	MaxEventAge time.Duration `yaml:"max_event_age" range:"1h.."`

	// MaxEventAhead is the same limit for a time after the receipt. Default: 24h.
	MaxEventAhead time.Duration `yaml:"max_event_ahead" range:"1m.."`

	// URL is the API's URL if it is not Google's own: an emulator, or a private endpoint.
	// Default: https://storage.googleapis.com.
	URL string `yaml:"url"`

	// HTTP configures the connection. Default of compression: gzip, which compresses the
	// objects; of request_timeout: 1m.
	HTTP httpsink.Options `yaml:"http"`
}

func (o Options) limits() objects.Limits {
	return objects.Limits{MaxObjectBytes: o.MaxObjectBytes, MaxEventAge: o.MaxEventAge, MaxEventAhead: o.MaxEventAhead}
}

func (o Options) withDefaults() Options {
	if o.URL == "" {
		o.URL = "https://storage.googleapis.com"
	}
	l := o.limits().WithDefaults()
	o.MaxObjectBytes, o.MaxEventAge, o.MaxEventAhead = l.MaxObjectBytes, l.MaxEventAge, l.MaxEventAhead
	if o.HTTP.RequestTimeout == 0 {
		o.HTTP.RequestTimeout = time.Minute
	}
	o.HTTP = o.HTTP.WithDefaults(httpsink.CompressionGzip)
	return o
}

var (
	bucketForm = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$`)
	classForm  = regexp.MustCompile(`^[A-Z_]{3,40}$`)
	kmsForm    = regexp.MustCompile(`^projects/[^/\s]+/locations/[^/\s]+/keyRings/[^/\s]+/cryptoKeys/[^/\s]+$`)
)

func (o Options) check() (*url.URL, error) {
	errs := []error{o.HTTP.Check()}
	bad := func(path, format string, args ...any) {
		errs = append(errs, &auditrelay.OptionError{Path: path, Err: fmt.Errorf(format, args...)})
	}
	u, err := o.HTTP.CheckURL("url", o.URL)
	errs = append(errs, err)
	if !bucketForm.MatchString(o.Bucket) {
		bad("bucket", "%w", httpsink.Expected(o.Bucket, "3 to 222 small letters, digits, dots, - and _"))
	}
	if err := objects.CheckPrefix(o.Prefix); err != nil {
		bad("prefix", "%w", err)
	}
	if o.Anonymous && o.CredentialsFile != "" {
		bad("anonymous", "credentials_file is set too: give one of the two")
	}
	if o.StorageClass != "" && !classForm.MatchString(o.StorageClass) {
		bad("storage_class", "expected a class such as NEARLINE")
	}
	if o.KMSKey != "" && !kmsForm.MatchString(o.KMSKey) {
		bad("kms_key", "expected projects/P/locations/L/keyRings/R/cryptoKeys/K")
	}
	o.limits().Check(bad)
	return u, errors.Join(errs...)
}
