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
	"strconv"
	"strings"
	"sync"
	"time"

	"auditrelay"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Forward is the bucket for objects that are not audit events. Holders of a key of the endpoint
// use it with the relay's credentials, within these limits.
type Forward struct {
	// Endpoint is the URL of the store, such as https://minio.example.com. Default: AWS's
	// endpoint for the region, in its partition.
	Endpoint string
	Region   string // required
	// Bucket replaces the request's bucket. Bucket or Buckets is required.
	Bucket string
	// Buckets are the buckets that a request may name.
	Buckets []string
	// Methods are the forwarded methods: any of PUT, GET, HEAD and DELETE. Default:
	// DefaultMethods.
	Methods []string
	// Reserved are the places of callbacks. No request is forwarded to them.
	Reserved []Place
	// AccessKeyID, SecretAccessKey and SessionToken are the credentials. Default: AWS's
	// chain (environment, shared files, role), read again after a rejection that they may
	// have caused.
	AccessKeyID                   string
	SecretAccessKey, SessionToken auditrelay.Secret
}

// Place is where a callback delivers: a bucket, or a prefix in it.
type Place struct{ Callback, Bucket, Prefix string }

// Holds reports whether an object is in the place, or may be in it: an access point does not
// say which bucket it belongs to. It ignores empty path segments, since file-system stores drop
// them.
func (p Place) Holds(bucket, key string) bool {
	prefix := plainPath(p.Prefix)
	key = plainPath(key)
	return p.mayShare(bucket) && (prefix == "" || key == prefix || strings.HasPrefix(key, prefix+"/"))
}

// accessPoints are the suffixes of access points' aliases: of S3 and FSx, Object Lambda and
// Outposts (Amazon S3 User Guide, "Referencing access points", read in 2026).
var accessPoints = []string{"s3alias", "--ol-s3", "--op-s3"}

// mayShare reports whether bucket is, or may be, the place's bucket.
func (p Place) mayShare(bucket string) bool {
	return bucket == p.Bucket || accessPoint(bucket) || accessPoint(p.Bucket)
}

// accessPoint reports whether a bucket's name is that of an access point, by ARN or alias.
func accessPoint(name string) bool {
	return strings.HasPrefix(name, "arn:") || slices.ContainsFunc(accessPoints, func(end string) bool { return strings.HasSuffix(name, end) })
}

func plainPath(key string) string {
	return strings.Join(slices.DeleteFunc(strings.Split(key, "/"), func(s string) bool { return s == "" }), "/")
}

// DefaultMethods are the methods for writing objects and reading them.
var DefaultMethods = []string{http.MethodPut, http.MethodGet, http.MethodHead}

// forwarder signs requests again and forwards them. It stores nothing; the bucket responds.
type forwarder struct {
	h        *Handler
	to       Forward
	endpoint *url.URL
	signer   *v4.Signer
	client   *http.Client

	mu   sync.Mutex
	keys aws.CredentialsProvider // nil until the first request, and after a rejection
}

const (
	// forwardPatience is the maximum time for the bucket's headers, for each piece of a
	// response, and for a client to read a piece.
	forwardPatience = time.Minute
	// maxForwardBytes is S3's own limit of one put.
	maxForwardBytes = 5 << 30
)

func newForwarder(to Forward, h *Handler) (*forwarder, error) {
	option := func(path, message string) error {
		return &auditrelay.OptionError{Path: "forward_to." + path, Err: errors.New(message)}
	}
	switch {
	case to.Region == "":
		return nil, option("region", "it is required")
	case (to.Bucket == "") == (len(to.Buckets) == 0):
		return nil, option("bucket", "name the bucket that objects are passed on to, or under buckets those that a request may name; "+
			"without, every holder of a key of ingest.s3 reaches every bucket that the relay's credentials reach")
	case (to.AccessKeyID == "") != (to.SecretAccessKey.Reveal() == ""):
		return nil, option("secret_access_key", "access_key_id and secret_access_key go together")
	}
	if len(to.Methods) == 0 {
		to.Methods = DefaultMethods
	}
	for _, m := range to.Methods {
		if !slices.Contains(append(slices.Clone(DefaultMethods), http.MethodDelete), m) {
			return nil, option("methods", "expected some of PUT, GET, HEAD and DELETE")
		}
	}
	endpoint, err := forwardEndpoint(to)
	if err != nil {
		return nil, option("endpoint", err.Error())
	}
	for _, b := range append(slices.Clone(to.Buckets), to.Bucket) {
		for _, p := range to.Reserved {
			if b != "" && p.Holds(b, "") {
				return nil, option("bucket", fmt.Sprintf("callback %s delivers to the whole of bucket %s: an object passed on could overwrite what it delivered; give the callback a prefix, or forward to another bucket", p.Callback, b))
			}
		}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxConnsPerHost, transport.MaxIdleConnsPerHost = 64, 64
	transport.ResponseHeaderTimeout = forwardPatience
	transport.DisableCompression = true // objects are forwarded unchanged
	return &forwarder{h: h, to: to, endpoint: endpoint, signer: v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }),
		client: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}, nil
}

