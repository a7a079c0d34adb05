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
	"auditrelay/config"
)

// defaultListen is where the S3 endpoint is unless it is configured.
const defaultListen = "127.0.0.1:8788"

const maxHold = 5 * time.Minute

// Config is the section ingest.s3: the relay as an S3 endpoint that takes events: for LiteLLM's s3_v2.
type Config struct {
	// Listen is the address of its listener, host:port; tls is that of the main one.
	// Default: 127.0.0.1:8788.
	Listen string `yaml:"listen"`
	// Region, where set, is the only one that a signature may name. Default: any.
	Region string `yaml:"region"`
	// Keys are the access keys that requests are signed with, at least one.
	Keys []KeyConfig `yaml:"keys"`
	// Buckets, where any, are the only ones that are answered for. Default: any name.
	Buckets []string `yaml:"buckets"`
	// Hold is how long an audit object waits while the relay cannot accept, before the
	// answer is 503, which ends an event for LiteLLM's older versions. Keep it below the
	// producer's own timeout. At most 5m. Default: 10s; 0s answers at once.
	Hold *time.Duration `yaml:"hold"`
	// ForwardTo is the bucket to which objects that are no audit events by their name
	// (request logs) are passed on, signed anew, and from which they are read back.
	// Default: none; they are refused.
	ForwardTo *ForwardConfig `yaml:"forward_to"`
	// DiscardOtherObjects answers 200 for those objects and drops them, counted: for a
	// LiteLLM that cannot be kept from sending its request logs here, and would send
	// refused ones again for ever. Not with forward_to. Default: false.
	DiscardOtherObjects bool `yaml:"discard_other_objects"`
}

// KeyConfig is one access key and who holds it.
type KeyConfig struct {
	// Name is who uses it; it is recorded with every event as the principal.
	Name string `yaml:"name"`
	// AccessKeyID as the producer sends it.
	AccessKeyID string `yaml:"access_key_id"`
	// SecretAccessKey signs; at least 16 characters, since whoever sees one request
	// can try shorter ones out.
	SecretAccessKey auditrelay.Secret `yaml:"secret_access_key"`
}

// ForwardConfig is where objects go that are no audit events.
type ForwardConfig struct {
	// Endpoint as in https://minio.example.com. Default: AWS's own for the region, in
	// its partition.
	Endpoint string `yaml:"endpoint"`
	// Region is required.
	Region string `yaml:"region"`
	// Bucket takes the place of the request's. It or buckets is required: whoever holds
	// one of the keys acts there with the relay's credentials.
	Bucket string `yaml:"bucket"`
	// Buckets are those that a request may name, in the place of bucket.
	Buckets []string `yaml:"buckets"`
	// Methods that are passed on, of PUT, GET, HEAD and DELETE. The places of S3
	// callbacks are closed to all of them. Default: [PUT, GET, HEAD].
	Methods []string `yaml:"methods"`
	// AccessKeyID of a key of its own. Default: AWS's chain of credentials.
	AccessKeyID string `yaml:"access_key_id"`
	// SecretAccessKey goes with access_key_id.
	SecretAccessKey auditrelay.Secret `yaml:"secret_access_key"`
	// SessionToken of temporary credentials.
	SessionToken auditrelay.Secret `yaml:"session_token"`
}

// Check checks the section ingest.s3.
func Check(section config.Section, cfg *config.Config) (config.SourceFacts, error) {
	c, err := Read(section)
	facts := config.SourceFacts{Listen: c.Listen, Warnings: map[string]string{}, SendsTo: map[string]string{}}
	host, port, invalid := net.SplitHostPort(c.Listen)
	switch {
	case invalid != nil: // told by Read
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

// Read decodes and checks a section by itself.
func Read(section config.Section) (Config, error) {
	var c Config
	err := section.Decode(&c)
	c.Listen = cmp.Or(c.Listen, defaultListen)
	return c, errors.Join(err, c.check())
}

func option(path, format string, args ...any) error {
	return &auditrelay.OptionError{Path: path, Err: fmt.Errorf(format, args...)}
}

// check looks at what no single option shows.
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
		bad("forward_to.bucket", "it or buckets is required, and not both: without, whoever holds a key of ingest.s3 would reach every bucket that the relay's credentials reach; "+
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

// options are the handler's.
func (c *Config) options() Options {
	o := Options{Region: c.Region, Buckets: c.Buckets, Hold: DefaultHold, DiscardOther: c.DiscardOtherObjects}
	if c.Hold != nil {
		o.Hold = *c.Hold
	}
	for _, k := range c.Keys {
		o.Keys = append(o.Keys, Key{Name: k.Name, AccessKeyID: k.AccessKeyID, Secret: k.SecretAccessKey})
	}
	if f := c.ForwardTo; f != nil {
		o.Forward = &Forward{
			Endpoint: f.Endpoint, Region: f.Region, Bucket: f.Bucket, Buckets: f.Buckets, Methods: f.Methods,
			AccessKeyID: f.AccessKeyID, SecretAccessKey: f.SecretAccessKey, SessionToken: f.SessionToken,
		}
	}
	return o
}
