package s3

import (
	"encoding/xml"
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"auditrelay/runtime"
)

// Error is an S3 error. Its message contains nothing of the body.
type Error struct {
	Code       string // from a closed set, so it is safe in metrics
	Status     int
	Message    string
	RetryAfter time.Duration
	Err        error // for the log
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }
func (e *Error) Unwrap() error { return e.Err }

// statusOf has every code in use with S3's status.
var statusOf = map[string]int{
	"AccessDenied":                 http.StatusForbidden,
	"AuthorizationHeaderMalformed": http.StatusBadRequest,
	"BadDigest":                    http.StatusBadRequest,
	"EntityTooLarge":               http.StatusBadRequest,
	"IncompleteBody":               http.StatusBadRequest,
	"InternalError":                http.StatusInternalServerError,
	"InvalidAccessKeyId":           http.StatusForbidden,
	"InvalidBucketName":            http.StatusBadRequest,
	"InvalidDigest":                http.StatusBadRequest,
	"InvalidRequest":               http.StatusBadRequest,
	"InvalidURI":                   http.StatusBadRequest,
	"MethodNotAllowed":             http.StatusMethodNotAllowed,
	"MissingContentLength":         http.StatusLengthRequired,
	"NoSuchBucket":                 http.StatusNotFound,
	"NoSuchKey":                    http.StatusNotFound,
	"NotImplemented":               http.StatusNotImplemented,
	"RequestTimeTooSkewed":         http.StatusForbidden,
	"RequestTimeout":               http.StatusBadRequest,
	"ServiceUnavailable":           http.StatusServiceUnavailable,
	"SignatureDoesNotMatch":        http.StatusForbidden,
	"SlowDown":                     http.StatusServiceUnavailable,
	"XAmzContentSHA256Mismatch":    http.StatusBadRequest,
}

func fail(code, message string) *Error {
	return &Error{Code: code, Status: statusOf[code], Message: message}
}

// notTaken rejects a request that no client needs.
func notTaken(message string) *Error { return fail("NotImplemented", message) }

// kept changes the rejection of an audit object so that its producer keeps the object. Current
// versions of LiteLLM drop an object after a 400 or 403 with one of a few codes. With another
// status the same code makes them retry, and an operator can fix the cause meanwhile.
func (e *Error) kept() *Error {
	if e == nil || (e.Status != http.StatusBadRequest && e.Status != http.StatusForbidden) {
		return e
	}
	switch e.Code {
	case "EntityTooLarge":
		e.Status = http.StatusRequestEntityTooLarge
	case "InvalidRequest":
		e.Status = http.StatusUnprocessableEntity
	}
	return e
}

const codeSlowDown = "SlowDown"

// retrySoon is the default pause before a retry.
const retrySoon = time.Second

// slowDown returns the response to a request whose retry may succeed.
func slowDown(message string, after time.Duration, cause error) *Error {
	e := fail(codeSlowDown, message)
	e.RetryAfter, e.Err = max(after, retrySoon), cause
	return e
}

// engineError converts an error of the runtime to a response. In every case the events were not
// accepted, and the request may be retried.
func engineError(err error) *Error {
	if unavailable, ok := errors.AsType[*runtime.UnavailableError](err); ok {
		return slowDown(unavailable.Error(), unavailable.RetryAfter, err)
	}
	if errors.Is(err, runtime.ErrTooLarge) {
		e := fail("EntityTooLarge", err.Error())
		e.Err = err
		return e
	}
	if errors.Is(err, runtime.ErrClosed) {
		return slowDown(err.Error(), 5*time.Second, err)
	}
	e := fail("InternalError", "the relay failed on this request; its log says more")
	e.Err = err
	return e
}

// write sends e in S3's form. The response to HEAD has no body.
func (e *Error) write(w http.ResponseWriter, r *http.Request, id string) {
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(e.RetryAfter.Seconds()))))
	}
	writeXML(w, r, e.Status, struct {
		XMLName   xml.Name `xml:"Error"`
		Code      string
		Message   string
		RequestID string `xml:"RequestId"`
	}{Code: e.Code, Message: e.Message, RequestID: id})
}

func writeXML(w http.ResponseWriter, r *http.Request, status int, v any) {
	body, err := xml.Marshal(v)
	if err != nil { // cannot fail: all fields are strings
		status, body = http.StatusInternalServerError, []byte("<Error><Code>InternalError</Code></Error>")
	}
	body = append([]byte(xml.Header), body...)
	h := w.Header()
	h.Set("Content-Type", "application/xml")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // an error means that the client is gone; its next request gets the answer
	}
}