// forwardEndpoint returns the URL under which buckets are folders.
func forwardEndpoint(to Forward) (*url.URL, error) {
	if to.Endpoint == "" {
		// AWS's partitions have their own domains.
		resolved, err := s3.NewDefaultEndpointResolverV2().ResolveEndpoint(context.Background(), s3.EndpointParameters{
			Region: aws.String(to.Region), ForcePathStyle: aws.Bool(true),
		})
		if err != nil {
			return nil, fmt.Errorf("AWS has none for the region; name one: %w", err)
		}
		return &resolved.URI, nil
	}
	u, err := url.Parse(to.Endpoint)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil || u.RawQuery != "" {
		return nil, errors.New("not an endpoint: expected http:// or https:// and a host")
	}
	return u, nil
}

// credentials returns the credentials to sign with.
func (f *forwarder) credentials(ctx context.Context) (aws.Credentials, error) {
	f.mu.Lock()
	keys := f.keys
	f.mu.Unlock()
	if keys == nil {
		if f.to.AccessKeyID != "" {
			keys = credentials.NewStaticCredentialsProvider(f.to.AccessKeyID, f.to.SecretAccessKey.Reveal(), f.to.SessionToken.Reveal())
		} else {
			loaded, err := config.LoadDefaultConfig(ctx, config.WithRegion(f.to.Region))
			if err != nil {
				return aws.Credentials{}, fmt.Errorf("AWS's own configuration: %w", err)
			}
			keys = loaded.Credentials
		}
		f.mu.Lock()
		f.keys = keys
		f.mu.Unlock()
	}
	return keys.Retrieve(ctx)
}

// serve forwards a request for an object.
func (f *forwarder) serve(w http.ResponseWriter, r *request) *Error {
	r.operation = opForward
	if fault := f.allowed(r); fault != nil {
		return f.counted(r, fault)
	}
	if r.signed.method != http.MethodPut {
		return f.counted(r, f.pass(w, r, http.NoBody, 0, sha256Hex(nil)))
	}
	if size := r.ContentLength; size >= 0 && isDigest(r.signed.payload) {
		if size > maxForwardBytes {
			return f.counted(r, fail("EntityTooLarge", "the object is larger than one put may be"))
		}
		body := &verifiedBody{from: r.Body, left: size, want: r.signed.payload}
		if size == 0 && r.signed.payload != sha256Hex(nil) {
			return f.counted(r, errDigest())
		}
		fault := f.pass(w, r, body, size, r.signed.payload)
		if body.fault != nil && r.upstream == 0 {
			fault = body.fault
		}
		return f.counted(r, fault)
	}
	p, fault := f.h.readPayload(r.Request, r.signed)
	if fault != nil {
		return f.counted(r, fault)
	}
	defer p.release()
	return f.putPayload(w, r, p)
}

// list forwards a listing, unless a callback delivers to the bucket: the listing would show its
// objects.
func (f *forwarder) list(w http.ResponseWriter, r *request) *Error {
	r.operation = opForward
	if fault := f.allowed(r); fault != nil {
		return f.counted(r, fault)
	}
	for _, p := range f.to.Reserved {
		if p.mayShare(f.bucket(r)) {
			return f.counted(r, fail("AccessDenied", "callback "+p.Callback+" delivers into this bucket: its list is not passed on"))
		}
	}
	return f.counted(r, f.pass(w, r, http.NoBody, 0, sha256Hex(nil)))
}

// put forwards an object that was already read.
func (f *forwarder) put(w http.ResponseWriter, r *request, p *payload) *Error {
	if fault := f.allowed(r); fault != nil {
		return f.counted(r, fault)
	}
	return f.putPayload(w, r, p)
}

