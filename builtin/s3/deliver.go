package s3

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"auditrelay"
	"auditrelay/builtin/internal/httpsink"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

var (
	errNoETag    = errors.New("the response has no ETag: the endpoint is not an S3 store")
	errDifferent = errors.New("another object with different content exists under this key")
	errDamaged   = errors.New("the stored payload does not match its own checksum: the disk is damaged")
)

// Deliver creates one object. An existing object under a batch key counts as success, since the
// key contains the content's digest.
func (s *Sink) Deliver(ctx context.Context, p auditrelay.Payload) (auditrelay.Receipt, error) {
	era, err := s.limiter.Acquire(ctx)
	if err != nil {
		return auditrelay.Receipt{}, s.failure(ctx, "put", p.Key, err)
	}
	receipt, err := s.put(ctx, p, *s.options.Conditional)
	s.limiter.Release(era, err != nil && auditrelay.KindOf(err) == auditrelay.Throttled, err == nil)
	return receipt, err
}

func (s *Sink) put(ctx context.Context, p auditrelay.Payload, conditional bool) (auditrelay.Receipt, error) {
	client, err := s.connected(ctx)
	if err != nil {
		return auditrelay.Receipt{}, s.failure(ctx, "put", p.Key, err)
	}
	body := httpsink.Lend(p.Body)
	defer body.TakeBack()
	in, err := s.request(p, body)
	if err != nil {
		return auditrelay.Receipt{}, s.failure(ctx, "put", p.Key, &auditrelay.DeliveryError{Err: describe("put", s.options.Bucket, p.Key, err.Error(), err)})
	}
	if conditional {
		in.IfNoneMatch = aws.String("*")
	}
	attempt, cancel := context.WithTimeout(ctx, s.options.RequestTimeout)
	defer cancel()
	out, err := client.PutObject(attempt, in)
	receipt := auditrelay.Receipt{Location: "s3://" + s.options.Bucket + "/" + p.Key}
	switch {
	case err == nil && aws.ToString(out.ETag) == "":
		return auditrelay.Receipt{}, s.failure(ctx, "put", p.Key, errNoETag)
	case err == nil:
		receipt.Version, receipt.Status = or(aws.ToString(out.VersionId), aws.ToString(out.ETag)), http.StatusOK
		return receipt, nil
	case conditional && exists(err):
		return s.existing(ctx, client, p, receipt)
	case conditional && status(err) == http.StatusPreconditionFailed:
		// Some stores send no body with it. Only a look at the object tells them from a proxy.
		receipt.Duplicate, receipt.Status = true, http.StatusPreconditionFailed
		if there, unknown := s.compare(ctx, client, p, receipt); unknown == nil {
			return there, nil
		}
	}
	return auditrelay.Receipt{}, s.refused(ctx, client, "put", p.Key, err)
}

// exists reports whether the store says that there is an object under the key. A proxy's page
// with that status says nothing of it: if it counted, the events would be in no store.
func exists(err error) bool {
	answer, ok := errors.AsType[*awshttp.ResponseError](err)
	if !ok || answer.HTTPStatusCode() != http.StatusPreconditionFailed || errorCode(err) != codeExists {
		return false
	}
	if words(err) != http.StatusText(http.StatusPreconditionFailed) {
		return true
	}
	// The SDK gives these words, and the code, to an answer without any.
	media, _, _ := strings.Cut(answer.Response.Header.Get("Content-Type"), ";")
	return media == "application/xml" || media == "text/xml"
}

// existing handles a payload whose key already has an object.
func (s *Sink) existing(ctx context.Context, client *s3.Client, p auditrelay.Payload, receipt auditrelay.Receipt) (auditrelay.Receipt, error) {
	receipt.Duplicate, receipt.Status = true, http.StatusPreconditionFailed
	if manifest := len(p.Sequences) == 0; manifest || s.options.Layout == LayoutBatch {
		return receipt, nil // the key contains the digest
	}
	if !s.options.VerifyExisting {
		receipt.Unverified = true
		return receipt, nil
	}
	return s.compare(ctx, client, p, receipt)
}

// compare asks the store for the object under a payload's key. It returns receipt, with the
// object's version, only if the content is the payload's.
func (s *Sink) compare(ctx context.Context, client *s3.Client, p auditrelay.Payload, receipt auditrelay.Receipt) (auditrelay.Receipt, error) {
	attempt, cancel := context.WithTimeout(ctx, s.options.RequestTimeout)
	defer cancel()
	out, err := client.HeadObject(attempt, &s3.HeadObjectInput{
		Bucket:              aws.String(s.options.Bucket),
		Key:                 aws.String(p.Key),
		ChecksumMode:        types.ChecksumModeEnabled,
		ExpectedBucketOwner: optional(s.options.ExpectedBucketOwner),
	})
	if err != nil {
		if status(err) == http.StatusNotFound {
			// The object was deleted meanwhile. The next attempt creates it.
			return auditrelay.Receipt{}, &auditrelay.DeliveryError{Err: describe("compare", s.options.Bucket, p.Key, "it was deleted meanwhile", nil)}
		}
		return auditrelay.Receipt{}, s.refused(ctx, client, "compare", p.Key, err)
	}
	if !sameContent(p, out) {
		return auditrelay.Receipt{}, &auditrelay.DeliveryError{Kind: auditrelay.Refused,
			Err: describe("compare", s.options.Bucket, p.Key, errDifferent.Error(), errDifferent)}
	}
	receipt.Version = or(aws.ToString(out.VersionId), aws.ToString(out.ETag))
	return receipt, nil
}

