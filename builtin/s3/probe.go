package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"auditrelay"
	"auditrelay/builtin/internal/objects"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Probe creates one small object, {prefix}/_auditrelay/probe, like a delivery, including a
// conditional put. An existing probe counts as success. Probe writes nothing if the options or
// the bucket's own default would retain the object, or if it may not read that default
// (s3:GetBucketObjectLockConfiguration). The error then wraps ErrNotChecked.
func (s *Sink) Probe(ctx context.Context) error {
	if s.options.ObjectLock.Mode != "" {
		return fmt.Errorf("%w: object_lock would retain the probe's object", auditrelay.ErrNotChecked)
	}
	key := s.prefix + objects.ProbeFolder + "/probe"
	client, err := s.connected(ctx)
	if err != nil {
		return s.failure(ctx, "probe", key, err)
	}
	if err := s.checkNotRetained(ctx, client, key); err != nil {
		return err
	}
	body := []byte("auditrelay checked that it may write here; this object may be deleted\n")
	_, err = s.put(ctx, s.seal(auditrelay.Payload{
		Key:     key,
		Body:    body,
		Headers: map[string]string{contentType: "text/plain"},
		Digest:  hexSHA256(body),
	}), *s.options.Conditional)
	return err
}

// checkNotRetained returns nil only if the bucket does not retain new objects.
func (s *Sink) checkNotRetained(ctx context.Context, client *s3.Client, key string) error {
	attempt, cancel := context.WithTimeout(ctx, s.options.RequestTimeout)
	defer cancel()
	out, err := client.GetObjectLockConfiguration(attempt, &s3.GetObjectLockConfigurationInput{
		Bucket:              aws.String(s.options.Bucket),
		ExpectedBucketOwner: optional(s.options.ExpectedBucketOwner),
	})
	if err == nil {
		lock := out.ObjectLockConfiguration
		if lock != nil && lock.ObjectLockEnabled == types.ObjectLockEnabledEnabled && lock.Rule != nil && lock.Rule.DefaultRetention != nil {
			return fmt.Errorf("%w: the bucket's default retention would keep the probe's object", auditrelay.ErrNotChecked)
		}
		return nil
	}
	code := errorCode(err)
	switch {
	case slices.Contains(unauthorizedCodes, code) && code != "AccessDenied", status(err) == http.StatusUnauthorized:
	case code == "ObjectLockConfigurationNotFoundError", status(err) >= 300 && status(err) < 500 && status(err) != http.StatusForbidden,
		status(err) == http.StatusNotImplemented:
		// The store has no object lock, or the put will show the problem.
		return nil
	case status(err) == http.StatusForbidden:
		return fmt.Errorf("%w: cannot tell whether the bucket retains new objects: %w", auditrelay.ErrNotChecked,
			errors.New("s3:GetBucketObjectLockConfiguration is not granted"))
	}
	return s.refused(ctx, client, "probe", key, err)
}
