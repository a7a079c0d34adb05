package s3

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"auditrelay"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// ReadBack implements auditrelay.Reader. The credentials need s3:GetObject.
func (s *Sink) ReadBack(ctx context.Context, p auditrelay.Payload, _ auditrelay.Receipt) ([]byte, error) {
	client, err := s.connected(ctx)
	if err != nil {
		return nil, s.failure(ctx, "read back", p.Key, err)
	}
	attempt, cancel := context.WithTimeout(ctx, s.options.RequestTimeout)
	defer cancel()
	out, err := client.GetObject(attempt, &s3.GetObjectInput{
		Bucket: aws.String(s.options.Bucket), Key: aws.String(p.Key), ExpectedBucketOwner: optional(s.options.ExpectedBucketOwner),
	})
	if status(err) == http.StatusNotFound {
		return nil, fmt.Errorf("read back s3://%s: %w", s.options.Bucket, auditrelay.ErrMissing)
	}
	if err != nil {
		return nil, s.failure(ctx, "read back", p.Key, err)
	}
	defer out.Body.Close()
	// An object that is longer than the payload is a different one; reading one byte more shows
	// that.
	held, err := io.ReadAll(io.LimitReader(out.Body, int64(len(p.Body))+1))
	if err != nil {
		return nil, s.failure(ctx, "read back", p.Key, err)
	}
	return held, nil
}
