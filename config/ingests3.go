package config

import (
	"net"
	"net/url"
	"slices"
	"strconv"
	"time"

	"auditrelay"
)

// defaultS3Listen is where the S3 endpoint is unless it is configured.
const defaultS3Listen = "127.0.0.1:8788"

const maxS3Hold = 5 * time.Minute

// IngestS3 is the relay as an S3 endpoint that takes events: for LiteLLM's s3_v2.
type IngestS3 struct {
	// Listen is the address of its listener, host:port; tls is that of the main one.
	// Default: 127.0.0.1:8788.
	Listen string `yaml:"listen"`
	// Region, where set, is the only one that a signature may name. Default: any.
	Region string `yaml:"region"`
	// Keys are the access keys that requests are signed with, at least one.
	Keys []S3Key `yaml:"keys"`
	// Buckets, where any, are the only ones that are answered for. Default: any name.
	Buckets []string `yaml:"buckets"`
	// Hold is how long an audit object waits while the relay cannot accept, before the
	// answer is 503, which ends an event for LiteLLM's older versions. Keep it below the
	// producer's own timeout. At most 5m. Default: 10s; 0s answers at once.
	Hold *time.Duration `yaml:"hold"`
	// ForwardTo is the bucket to which objects that are no audit events by their name
	// (request logs) are passed on, signed anew, and from which they are read back.
	// Default: none; they are refused.
	ForwardTo *ForwardTo `yaml:"forward_to"`
	// DiscardOtherObjects answers 200 for those objects and drops them, counted: for a
	// LiteLLM that cannot be kept from sending its request logs here, and would send
	// refused ones again for ever. Not with forward_to. Default: false.
	DiscardOtherObjects bool `yaml:"discard_other_objects"`
}

// S3Key is one access key and who holds it.
type S3Key struct {
	// Name is who uses it; it is recorded with every event as the principal.
	Name string `yaml:"name"`
	// AccessKeyID as the producer sends it.
	AccessKeyID string `yaml:"access_key_id"`
	// SecretAccessKey signs; at least 16 characters, since whoever sees one request
	// can try shorter ones out.
	SecretAccessKey auditrelay.Secret `yaml:"secret_access_key"`
}

