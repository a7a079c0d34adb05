package s3

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"time"

	"auditrelay"
	"auditrelay/cli/internal/sources"
	"auditrelay/config"
)

// defaultListen is the default address of the S3 endpoint.
const defaultListen = "127.0.0.1:8788"

const maxHold = 5 * time.Minute

// Config is the section ingest.s3: the relay as an S3 endpoint for events, for example
// from LiteLLM's s3_v2.
type Config struct {
	// Listen is the address of its own listener, host:port. The option tls applies to it
	// too. Default: 127.0.0.1:8788.
	Listen string `yaml:"listen"`
	// Region is the only region that a signature may name. Default: any.
	Region string `yaml:"region"`
	// Keys are the access keys that sign requests. At least one is required.
	Keys []KeyConfig `yaml:"keys"`
	// Buckets are the only accepted bucket names. Default: any name.
	Buckets []string `yaml:"buckets"`
	// Hold is how long an audit object waits while the relay does not accept events. Then the
	// response is 503, after which older versions of LiteLLM drop the event. Keep it below the
	// producer's timeout. At most 5m. Default: 10s; 0s answers at once.
	Hold *time.Duration `yaml:"hold"`
	// ForwardTo is the bucket for objects that, by name, are not audit events (request
	// logs). They are signed again and written there, and read from there. Default: none;
	// they are rejected.
	ForwardTo *ForwardConfig `yaml:"forward_to"`
	// DiscardOtherObjects responds with 200 for those objects, drops them and counts them. Use
	// it for a LiteLLM that must send its request logs here, and would retry rejected ones
	// forever. It excludes forward_to. Default: false.
	DiscardOtherObjects bool `yaml:"discard_other_objects"`
}

// KeyConfig is one access key with the name of its holder.
type KeyConfig struct {
	// Name is the holder. It is the principal of every event sent with the key.
	Name string `yaml:"name"`
	// AccessKeyID is the id that the producer sends.
	AccessKeyID string `yaml:"access_key_id"`
	// SecretAccessKey signs requests. It needs at least 16 characters, since a shorter one can
	// be found by brute force from one request.
	SecretAccessKey auditrelay.Secret `yaml:"secret_access_key"`
	// Namespace is the scope of the ids of events that are sent with the key: ids of two
	// namespaces never collide. All inputs of one producer, such as one LiteLLM, need the same
	// namespace. Default: litellm.
	Namespace string `yaml:"namespace"`
	// Rate limits what the key's holder may send. Objects above the limit get 503 SlowDown with
	// Retry-After; a LiteLLM before autumn 2026 then loses the event. Default: none.
	Rate config.Rate `yaml:"rate"`
}

// ForwardConfig is the destination of objects that are not audit events.
type ForwardConfig struct {
	// Endpoint is the URL of the store, such as https://minio.example.com. Default: AWS's
	// endpoint for the region, in its partition.
	Endpoint string `yaml:"endpoint"`
	// Region is required.
	Region string `yaml:"region"`
	// Bucket replaces the request's bucket. Set bucket or buckets: holders of a key use it with
	// the relay's credentials.
	Bucket string `yaml:"bucket"`
	// Buckets are the buckets that a request may name, instead of bucket.
	Buckets []string `yaml:"buckets"`
	// Methods are the forwarded methods: any of PUT, GET, HEAD and DELETE. None may touch
	// the places of S3 callbacks. Default: [PUT, GET, HEAD].
	Methods []string `yaml:"methods"`
	// AccessKeyID is the id of the forwarding key. Default: AWS's credential chain.
	AccessKeyID string `yaml:"access_key_id"`
	// SecretAccessKey goes with access_key_id.
	SecretAccessKey auditrelay.Secret `yaml:"secret_access_key"`
	// SessionToken belongs to temporary credentials.
	SessionToken auditrelay.Secret `yaml:"session_token"`
}

// Check checks the section ingest.s3.
func Check(section config.Section, cfg *config.Config) (config.SourceFacts, error) {
	c, err := Read(section)
	facts := config.SourceFacts{Listen: c.Listen, Warnings: map[string]string{}, SendsTo: map[string]string{}}
	host, port, invalid := net.SplitHostPort(c.Listen)
	switch {
	case invalid != nil: // Read reported it
	case c.Listen == cfg.Listen && port != "0":
		err = errors.Join(err, option("listen", "the same address as listen: the S3 endpoint has a listener of its own"))
		facts.Listen = ""
	case !config.Loopback(host) && cfg.TLS.Cert == "":
		facts.Warnings["listen"] = "is an address beyond loopback without tls: events pass in clear text; requests are signed, what they hold is not hidden"
	}
	if f := c.ForwardTo; f != nil && f.Endpoint != "" {
		facts.SendsTo["forward_to.endpoint"] = f.Endpoint
	}
	if err != nil {
		return facts, err
	}
	h, err := New(c.options())
	if err == nil {
		h.Close()
	}
	return facts, err
}