func (f *forwarder) putPayload(w http.ResponseWriter, r *request, p *payload) *Error {
	return f.counted(r, f.pass(w, r, bytes.NewReader(p.data), int64(len(p.data)), sha256Hex(p.data)))
}

// counted counts the result of a request, under the key that signed it.
func (f *forwarder) counted(r *request, fault *Error) *Error {
	result := "2xx"
	switch {
	case fault != nil:
		result = fault.Code
	case r.upstream != 0:
		result = strconv.Itoa(r.upstream/100) + "xx"
	}
	f.h.counts.forwarded(Forwarded{Key: r.signed.key.Name, Method: r.signed.method, Result: result})
	f.h.log.Debug("S3 request passed on", "key", r.signed.key.Name, "method", r.signed.method, "bucket", f.bucket(r), "result", result)
	return fault
}

func (f *forwarder) bucket(r *request) string {
	if f.to.Bucket != "" {
		return f.to.Bucket
	}
	return r.bucket
}

// pass forwards the request and returns the bucket's response.
func (f *forwarder) pass(w http.ResponseWriter, r *request, body io.Reader, size int64, digest string) *Error {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	target := *f.endpoint
	target.Path = strings.TrimSuffix(target.Path, "/") + "/" + f.bucket(r)
	if r.key != "" {
		target.Path += "/" + r.key
	}
	target.RawPath = encode(target.Path, true)
	target.RawQuery = canonicalQuery(forwardedQuery(r.signed.query))
	out, err := http.NewRequestWithContext(ctx, r.signed.method, target.String(), body)
	if err != nil {
		return unforwarded(err)
	}
	if out.ContentLength = size; size == 0 {
		out.Body = http.NoBody
	}
	forwardHead(out, r)
	keys, err := f.credentials(ctx)
	if err != nil {
		return unforwarded(err)
	}
	out.Header.Set("X-Amz-Content-Sha256", digest)
	if err := f.signer.SignHTTP(ctx, keys, out, digest, "s3", f.to.Region, f.h.now()); err != nil {
		return unforwarded(err)
	}
	answer, err := f.client.Do(out)
	if err != nil {
		return unforwarded(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode/100 != 2 && answer.StatusCode != http.StatusNotModified {
		r.upstream = answer.StatusCode
		f.refused(answer.StatusCode)
	}
	answerHead(w.Header(), answer)
	w.WriteHeader(answer.StatusCode)
	if r.Method != http.MethodHead && !relayBody(w, answer.Body, cancel) {
		_ = f.counted(r, fail("InternalError", "the bucket's answer broke off"))
		panic(http.ErrAbortHandler) // only a broken connection tells the client that the response is incomplete
	}
	return nil
}

// refused makes the next request read the credentials again if they may have caused the
// response.
func (f *forwarder) refused(status int) {
	if status >= 300 && status < 500 && status != http.StatusPreconditionFailed && status != http.StatusConflict && status != http.StatusTooManyRequests {
		f.mu.Lock()
		f.keys = nil
		f.mu.Unlock()
	}
}

// relayBody copies a response's body piece by piece, each within forwardPatience. It returns
// false if the response broke off. If the client is gone, that does not matter.
func relayBody(w http.ResponseWriter, body io.Reader, cancel context.CancelFunc) (whole bool) {
	control := http.NewResponseController(w)
	buffer := make([]byte, 64<<10)
	for {
		late := time.AfterFunc(forwardPatience, cancel)
		n, err := body.Read(buffer)
		late.Stop()
		if n > 0 {
			_ = control.SetWriteDeadline(time.Now().Add(forwardPatience)) // if it fails, the server's own deadline applies
			if _, err := w.Write(buffer[:n]); err != nil {
				return true
			}
		}
		if err == io.EOF {
			_ = control.SetWriteDeadline(time.Time{})
			return true
		}
		if err != nil {
			return false
		}
	}
}

// unforwarded returns the response if the bucket gave none. The request may be retried.
func unforwarded(err error) *Error {
	// The cause contains the URL, and so the key.
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	return &Error{Code: "ServiceUnavailable", Status: http.StatusServiceUnavailable, RetryAfter: retrySoon, Err: err,
		Message: "the bucket that this object is passed on to cannot be reached"}
}