// ForwardTo is where objects go that are no audit events.
type ForwardTo struct {
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

func (c checker) ingestS3() {
	s := c.Ingest.S3
	if s != nil && s.Listen == "" {
		s.Listen = defaultS3Listen
	}
	c.s3Sinks()
	if s == nil {
		return
	}
	host, port, err := net.SplitHostPort(s.Listen)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	switch {
	case err != nil:
		c.bad(at("ingest", "s3", "listen"), "not an address: expected host:port, as in %s", defaultS3Listen)
	case s.Listen == c.Listen && port != "0":
		c.bad(at("ingest", "s3", "listen"), "the same address as listen: the S3 endpoint has a listener of its own")
	case !loopback(host) && c.TLS.Cert == "":
		c.report.warn(c.in("ingest", "s3", "listen"), "ingest.s3.listen is an address beyond loopback without tls: events pass in clear text; requests are signed, what they hold is not hidden")
	}
	c.s3Keys(s)
	for i, b := range s.Buckets {
		if b == "" {
			c.bad(at("ingest", "s3", "buckets", i), "it must not be empty")
		}
	}
	if h := s.Hold; h != nil && (*h < 0 || *h > maxS3Hold) {
		c.bad(at("ingest", "s3", "hold"), "out of range: expected 0s to %v", maxS3Hold)
	}
	if f := s.ForwardTo; f != nil {
		c.forwardTo(f)
	}
	if c.options.IngestS3 != nil && len(c.report.errs) == 0 {
		if err := c.options.IngestS3(s); err != nil {
			c.report.addError(c.in("ingest", "s3"), "ingest.s3", err)
		}
	}
}

func (c checker) s3Keys(s *IngestS3) {
	if len(s.Keys) == 0 {
		c.bad(at("ingest", "s3", "keys"), "it is required: at least one access key, {name, access_key_id, secret_access_key}")
	}
	names, ids := map[string]int{}, map[string]int{}
	for i, k := range s.Keys {
		for _, part := range []struct {
			key, value string
			taken      map[string]int
		}{{"name", k.Name, names}, {"access_key_id", k.AccessKeyID, ids}} {
			steps := at("ingest", "s3", "keys", i, part.key)
			switch first, taken := part.taken[part.value]; {
			case part.value == "":
				c.bad(steps, "it is required")
			case taken:
				c.bad(steps, "the same as that of ingest.s3.keys[%d]", first)
			default:
				part.taken[part.value] = i
			}
		}
		if value := c.in("ingest", "s3", "keys", i, "secret_access_key"); weak(k.SecretAccessKey.Reveal()) && !(value.given() && value.unset) {
			c.bad(at("ingest", "s3", "keys", i, "secret_access_key"), "missing, or it can be guessed from one request that somebody sees: expected at least 16 characters by chance; make one with: openssl rand -hex 20")
		}
	}
}

func (c checker) forwardTo(f *ForwardTo) {
	if f.Region == "" {
		c.bad(at("ingest", "s3", "forward_to", "region"), "it is required")
	}
	if (f.Bucket == "") == (len(f.Buckets) == 0) {
		c.bad(at("ingest", "s3", "forward_to", "bucket"), "it or buckets is required, and not both: without, whoever holds a key of ingest.s3 would reach every bucket that the relay's credentials reach; "+
			"bucket is where all objects go, buckets lists those that a request may name")
	}
	for i, m := range f.Methods {
		if !slices.Contains([]string{"PUT", "GET", "HEAD", "DELETE"}, m) {
			c.bad(at("ingest", "s3", "forward_to", "methods", i), "expected PUT, GET, HEAD or DELETE")
		}
	}
	if c.Ingest.S3.DiscardOtherObjects {
		c.bad(at("ingest", "s3", "discard_other_objects"), "objects that are no audit events are either passed on or dropped: leave out one of discard_other_objects and forward_to")
	}
	if (f.AccessKeyID == "") != (f.SecretAccessKey.Reveal() == "") {
		c.bad(at("ingest", "s3", "forward_to", "secret_access_key"), "access_key_id and secret_access_key go together")
	}
	if f.Endpoint == "" {
		return
	}
	u, err := url.Parse(f.Endpoint)
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" {
		c.bad(at("ingest", "s3", "forward_to", "endpoint"), "not an endpoint: expected http:// or https:// and a host")
		return
	}
	c.ownEndpoint(at("ingest", "s3", "forward_to", "endpoint"), f.Endpoint)
}

// ownEndpoint refuses an endpoint that is one of this relay's listeners: what is
// delivered there would come in again.
func (c checker) ownEndpoint(steps []any, endpoint string) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Hostname() == "" {
		return // the sink says what is wrong with it
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	own := []struct{ key, address string }{{"listen", c.Listen}}
	if s := c.Ingest.S3; s != nil {
		own = append(own, struct{ key, address string }{"ingest.s3.listen", s.Listen})
	}
	for _, o := range own {
		if host, ours, err := net.SplitHostPort(o.address); err == nil && ours == port && sameHost(u.Hostname(), host, c.options.LookupHost) {
			c.bad(steps, "it is this relay's own listener (%s, %s): give the real bucket's endpoint", o.key, o.address)
			return
		}
	}
}

// s3Sinks looks at the endpoints of the S3 sinks.
func (c checker) s3Sinks() {
	for i := range c.Callbacks {
		steps := at("callbacks", i, "sink", "s3", "endpoint")
		callbacks := c.root.get("callbacks")
		if callbacks == nil || i >= len(callbacks.items) {
			return
		}
		if n := callbacks.items[i].get("sink").get("s3").get("endpoint"); n.given() && n.origin == "" {
			c.ownEndpoint(steps, n.text)
		}
	}
}
