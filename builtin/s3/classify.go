package s3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"auditrelay"
	"auditrelay/builtin/internal/httpsink"
	"auditrelay/builtin/internal/objects"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
)

// failed is a failed request in the sink's own words. It contains the store's code but not its
// message, since a store may quote the request.
type failed struct {
	text  string
	cause error
}

func (f *failed) Error() string { return f.text }
func (f *failed) Unwrap() error { return f.cause }

func describe(operation, bucket, key, what string, cause error) error {
	return &failed{fmt.Sprintf("%s s3://%s/%s: %s", operation, bucket, key, what), cause}
}

// failure classifies err, the failure of an operation on key.
func (s *Sink) failure(ctx context.Context, operation, key string, err error) error {
	if d, ok := errors.AsType[*auditrelay.DeliveryError](err); ok {
		return d
	}
	if cause := context.Cause(ctx); cause != nil {
		return &auditrelay.DeliveryError{Reason: auditrelay.ReasonTimeout, Err: describe(operation, s.options.Bucket, key, "stopped: "+ctx.Err().Error(), ctx.Err())}
	}
	if c, ok := errors.AsType[*credentialsError](err); ok {
		return &auditrelay.DeliveryError{
			Kind: credentialsKind(c.err), Reason: auditrelay.ReasonCredentials, Answer: words(c.err),
			Err: describe(operation, s.options.Bucket, key, bounded300(c.Error()), c),
		}
	}
	answer, ok := errors.AsType[*awshttp.ResponseError](err)
	if !ok || answer.HTTPStatusCode() == 0 {
		what, reason := unanswered(err), auditrelay.ReasonNone
		if errors.Is(err, context.DeadlineExceeded) {
			what, reason = fmt.Sprintf("no answer within request_timeout (%v)", s.options.RequestTimeout), auditrelay.ReasonTimeout
		}
		return &auditrelay.DeliveryError{Reason: reason, Err: describe(operation, s.options.Bucket, key, what, err)}
	}
	status, code := answer.HTTPStatusCode(), errorCode(err)
	kind := kindOf(status, code)
	if code == "KeyTooLongError" && s.options.Layout == LayoutLiteLLM {
		kind = auditrelay.Refused // the key contains the id
	}
	what := "the store answered " + strconv.Itoa(status)
	if status < 300 {
		what += ", and its answer broke off or is not S3's"
	}
	if code != "" {
		what += " " + code
	}
	if answer.RequestID != "" {
		what += " (request " + clean(answer.RequestID) + ")"
	}
	if hint := hints[code]; hint != "" {
		what += ": " + hint
	}
	return &auditrelay.DeliveryError{
		Kind:       kind,
		RetryAfter: retryAfter(answer, s.now()),
		Err:        describe(operation, s.options.Bucket, key, what, nil),
		Status:     status,
		Answer:     words(err),
		Reason:     auditrelay.ReasonAnswer,
	}
}

// words returns the store's message about its refusal, without the credentials that it quotes.
func words(err error) string {
	e, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return ""
	}
	answer, ok := errors.AsType[*awshttp.ResponseError](err)
	if !ok || answer.Response == nil || answer.Response.Response == nil || answer.Response.Request == nil {
		return e.ErrorMessage()
	}
	return httpsink.Hide(e.ErrorMessage(), answer.Response.Request.Header, "")
}

