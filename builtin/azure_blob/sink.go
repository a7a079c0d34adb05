// Package azureblob delivers records to Azure Blob Storage as block blobs.
//
// Delivery is at least once and idempotent. The sink writes the sealed bytes under the sealed
// name with If-None-Match: *. The name contains the content's digest. If the credentials may
// read an existing blob, the sink compares its MD5.
//
// Requests are those of Microsoft's SDK, over the HTTP client of the other sinks, with its
// guard, limits and classification. The SDK's own retries are off, since the engine retries.
//
// Source of the protocol: Microsoft's "Put Blob" and "Specifying conditional headers for Blob
// service operations": for an existing blob the response is 409 BlobAlreadyExists, or 412.
package azureblob

import (
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"auditrelay"
	"auditrelay/builtin/internal/httpsink"
	"auditrelay/builtin/internal/oauth"
	"auditrelay/builtin/internal/objects"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
)

type base = httpsink.Base

// Sink writes to one container under a prefix. It is safe for concurrent use.
type Sink struct {
	base
	objects.Layout // for Render, Split, RenderManifest and RenderProof

	options Options // with defaults filled in
	url     *url.URL
	client  *httpsink.Client
	secrets *secrets
}

var (
	_ httpsink.Complete     = (*Sink)(nil)
	_ auditrelay.Manifester = (*Sink)(nil)
	_ auditrelay.Prover     = (*Sink)(nil)
	_ auditrelay.Reader     = (*Sink)(nil)
)

// New returns a sink for o. It does no I/O. The error joins an *auditrelay.OptionError for each
// invalid option.
func New(o Options) (*Sink, error) {
	o = o.withDefaults()
	u, secrets, err := o.check()
	if err != nil {
		return nil, err
	}
	client, err := httpsink.NewClient(o.HTTP, u, nil)
	if err != nil {
		return nil, err
	}
	return &Sink{base: httpsink.NewBase(client, secrets.forget), options: o, url: u, client: client, secrets: secrets, Layout: objects.NewLayout(o.Prefix, o.limits(), o.HTTP.Compression)}, nil
}

// Deliver creates one blob.
func (s *Sink) Deliver(ctx context.Context, p auditrelay.Payload) (auditrelay.Receipt, error) {
	var put auditrelay.Receipt
	receipt, err := s.client.Deliver(ctx, p, func(ctx context.Context) (err error) {
		put, err = s.put(ctx, p)
		return err
	})
	if err != nil {
		return receipt, err
	}
	put.Location, put.Duplicate = s.client.Target()+"/"+s.options.Container+"/"+p.Key, receipt.Duplicate || put.Duplicate
	return put, nil
}

