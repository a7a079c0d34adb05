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
	errNoETag    = errors.New("the answer has no ETag: what answered is no S3 store")
	errDifferent = errors.New("another object with different content exists under this key")
	errDamaged   = errors.New("the stored payload does not match its own checksum: the disk is damaged")
)

// Deliver puts one payload. An existing object under a batch key is success, since the
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
	case conditional && status(err) == http.StatusPreconditionFailed:
		return s.existing(ctx, client, p, receipt)
	}
	return auditrelay.Receipt{}, s.refused(ctx, client, "put", p.Key, err)
}

// existing judges a payload under whose key an object stands already.
func (s *Sink) existing(ctx context.Context, client *s3.Client, p auditrelay.Payload, receipt auditrelay.Receipt) (auditrelay.Receipt, error) {
	receipt.Duplicate, receipt.Status = true, http.StatusPreconditionFailed
	if manifest := len(p.Sequences) == 0; manifest || s.options.Layout == LayoutBatch {
		return receipt, nil // the digest is in the key
	}
	if !s.options.VerifyExisting {
		receipt.Unverified = true
		return receipt, nil
	}
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
			// Deleted in between: the next attempt puts it.
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

// sameContent compares by the store's own checksum, else by the digest that the
// sink put in the metadata. An object with neither counts as different.
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

// request is the put of p as it was sealed, sent and kept as the configuration says
// now: an option that the store refuses can be corrected for what is sealed already.
func (s *Sink) request(p auditrelay.Payload, body io.Reader) (*s3.PutObjectInput, error) {
	o := s.options
	sum, value := checksum(o.Checksum, nil)
	if sum != "" {
		value = p.Headers[sum]
	}
	if sum == "" || value == "" { // sealed under another option: the store will not check what was sealed
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
		// From now, not from the seal: a payload that waited for longer than the
		// retention would be refused for ever.
		in.ObjectLockRetainUntilDate = aws.Time(s.now().Add(o.ObjectLock.RetainFor).UTC().Truncate(time.Second))
		_, sum := checksum(ChecksumMD5, p.Body) // S3 wants one with a lock
		in.ContentMD5 = aws.String(sum)
	}
	return in, nil
}

// metadata returns the object's metadata among a payload's headers, by the
// names that S3 has for it.
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

// status is the HTTP status of the answer that err is about, 0 without one.
func status(err error) int {
	if answer, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		return answer.HTTPStatusCode()
	}
	return 0
}