// Codes whose meaning does not follow from their status.
var (
	unauthorizedCodes = []string{"AccessDenied", "AccountProblem", "AllAccessDisabled", "ExpiredToken",
		"InvalidAccessKeyId", "InvalidSecurity", "InvalidToken", "NotSignedUp", "RequestTimeTooSkewed",
		"SignatureDoesNotMatch", "TokenRefreshRequired", "UnauthorizedAccess"}
	throttledCodes = []string{"BandwidthLimitExceeded", "RequestLimitExceeded", "SlowDown", "Throttling",
		"ThrottlingException", "TooManyRequests", "TooManyRequestsException"}
	tooLargeCodes = []string{"EntityTooLarge", "MaxMessageLengthExceeded"}
	// Temporary errors with a 4xx status.
	transientCodes = []string{"BadDigest", "ConditionalRequestConflict", "IncompleteBody", "OperationAborted",
		"RequestTimeout", "TemporaryRedirect", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch"}
)

// codeExists is the code of the answer to a conditional put whose key has an object.
const codeExists = "PreconditionFailed"

const hintOptions = "the store may not support an option; try conditional: false and checksum: md5, without tags and acl (docs/operators/sinks.md has recipes by store)"

// hints suggest what to check.
var hints = map[string]string{
	"AccessDenied":                 "the credentials lack a permission: see docs/operators/sinks.md for what each option needs",
	"AuthorizationHeaderMalformed": "the bucket is in another region",
	"ExpiredToken":                 "the session token has expired",
	"InvalidAccessKeyId":           "the store does not know the access key",
	"InvalidBucketState":           "the bucket has no Object Lock",
	"NoSuchBucket":                 "the bucket does not exist",
	"InvalidArgument":              hintOptions,
	"InvalidRequest":               hintOptions,
	"NotImplemented":               hintOptions,
	codeExists:                     "the response does not have S3's form: is there a proxy in between? If it is the store's, s3:GetObject lets the sink compare the object",
	"PermanentRedirect":            "the bucket is in another region or at another endpoint",
	"RequestTimeTooSkewed":         "this machine's clock is off",
	"SignatureDoesNotMatch":        "the secret access key does not belong to the access key",
}

// kindOf returns how the engine handles a response. An unknown 4xx counts as the
// configuration's fault, which stalls the callback and alerts. If it counted as the record's
// fault, all records would become dead letters one by one.
func kindOf(status int, code string) auditrelay.ErrorKind {
	switch {
	case slices.Contains(unauthorizedCodes, code):
		return auditrelay.Unauthorized
	case slices.Contains(throttledCodes, code):
		return auditrelay.Throttled
	case slices.Contains(tooLargeCodes, code):
		return auditrelay.TooLarge
	case slices.Contains(transientCodes, code):
		return auditrelay.Transient
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return auditrelay.Unauthorized
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable:
		return auditrelay.Throttled
	case status == http.StatusRequestEntityTooLarge:
		return auditrelay.TooLarge
	case status == http.StatusRequestTimeout, status == http.StatusConflict, status == http.StatusTooEarly,
		status == http.StatusTemporaryRedirect:
		return auditrelay.Transient
	case status == http.StatusNotImplemented:
		return auditrelay.Misconfigured
	case status >= 300 && status < 500:
		return auditrelay.Misconfigured
	}
	return auditrelay.Transient
}

// credentialsKind stalls the callback if authentication failed. If an STS is down or
// unreachable, the error is transient.
func credentialsKind(err error) auditrelay.ErrorKind {
	operation, ok := errors.AsType[*smithy.OperationError](err)
	if !ok || operation.ServiceID != "STS" {
		return auditrelay.Unauthorized
	}
	switch code := status(err); {
	case code == 0, code >= 500:
		return auditrelay.Transient
	case code == http.StatusTooManyRequests || slices.Contains(throttledCodes, errorCode(err)):
		return auditrelay.Throttled
	}
	return auditrelay.Unauthorized
}

// errorCode returns the store's code, cleaned, or "" if there is none.
func errorCode(err error) string {
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return ""
	}
	return clean(api.ErrorCode())
}

// clean keeps only the characters of codes and request ids.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-._", r) {
			return r
		}
		return -1
	}, s)
	return objects.Cut(s, 64)
}

// unanswered describes in the sink's words why there was no response.
func unanswered(err error) string {
	if e, ok := errors.AsType[*net.OpError](err); ok {
		return bounded300(e.Error())
	}
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		return bounded300(e.Error())
	}
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return bounded300(e.Error())
	}
	switch {
	case errors.Is(err, errNoETag):
		return errNoETag.Error()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed before the answer"
	}
	inner := err
	for next := errors.Unwrap(inner); next != nil; next = errors.Unwrap(inner) {
		inner = next
	}
	return fmt.Sprintf("the request failed (%T)", inner)
}

func bounded300(s string) string {
	if len(s) > 300 {
		return objects.Cut(strings.ToValidUTF8(s, ""), 300) + "..."
	}
	return s
}

// retryAfter returns the pause that the store requested, or 0.
func retryAfter(answer *awshttp.ResponseError, now time.Time) time.Duration {
	if answer.Response == nil || answer.Response.Response == nil {
		return 0
	}
	return httpsink.RetryAfter(answer.Response.Header, now)
}
