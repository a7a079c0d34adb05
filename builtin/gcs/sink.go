// Package gcs delivers records to Google Cloud Storage, with its JSON API.
//
// Delivery is at least once and idempotent. The sink writes the sealed bytes under the sealed
// key with ifGenerationMatch=0. The key contains the content's digest. If the credentials may
// read an existing object, the sink compares its checksum.
//
// The package has its own client: three requests of the API over the HTTP client of the other
// sinks, with its guard, limits and classification. Google's client would add gRPC and
// telemetry, about 15 MB, and would retry by itself. Credentials use golang.org/x/oauth2.
//
// Source of the protocol: Google's "Objects: insert", "Request preconditions", "Retry strategy"
// (408, 429 and 5xx are retried) and "Hashes and ETags" of Cloud Storage, 2026.
package gcs

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"auditrelay"
	"auditrelay/builtin/internal/httpsink"
	"auditrelay/builtin/internal/oauth"
	"auditrelay/builtin/internal/objects"

	"github.com/tidwall/gjson"
)

// scope is the OAuth scope that a writer needs.
const scope = "https://www.googleapis.com/auth/devstorage.read_write"

type base = httpsink.Base

// Sink writes to one bucket under a prefix. It is safe for concurrent use.
type Sink struct {
	base
	objects.Layout // for Render, Split, RenderManifest and RenderProof

	options Options // with defaults filled in
	client  *httpsink.Client
	tokens  *oauth.Tokens // nil if no credentials are sent
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
	u, err := o.check()
	if err != nil {
		return nil, err
	}
	client, err := httpsink.NewClient(o.HTTP, u, nil)
	if err != nil {
		return nil, err
	}
	s := &Sink{options: o, client: client, Layout: objects.NewLayout(o.Prefix, o.limits(), o.HTTP.Compression)}
	if !o.Anonymous {
		s.tokens = oauth.New(oauth.Google(o.CredentialsFile, scope), client, o.HTTP.RequestTimeout)
	}
	s.base = httpsink.NewBase(client, s.tokens.Forget)
	return s, nil
}

// Deliver creates one object.
func (s *Sink) Deliver(ctx context.Context, p auditrelay.Payload) (auditrelay.Receipt, error) {
	var stored object
	var state existing
	receipt, err := s.client.Deliver(ctx, p, func(ctx context.Context) (err error) {
		stored, state, err = s.put(ctx, p)
		return err
	})
	if err != nil {
		return receipt, err
	}
	receipt.Location, receipt.Version = "gs://"+s.options.Bucket+"/"+p.Key, stored.Generation
	receipt.Duplicate = receipt.Duplicate || state != none
	receipt.Unverified = state == unread
	return receipt, nil
}

// existing says what the store already had under a key.
type existing int

const (
	none   existing = iota
	same            // the same content
	unread          // an object that the credentials may not read
)

// object is the API's description of an object.
type object struct {
	Name       string `json:"name"`
	CRC32C     string `json:"crc32c"`
	Generation string `json:"generation"`
}

func (s *Sink) put(ctx context.Context, p auditrelay.Payload) (object, existing, error) {
	body, contentType, err := s.multipart(p)
	if err != nil {
		return object{}, none, err
	}
	query := url.Values{"uploadType": {"multipart"}, "ifGenerationMatch": {"0"}, "fields": {"name,crc32c,generation"}}
	if s.options.KMSKey != "" {
		query.Set("kmsKeyName", s.options.KMSKey)
	}
	answer, err := s.call(ctx, httpsink.Request{Path: "/upload/storage/v1/b/" + s.options.Bucket + "/o", Query: query.Encode(),
		Header: http.Header{httpsink.ContentType: {contentType}}, Body: body})
	if err != nil {
		return object{}, none, err
	}
	if answer.Status == http.StatusPreconditionFailed {
		stored, state, err := s.compare(ctx, p)
		// Without JSON it may be a proxy's page: then only the object itself counts.
		if json.Valid(answer.Body) || err == nil && state == same {
			return stored, state, err
		}
	}
	stored, err := s.object(answer, p)
	return stored, none, err
}

// compare checks the existing object under a payload's key. It may be from an earlier attempt
// whose response was lost, or from a replay.
func (s *Sink) compare(ctx context.Context, p auditrelay.Payload) (object, existing, error) {
	answer, err := s.call(ctx, httpsink.Request{Method: http.MethodGet, Path: "/storage/v1/b/" + s.options.Bucket + "/o/" + p.Key,
		Escaped: "/storage/v1/b/" + s.options.Bucket + "/o/" + url.PathEscape(p.Key), Query: "fields=name,crc32c,generation", Header: http.Header{}})
	switch {
	case err != nil:
		return object{}, none, err
	case answer.Status == http.StatusForbidden && json.Valid(answer.Body):
		return object{}, unread, nil // the role objectCreator may not read; the key contains the digest
	case answer.Status == http.StatusNotFound:
		return object{}, none, s.client.Fail(auditrelay.Transient, answer, "the object was deleted meanwhile")
	}
	stored, err := s.object(answer, p)
	return stored, same, err
}

