package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"auditrelay"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// Forward is the bucket that objects go to that are no audit events.
type Forward struct {
	// Endpoint as in https://minio.example.com. Default: AWS's own in the region.
	Endpoint string
	Region   string // required
	// Bucket, where set, takes the place of the request's.
	Bucket string
	// Keys of its own; without, AWS's chain (environment, shared files, role).
	AccessKeyID                   string
	SecretAccessKey, SessionToken auditrelay.Secret
}

// forwarder sends objects on, signed anew. It keeps nothing: the answer is the
// bucket's.
type forwarder struct {
	to          Forward
	endpoint    *url.URL
	credentials aws.CredentialsProvider
	signer      *v4.Signer
	client      *http.Client
}

const (
	forwardTimeout = time.Minute
	maxAnswer      = 1 << 20
)

func newForwarder(to Forward) (*forwarder, error) {
	if to.Region == "" {
		return nil, &auditrelay.OptionError{Path: "region", Err: errors.New("it is required")}
	}
	if to.Endpoint == "" {
		to.Endpoint = "https://s3." + to.Region + ".amazonaws.com"
	}
	endpoint, err := url.Parse(to.Endpoint)
	if err != nil || (endpoint.Scheme != "https" && endpoint.Scheme != "http") || endpoint.Host == "" || endpoint.User != nil || endpoint.RawQuery != "" {
		return nil, &auditrelay.OptionError{Path: "endpoint", Err: errors.New("not an endpoint: expected http:// or https:// and a host")}
	}
	if (to.AccessKeyID == "") != (to.SecretAccessKey.Reveal() == "") {
		return nil, &auditrelay.OptionError{Path: "secret_access_key", Err: errors.New("access_key_id and secret_access_key go together")}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxConnsPerHost, transport.MaxIdleConnsPerHost = 64, 64
	f := &forwarder{to: to, endpoint: endpoint, client: &http.Client{
		Transport: transport, Timeout: forwardTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	f.signer = v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	if to.AccessKeyID != "" {
		f.credentials = credentials.NewStaticCredentialsProvider(to.AccessKeyID, to.SecretAccessKey.Reveal(), to.SessionToken.Reveal())
		return f, nil
	}
	loaded, err := config.LoadDefaultConfig(context.Background(), config.WithRegion(to.Region))
	if err != nil {
		return nil, fmt.Errorf("forward_to: AWS's own configuration: %w", err)
	}
	f.credentials = loaded.Credentials
	return f, nil
}

// forwardedHead are the headers that belong to the object.
var forwardedHead = []string{
	"Cache-Control", "Content-Disposition", "Content-Language", "Content-Md5", "Content-Type", "Expires", "If-Match", "If-None-Match",
	"X-Amz-Acl", "X-Amz-Expected-Bucket-Owner", "X-Amz-Storage-Class", "X-Amz-Tagging", "X-Amz-Website-Redirect-Location",
}

func isForwarded(name string) bool {
	lower := strings.ToLower(name)
	return slices.Contains(forwardedHead, name) || strings.HasPrefix(lower, "x-amz-meta-") ||
		strings.HasPrefix(lower, "x-amz-server-side-encryption") || strings.HasPrefix(lower, "x-amz-object-lock-") ||
		(strings.HasPrefix(lower, checksumPrefix) && newChecksum(strings.TrimPrefix(lower, checksumPrefix)) != nil)
}

// put sends an object on and its answer back.
func (f *forwarder) put(w http.ResponseWriter, r *request, p *payload) *Error {
	bucket := r.bucket
	if f.to.Bucket != "" {
		bucket = f.to.Bucket
	}
	target := *f.endpoint
	target.Path = strings.TrimSuffix(target.Path, "/") + "/" + bucket + "/" + r.key
	target.RawPath = encode(target.Path, true)
	out, err := http.NewRequestWithContext(r.Context(), http.MethodPut, target.String(), bytes.NewReader(p.data))
	if err != nil {
		return unforwarded(err)
	}
	for name, values := range r.Header {
		if isForwarded(name) {
			out.Header[name] = values
		}
	}
	if p.encoding != "" {
		out.Header.Set("Content-Encoding", p.encoding)
	}
	keys, err := f.credentials.Retrieve(r.Context())
	if err != nil {
		return unforwarded(err)
	}
	digest := sha256Hex(p.data)
	out.Header.Set("X-Amz-Content-Sha256", digest)
	if err := f.signer.SignHTTP(r.Context(), keys, out, digest, "s3", f.to.Region, time.Now()); err != nil {
		return unforwarded(err)
	}
	answer, err := f.client.Do(out)
	if err != nil {
		return unforwarded(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return unforwarded(err)
	}
	if answer.StatusCode/100 != 2 {
		r.upstream = answer.StatusCode
	}
	head := w.Header()
	for name, values := range answer.Header {
		if name == "Etag" || name == "Content-Type" || name == "Retry-After" || strings.HasPrefix(name, "X-Amz-") {
			head[name] = values
		}
	}
	w.WriteHeader(answer.StatusCode)
	_, _ = w.Write(body) // the client is gone; the next request tells
	return nil
}

// unforwarded is the answer where the bucket gave none: it may be sent again.
func unforwarded(err error) *Error {
	// The cause names the URL, and so the key.
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	return &Error{Code: "ServiceUnavailable", Status: http.StatusServiceUnavailable, RetryAfter: retrySoon, Err: err,
		Message: "the bucket that this object is passed on to cannot be reached"}
}