// Read decodes and checks a section without the rest of the configuration.
func Read(section config.Section) (Config, error) {
	var c Config
	err := section.Decode(&c)
	c.Listen = cmp.Or(c.Listen, defaultListen)
	return c, errors.Join(err, c.check())
}

func option(path, format string, args ...any) error {
	return &auditrelay.OptionError{Path: path, Err: fmt.Errorf(format, args...)}
}

// check makes the checks that need more than one option.
func (c *Config) check() error {
	var errs []error
	bad := func(path, format string, args ...any) { errs = append(errs, option(path, format, args...)) }
	_, port, err := net.SplitHostPort(c.Listen)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		bad("listen", "not an address: expected host:port, as in %s", defaultListen)
	}
	if len(c.Keys) == 0 {
		bad("keys", "it is required: at least one access key, {name, access_key_id, secret_access_key}")
	}
	names, ids := map[string]int{}, map[string]int{}
	for i, k := range c.Keys {
		at := fmt.Sprintf("keys[%d].", i)
		for _, part := range []struct {
			key, value string
			taken      map[string]int
		}{{"name", k.Name, names}, {"access_key_id", k.AccessKeyID, ids}} {
			switch first, taken := part.taken[part.value]; {
			case part.value == "":
				bad(at+part.key, "it is required")
			case taken:
				bad(at+part.key, "the same as that of ingest.s3.keys[%d]", first)
			default:
				part.taken[part.value] = i
			}
		}
		if err := config.CheckNamespace(k.Namespace); err != nil {
			bad(at+"namespace", "%w", err)
		}
		if config.Weak(k.SecretAccessKey.Reveal()) {
			bad(at+"secret_access_key", "missing, or it can be guessed from one request that somebody sees: expected at least %d characters by chance; make one with: openssl rand -hex 20", MinSecretBytes)
		}
	}
	for i, b := range c.Buckets {
		if b == "" {
			bad(fmt.Sprintf("buckets[%d]", i), "it must not be empty")
		}
	}
	if h := c.Hold; h != nil && (*h < 0 || *h > maxHold) {
		bad("hold", "out of range: expected 0s to %v", maxHold)
	}
	if f := c.ForwardTo; f != nil {
		f.check(bad)
		if c.DiscardOtherObjects {
			bad("discard_other_objects", "objects that are no audit events are either passed on or dropped: leave out one of discard_other_objects and forward_to")
		}
	}
	return errors.Join(errs...)
}

func (f *ForwardConfig) check(bad func(path, format string, args ...any)) {
	if f.Region == "" {
		bad("forward_to.region", "it is required")
	}
	if (f.Bucket == "") == (len(f.Buckets) == 0) {
		bad("forward_to.bucket", "it or buckets is required, and not both: without, every holder of a key of ingest.s3 would reach every bucket that the relay's credentials reach; "+
			"bucket is where all objects go, buckets lists those that a request may name")
	}
	for i, m := range f.Methods {
		if !slices.Contains([]string{"PUT", "GET", "HEAD", "DELETE"}, m) {
			bad(fmt.Sprintf("forward_to.methods[%d]", i), "expected PUT, GET, HEAD or DELETE")
		}
	}
	if (f.AccessKeyID == "") != (f.SecretAccessKey.Reveal() == "") {
		bad("forward_to.secret_access_key", "access_key_id and secret_access_key go together")
	}
	if f.Endpoint == "" {
		return
	}
	if u, err := url.Parse(f.Endpoint); err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" {
		bad("forward_to.endpoint", "not an endpoint: expected http:// or https:// and a host")
	}
}

// options returns the handler's options.
func (c *Config) options() Options {
	o := Options{Region: c.Region, Buckets: c.Buckets, Hold: DefaultHold, DiscardOther: c.DiscardOtherObjects}
	if c.Hold != nil {
		o.Hold = *c.Hold
	}
	for _, k := range c.Keys {
		o.Keys = append(o.Keys, Key{Name: k.Name, AccessKeyID: k.AccessKeyID, Secret: k.SecretAccessKey, Namespace: k.Namespace, Rates: sources.NewRates(k.Rate)})
	}
	if f := c.ForwardTo; f != nil {
		o.Forward = &Forward{
			Endpoint: f.Endpoint, Region: f.Region, Bucket: f.Bucket, Buckets: f.Buckets, Methods: f.Methods,
			AccessKeyID: f.AccessKeyID, SecretAccessKey: f.SecretAccessKey, SessionToken: f.SessionToken,
		}
	}
	return o
}