// ReadBack implements auditrelay.Reader. The credentials need storage.objects.get.
func (s *Sink) ReadBack(ctx context.Context, p auditrelay.Payload, _ auditrelay.Receipt) ([]byte, error) {
	at := "/storage/v1/b/" + s.options.Bucket + "/o/"
	answer, err := s.call(ctx, httpsink.Request{Method: http.MethodGet, Path: at + p.Key, Escaped: at + url.PathEscape(p.Key), Query: "alt=media",
		Header: http.Header{"Accept-Encoding": {"gzip"}}, MaxAnswer: len(p.Body) + 1})
	if err != nil {
		return nil, s.client.Failure(ctx, err)
	}
	if answer.Status == http.StatusNotFound {
		return nil, fmt.Errorf("read back gs://%s: %w", s.options.Bucket, auditrelay.ErrMissing)
	}
	if err := s.refusal(answer); err != nil {
		return nil, s.client.Failure(ctx, err)
	}
	return answer.Body, nil
}

// object parses a response with an object, which must be p's.
func (s *Sink) object(a httpsink.Answer, p auditrelay.Payload) (object, error) {
	var o object
	if err := s.refusal(a); err != nil {
		return o, err
	}
	switch err := json.Unmarshal(a.Body, &o); {
	case err != nil || o.CRC32C == "":
		return o, s.client.Fail(auditrelay.Misconfigured, a, "the response is not an object of Cloud Storage: is the URL right?")
	case o.CRC32C != checksum(p.Body):
		return o, s.client.Fail(auditrelay.Refused, a, "another object with different content exists under this key")
	}
	return o, nil
}

// damaged matches the store's message about content with another checksum. No code says it.
var damaged = regexp.MustCompile(`^Provided (CRC32C|MD5 hash) .* doesn't match calculated `)

// refusal classifies a response. A 400 is the options' fault, not a record's, since every
// object would fail.
func (s *Sink) refusal(a httpsink.Answer) error {
	err := s.client.Refusal(a)
	switch {
	case err == nil || auditrelay.KindOf(err) != auditrelay.Refused:
	case damaged.MatchString(gjson.GetBytes(a.Body, "error.message").Str):
		err = s.client.Fail(auditrelay.Transient, a, "the content was damaged on the way")
	default:
		err = s.client.Fail(auditrelay.Misconfigured, a, "the request was refused: does the bucket's kind allow all options?")
	}
	return s.tokens.ForgetAfter(err)
}

func (s *Sink) call(ctx context.Context, r httpsink.Request) (httpsink.Answer, error) {
	token, err := s.tokens.Get(ctx)
	if err != nil {
		return httpsink.Answer{}, err
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return s.client.Send(ctx, r)
}

// multipart returns the body of an upload: the object's metadata and its content. The store
// rejects content with a different checksum.
func (s *Sink) multipart(p auditrelay.Payload) (body []byte, contentType string, err error) {
	about := map[string]any{"name": p.Key, "crc32c": checksum(p.Body), "contentType": p.Headers[httpsink.ContentType]}
	if encoding := p.Headers[httpsink.ContentEncoding]; encoding != "" {
		about["contentEncoding"] = encoding
		about["cacheControl"] = "no-transform" // otherwise the store decompresses the object for some clients
	}
	if s.options.StorageClass != "" {
		about["storageClass"] = s.options.StorageClass
	}
	metadata := map[string]string{}
	for name, value := range p.Headers {
		if strings.HasPrefix(name, objects.Meta) {
			metadata[strings.ToLower(name)] = value
		}
	}
	about["metadata"] = metadata
	text, err := json.Marshal(about)
	if err != nil {
		return nil, "", fmt.Errorf("describe the object: %w", err)
	}
	// A boundary with the content's own digest cannot occur in the content.
	boundary := "auditrelay-" + p.Digest
	if len(p.Digest) != 64 {
		return nil, "", errors.New("the stored payload has no digest")
	}
	var b bytes.Buffer
	b.Grow(len(p.Body) + len(text) + 512)
	fmt.Fprintf(&b, "--%s\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n%s\r\n--%s\r\nContent-Type: %s\r\n\r\n", boundary, text, boundary, p.Headers[httpsink.ContentType])
	b.Write(p.Body)
	fmt.Fprintf(&b, "\r\n--%s--\r\n", boundary)
	return b.Bytes(), "multipart/related; boundary=" + boundary, nil
}

// checksum returns a content's CRC32C in the API's form.
func checksum(body []byte) string {
	sum := crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli))
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, sum))
}

// Probe creates one small object, {prefix}/_auditrelay/probe, like a delivery. An existing one
// counts as success.
func (s *Sink) Probe(ctx context.Context) error {
	if _, _, err := s.put(ctx, s.ProbePayload()); err != nil {
		return s.client.Failure(ctx, err)
	}
	return nil
}