func (s *Sink) put(stop context.Context, p auditrelay.Payload) (auditrelay.Receipt, error) {
	ctx, cancel := context.WithTimeout(stop, s.options.HTTP.RequestTimeout)
	defer cancel()
	container, err := s.container()
	if err != nil {
		return auditrelay.Receipt{}, err
	}
	sum := md5.Sum(p.Body) //nolint:gosec // the protocol's
	body := httpsink.Lend(p.Body)
	defer body.TakeBack()
	contentType := p.Headers[httpsink.ContentType]
	o := &blockblob.UploadOptions{
		HTTPHeaders: &blob.HTTPHeaders{BlobContentType: &contentType, BlobContentMD5: sum[:]},
		Metadata:    map[string]*string{},
		// The store rejects content with a different checksum.
		TransactionalValidation: blob.TransferValidationTypeMD5(sum[:]),
		AccessConditions:        &blob.AccessConditions{ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfNoneMatch: new(azcore.ETagAny)}},
	}
	if encoding := p.Headers[httpsink.ContentEncoding]; encoding != "" {
		o.HTTPHeaders.BlobContentEncoding = &encoding
	}
	if s.options.Tier != "" {
		o.Tier = new(blob.AccessTier(s.options.Tier))
	}
	for name, value := range p.Headers { // Azure's names of metadata must be identifiers
		if strings.HasPrefix(name, objects.Meta) {
			o.Metadata[strings.ToLower(strings.ReplaceAll(name, "-", "_"))] = &value
		}
	}
	blob := container.NewBlockBlobClient(p.Key)
	answer, err := blob.Upload(ctx, streaming.NopCloser(body), o)
	switch code := codeOf(err); {
	case err == nil && (answer.ETag == nil || *answer.ETag == ""):
		return auditrelay.Receipt{}, s.client.Fail(auditrelay.Misconfigured, httpsink.Answer{Status: http.StatusCreated}, "the response has no ETag: the URL is not a blob store")
	case err == nil:
		return auditrelay.Receipt{Status: http.StatusCreated, Version: string(*answer.ETag)}, nil
	case code == "BlobAlreadyExists", code == "BlobImmutableDueToPolicy", statusOf(err) == http.StatusPreconditionFailed && code != "":
		return s.compare(ctx, blob, sum, p)
	case statusOf(err) == http.StatusPreconditionFailed:
		// A proxy's page has no code either: only the blob itself counts.
		if there, unknown := s.compare(ctx, blob, sum, p); unknown == nil && !there.Unverified {
			return there, nil
		}
	case statusOf(err) == http.StatusForbidden && s.secrets.sas != nil:
		// With a signature that has only the right to create, the store returns this for an
		// existing blob, such as the sink's own after a lost response.
		if _, unreadable := blob.GetProperties(ctx, nil); unreadable == nil {
			return s.compare(ctx, blob, sum, p)
		}
	}
	return auditrelay.Receipt{}, s.failure(stop, err)
}

// compare checks the existing blob under a payload's name. It may be from an earlier attempt
// whose response was lost, or from a replay.
func (s *Sink) compare(ctx context.Context, blob *blockblob.Client, sum [md5.Size]byte, p auditrelay.Payload) (auditrelay.Receipt, error) {
	receipt := auditrelay.Receipt{Status: http.StatusConflict, Duplicate: true}
	properties, err := blob.GetProperties(ctx, nil)
	switch status := statusOf(err); {
	case status == http.StatusForbidden:
		receipt.Unverified = true // the credentials may not read it; the name contains the digest
		return receipt, nil
	case status == http.StatusNotFound:
		return auditrelay.Receipt{}, s.client.Fail(auditrelay.Transient, httpsink.Answer{Status: status}, "the blob was deleted meanwhile")
	case err != nil:
		return auditrelay.Receipt{}, s.failure(ctx, err)
	case !bytes.Equal(properties.ContentMD5, sum[:]) || properties.ContentLength == nil || *properties.ContentLength != int64(len(p.Body)):
		return auditrelay.Receipt{}, s.client.Fail(auditrelay.Refused, httpsink.Answer{Status: http.StatusConflict}, "another blob with different content exists under this name")
	}
	if properties.ETag != nil {
		receipt.Version = string(*properties.ETag)
	}
	return receipt, nil
}

// Probe creates one small blob, {prefix}/_auditrelay/probe, like a delivery. An existing one
// counts as success.
func (s *Sink) Probe(ctx context.Context) error {
	if _, err := s.put(ctx, s.ProbePayload()); err != nil {
		return s.client.Failure(ctx, err)
	}
	return nil
}