// sameContent compares the store's own checksum, or the digest that the sink put in the
// metadata. An object with neither counts as different.
func sameContent(p auditrelay.Payload, out *s3.HeadObjectOutput) bool {
	if out.ContentLength == nil || *out.ContentLength != int64(len(p.Body)) {
		return false
	}
	if theirs := aws.ToString(out.ChecksumSHA256); theirs != "" {
		_, ours := checksum(ChecksumSHA256, p.Body)
		return theirs == ours
	}
	if theirs := aws.ToString(out.ChecksumCRC32C); theirs != "" {
		_, ours := checksum(ChecksumCRC32C, p.Body)
		return theirs == ours
	}
	return out.Metadata[strings.ToLower(metaDigest[len(metaPrefix):])] == p.Digest
}

// request builds the put of p. Body and headers are as sealed, and the storage options are the
// current ones, so that a rejected option can be corrected for sealed payloads.
func (s *Sink) request(p auditrelay.Payload, body io.Reader) (*s3.PutObjectInput, error) {
	o := s.options
	sum, value := checksum(o.Checksum, nil)
	if sum != "" {
		value = p.Headers[sum]
	}
	if sum == "" || value == "" { // sealed with another option: the store will not check it
		if damaged(p) {
			return nil, errDamaged
		}
		sum, value = checksum(o.Checksum, p.Body)
	}
	sent := map[string]string{sum: value, contentType: p.Headers[contentType], contentEncoding: p.Headers[contentEncoding]}
	if compressed := sent[contentEncoding]; compressed != "" && !*o.ContentEncoding {
		sent[contentType], sent[contentEncoding] = "application/"+compressed, ""
	}
	in := &s3.PutObjectInput{
		Bucket:              aws.String(o.Bucket),
		Key:                 aws.String(p.Key),
		Body:                body,
		ContentLength:       aws.Int64(int64(len(p.Body))),
		ContentType:         optional(sent[contentType]),
		ContentEncoding:     optional(sent[contentEncoding]),
		ContentDisposition:  optional(p.Headers[contentDisposition]),
		ContentMD5:          optional(sent[checksumMD5]),
		ChecksumSHA256:      optional(sent[checksumSHA256]),
		ChecksumCRC32C:      optional(sent[checksumCRC32C]),
		Metadata:            metadata(p.Headers),
		ExpectedBucketOwner: optional(o.ExpectedBucketOwner),
		StorageClass:        types.StorageClass(o.StorageClass),
		ACL:                 types.ObjectCannedACL(o.ACL),
	}
	if len(o.Tags) > 0 {
		in.Tagging = aws.String(tagging(o.Tags))
	}
	switch o.Encryption.Type {
	case "s3":
		in.ServerSideEncryption = types.ServerSideEncryptionAes256
	case "kms":
		in.ServerSideEncryption = types.ServerSideEncryptionAwsKms
		in.SSEKMSKeyId = optional(o.Encryption.KMSKeyID)
		if o.Encryption.BucketKey {
			in.BucketKeyEnabled = aws.Bool(true)
		}
	}
	if o.ObjectLock.Mode != "" {
		in.ObjectLockMode = types.ObjectLockMode(strings.ToUpper(o.ObjectLock.Mode))
		// From now and not from the seal: otherwise a payload that waited longer than the
		// retention would be rejected for ever.
		in.ObjectLockRetainUntilDate = aws.Time(s.now().Add(o.ObjectLock.RetainFor).UTC().Truncate(time.Second))
		_, sum := checksum(ChecksumMD5, p.Body) // S3 requires one with a lock
		in.ContentMD5 = aws.String(sum)
	}
	return in, nil
}

// metadata returns the object's metadata in a payload's headers, by S3's names.
func metadata(headers map[string]string) map[string]string {
	m := map[string]string{}
	for header, value := range headers {
		if name, ok := strings.CutPrefix(header, metaPrefix); ok {
			m[strings.ToLower(name)] = value
		}
	}
	return m
}

func tagging(tags map[string]string) string {
	values := url.Values{}
	for key, value := range tags {
		values.Set(key, value)
	}
	return values.Encode()
}

func optional(value string) *string {
	if value == "" {
		return nil
	}
	return &value
}

// status returns the HTTP status of the response in err, or 0 if there is none.
func status(err error) int {
	if answer, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		return answer.HTTPStatusCode()
	}
	return 0
}
