// Package s3 delivers records to Amazon S3 and to stores with its protocol.
//
// Delivery is at least once and idempotent. The sink writes the sealed bytes under the sealed
// key with If-None-Match. In layout batch the key contains the content's digest, so an existing
// object under that key has the same content. The seal includes type, encoding, checksum and
// metadata. Encryption, lock, class, tags and ACL come from the current configuration, so that
// a corrected option also helps waiting payloads.
package s3

import (
	"context"
	"net"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"auditrelay"
	"auditrelay/builtin/internal/httpsink"

	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Sink writes to one S3 bucket under a prefix. It is safe for concurrent use.
type Sink struct {
	options Options // with defaults filled in
	prefix  string  // empty or ending in "/"
	limiter *httpsink.Limiter
	now     func() time.Time

	compressor compressor

	stale  atomic.Bool // the next request must read the credentials again
	mu     sync.Mutex
	client *s3.Client // nil until the first request, and after a refusal that the credentials may have caused
}

// Place implements auditrelay.Placed. In layout batch a key contains the digest of its content,
// so two callbacks may share a prefix. In layout litellm it contains only the event's id.
func (s *Sink) Place() string {
	if s.options.Layout != LayoutLiteLLM {
		return ""
	}
	return strings.Join([]string{"s3", placeOf(s.options.Endpoint), s.options.Bucket, s.options.Partition, s.prefix}, " ")
}

// awsHost matches an endpoint of AWS itself, which is the same store as an empty endpoint.
var awsHost = regexp.MustCompile(`^s3[a-z0-9.-]*\.amazonaws\.com(?:\.cn)?$`)

// placeOf normalises an endpoint, so that equal stores have equal places as far as this is
// known without a request: it ignores case, default ports, AWS's own names, and names of this
// machine.
func placeOf(endpoint string) string {
	u, err := url.Parse(strings.ToLower(endpoint))
	if err != nil || u.Host == "" {
		return endpoint
	}
	host, port := u.Hostname(), u.Port()
	switch {
	case awsHost.MatchString(host):
		return ""
	case host == "127.0.0.1" || host == "::1":
		host = "localhost"
	}
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(host, port) + strings.TrimRight(u.Path, "/")
}

var (
	_ auditrelay.Placed     = (*Sink)(nil)
	_ auditrelay.Sink       = (*Sink)(nil)
	_ auditrelay.Splitter   = (*Sink)(nil)
	_ auditrelay.Manifester = (*Sink)(nil)
	_ auditrelay.Concurrent = (*Sink)(nil)
	_ auditrelay.Prober     = (*Sink)(nil)
	_ auditrelay.Refresher  = (*Sink)(nil)
	_ auditrelay.Reader     = (*Sink)(nil)
)

// New returns a sink for o. It does no I/O: the first delivery looks up the credentials. The
// error joins an *auditrelay.OptionError for each invalid option.
func New(o Options) (*Sink, error) {
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	s := &Sink{options: o, limiter: httpsink.NewLimiter(o.Concurrency), now: time.Now}
	if prefix := strings.TrimSuffix(o.Prefix, "/"); prefix != "" {
		s.prefix = prefix + "/"
	}
	return s, nil
}

// Concurrency returns the maximum number of parallel puts.
func (s *Sink) Concurrency() int { return s.options.Concurrency }

// connected returns the client, loading the AWS chain if there is none yet.
func (s *Sink) connected(ctx context.Context) (*s3.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client != nil && !s.stale.Load() {
		return s.client, nil
	}
	s.stale.Store(false)
	client, err := connect(ctx, s.options)
	if err != nil {
		return nil, err
	}
	s.client = client
	return client, nil
}

// Refresh makes the next request read the credentials again.
func (s *Sink) Refresh() { s.stale.Store(true) }

// refused classifies a failed request of client. If the credentials may be the cause, the next
// request reads them again. Stores report an unknown key in many ways (403, 404, 400 with a
// special code), so every refusal counts unless its cause is known to be another.
func (s *Sink) refused(ctx context.Context, client *s3.Client, operation, key string, err error) error {
	err = s.failure(ctx, operation, key, err)
	switch auditrelay.KindOf(err) {
	case auditrelay.Unauthorized, auditrelay.Misconfigured:
		s.forget(client)
	}
	return err
}

// forget drops client, so that the next request loads the credentials again.
func (s *Sink) forget(client *s3.Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client == client {
		s.client = nil
	}
}