// failure classifies a failed request. A 400 is the options' fault, not a record's, since every
// blob would fail.
func (s *Sink) failure(ctx context.Context, err error) error {
	if noToken, ok := errors.AsType[*auditrelay.DeliveryError](err); ok { // from Azure's search
		s.secrets.forget()
		return noToken
	}
	refused, ok := errors.AsType[*azcore.ResponseError](err)
	if !ok {
		return s.client.Failure(ctx, err)
	}
	a := httpsink.Answer{Status: refused.StatusCode}
	if refused.RawResponse != nil {
		a.Header = refused.RawResponse.Header
	}
	what := codeOf(err)
	kind := httpsink.KindOf(a.Status)
	switch {
	case a.Status < 300:
		kind, what = auditrelay.Misconfigured, "the response is not from a blob store; is there a proxy or a log-in page?"
	case what == "Md5Mismatch": // damaged on the way
		kind = auditrelay.Transient
	case kind == auditrelay.Refused:
		kind = auditrelay.Misconfigured
	}
	if what == "" {
		what = "the response has no error code of Azure: is there a proxy or a gateway?"
	}
	if kind == auditrelay.Unauthorized || kind == auditrelay.Misconfigured {
		s.secrets.forget()
	}
	return s.client.Fail(kind, a, what)
}

func statusOf(err error) int {
	if refused, ok := errors.AsType[*azcore.ResponseError](err); ok {
		return refused.StatusCode
	}
	return 0
}

// codeOf returns the store's error code. It returns "" for a text that does not look like a
// code, since a proxy may quote the request.
func codeOf(err error) string {
	refused, ok := errors.AsType[*azcore.ResponseError](err)
	if !ok || len(refused.ErrorCode) > 64 || strings.ContainsFunc(refused.ErrorCode, func(r rune) bool { return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && (r < '0' || r > '9') }) {
		return ""
	}
	return refused.ErrorCode
}

// secrets hold the sink's credentials: one of the two secrets, or Azure's search.
type secrets struct {
	key, sas *httpsink.Secret

	mu         sync.Mutex
	credential azcore.TokenCredential
}

func (s *secrets) forget() {
	s.key.Forget()
	s.sas.Forget()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.credential = nil
}

// token returns Azure's search for credentials. It is kept together with its tokens.
func (s *secrets) token(services func() *http.Client) (azcore.TokenCredential, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.credential == nil {
		found, err := oauth.Azure(services())
		if err != nil {
			return nil, err
		}
		s.credential = found
	}
	return s.credential, nil
}

// container returns a client with the current credentials. The only I/O is reading a secret's
// file.
func (s *Sink) container() (*container.Client, error) {
	o := &container.ClientOptions{ClientOptions: azcore.ClientOptions{
		Transport: s.client.HTTP(),
		Retry:     policy.RetryOptions{MaxRetries: -1},
		Telemetry: policy.TelemetryOptions{Disabled: true},
	}}
	at := s.url.JoinPath(s.options.Container)
	unusable := func(option string) error {
		return &auditrelay.DeliveryError{Kind: auditrelay.Unauthorized, Reason: auditrelay.ReasonCredentials, Err: fmt.Errorf("read the credentials: %s is not valid", option)}
	}
	switch {
	case s.secrets.key != nil:
		key, err := s.secrets.key.Get()
		if err != nil {
			return nil, err
		}
		credential, err := container.NewSharedKeyCredential(account(s.url), key)
		if err != nil {
			return nil, unusable("account_key")
		}
		return container.NewClientWithSharedKeyCredential(at.String(), credential, o)
	case s.secrets.sas != nil:
		token, err := s.secrets.sas.Get()
		if err != nil {
			return nil, err
		}
		token = strings.TrimPrefix(token, "?")
		if values, err := url.ParseQuery(token); err != nil || values.Get("sig") == "" {
			return nil, unusable("sas_token")
		}
		at.RawQuery = token
		return container.NewClientWithNoCredential(at.String(), o)
	}
	token, err := s.secrets.token(s.client.Tokens)
	if err != nil {
		return nil, err
	}
	return container.NewClient(at.String(), token, o)
}

// account returns the account's name: the host's first label, or the path for an emulator.
func account(u *url.URL) string {
	if name := strings.Trim(u.Path, "/"); name != "" {
		return name
	}
	name, _, _ := strings.Cut(u.Hostname(), ".")
	return name
}
