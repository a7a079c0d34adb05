package secops

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"

	"auditrelay"
	"auditrelay/builtin/internal/httpsink"
)

// Options configure the sink. Project, Location, Instance and LogType are required.
type Options struct {
	// Project is the Google Cloud project, by id or number.
	Project string `yaml:"project"`

	// Location is the instance's region, such as us or europe-west3.
	Location string `yaml:"location"`

	// Instance is the instance's id (the customer id), a UUID.
	Instance string `yaml:"instance"`

	// LogType is the parser's log type, such as UDM or a custom one of the instance.
	LogType string `yaml:"log_type"`

	// Namespace is the environment namespace of the logs. Default: none.
	Namespace string `yaml:"namespace"`

	// Forwarder is the resource name of a forwarder:
	// projects/P/locations/L/instances/I/forwarders/F. Default: none.
	Forwarder string `yaml:"forwarder"`

	// CredentialsFile is a Google credentials file in JSON: a service account's key, or a
	// configuration of workload identity federation. It is read again after a refusal. Default:
	// Google's own search: GOOGLE_APPLICATION_CREDENTIALS, gcloud's file, the metadata service
	// of the machine or pod. The account needs the permission chronicle.logs.import.
	CredentialsFile string `yaml:"credentials_file"`

	// URL is the address of the API with its version, if it is not Google's own. Default:
	// https://chronicle.LOCATION.rep.googleapis.com/v1beta.
	URL string `yaml:"url"`

	// MaxRequestBytes limits the records of a request before base64, which makes them a third
	// larger. A larger record becomes a dead letter. Default: 700KB.
	MaxRequestBytes auditrelay.ByteSize `yaml:"max_request_bytes" range:"10KB..2MB"`

	// MaxEvents limits the events of a request. Default: 1000.
	MaxEvents int `yaml:"max_events" range:"1..10000"`

	// HTTP configures the connection. Default of compression: gzip.
	HTTP httpsink.Options `yaml:"http"`
}

func (o Options) withDefaults() Options {
	if o.URL == "" {
		o.URL = "https://chronicle." + o.Location + ".rep.googleapis.com/v1beta"
	}
	if o.MaxRequestBytes == 0 {
		o.MaxRequestBytes = 700_000
	}
	if o.MaxEvents == 0 {
		o.MaxEvents = 1000
	}
	o.HTTP = o.HTTP.WithDefaults(httpsink.CompressionGzip)
	return o
}

var (
	projectForm   = regexp.MustCompile(`^([0-9]{1,20}|[a-z][a-z0-9-]{4,28}[a-z0-9])$`)
	locationForm  = regexp.MustCompile(`^[a-z][a-z0-9-]{1,38}$`)
	instanceForm  = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	logTypeForm   = regexp.MustCompile(`^[A-Z][A-Z0-9_]{1,99}$`)
	forwarderForm = regexp.MustCompile(`^projects/[^/\s]+/locations/[^/\s]+/instances/[^/\s]+/forwarders/[^/\s]+$`)
	namespaceForm = regexp.MustCompile(`^[A-Za-z0-9._-]{0,99}$`)
)

func (o Options) check() (*url.URL, error) {
	errs := []error{o.HTTP.Check()}
	bad := func(path, format string, args ...any) {
		errs = append(errs, &auditrelay.OptionError{Path: path, Err: fmt.Errorf(format, args...)})
	}
	if !locationForm.MatchString(o.Location) {
		bad("location", "%w", httpsink.Expected(o.Location, "the instance's region, as in us or europe-west3"))
	}
	u, err := o.HTTP.CheckURL("url", o.URL)
	errs = append(errs, err)
	switch {
	case u == nil:
	case u.RawQuery != "":
		bad("url", "it has a query")
	case u.Scheme != "https" && o.CredentialsFile == "":
		bad("url", "tokens from Google's own search need https")
	}
	if !projectForm.MatchString(o.Project) {
		bad("project", "%w", httpsink.Expected(o.Project, "the project's id or number"))
	}
	if !instanceForm.MatchString(o.Instance) {
		bad("instance", "%w", httpsink.Expected(o.Instance, "the instance's id, a UUID in small letters"))
	}
	if !logTypeForm.MatchString(o.LogType) {
		bad("log_type", "%w", httpsink.Expected(o.LogType, "capital letters, digits and _, as the instance lists it"))
	}
	if !namespaceForm.MatchString(o.Namespace) {
		bad("namespace", "expected letters, digits, dots, - and _")
	}
	if o.Forwarder != "" && !forwarderForm.MatchString(o.Forwarder) {
		bad("forwarder", "expected projects/P/locations/L/instances/I/forwarders/F")
	}
	if o.MaxRequestBytes < 10_000 || o.MaxRequestBytes > 2_000_000 {
		bad("max_request_bytes", "expected 10KB to 2MB")
	}
	if o.MaxEvents < 1 || o.MaxEvents > 10000 {
		bad("max_events", "expected 1 to 10000")
	}
	return u, errors.Join(errs...)
}
