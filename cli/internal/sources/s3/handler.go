package s3

import (
	"crypto/rand"
	"encoding/hex"
	"net"
	"net/http"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
)

// source is the source in the events' provenance.
const source = "s3"

var bucketForm = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

// request is one request in progress.
type request struct {
	*http.Request
	id          string
	signed      *signed
	bucket, key string
	operation   string // for the counts
	upstream    int    // status of the bucket's response, if the bucket rejected it
}

// ServeHTTP serves one S3 request. A panic becomes InternalError; its stack is logged, its
// value is not.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	req := &request{Request: r, id: requestID(), operation: opOther}
	head := w.Header()
	head.Set("X-Amz-Request-Id", req.id)
	head.Set("X-Content-Type-Options", "nosniff")
	code := codeOK
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler {
				h.counts.answer(Answer{req.operation, "InternalError"})
				panic(p)
			}
			// The value may contain a part of the request; the stack does not.
			h.log.Error("S3 request panicked", "operation", req.operation, "stack", string(debug.Stack()))
			code = "InternalError"
			fail(code, "the relay failed on this request").write(w, r, req.id)
		}
		h.counts.answer(Answer{req.operation, code})
	}()
	if fault := h.serve(w, req); fault != nil {
		code = fault.Code
		h.tell(req, fault)
		fault.write(w, r, req.id)
	} else if req.upstream != 0 {
		if code = "Upstream" + strconv.Itoa(req.upstream/100) + "xx"; req.upstream == http.StatusNotFound && req.signed.method != http.MethodPut {
			return // clients check before they write
		}
		h.tell(req, &Error{Code: code, Status: req.upstream, Message: "the bucket that it was passed on to refused it with status " + strconv.Itoa(req.upstream)})
	}
}

// serve responds, or returns the error to respond with.
func (h *Handler) serve(w http.ResponseWriter, r *request) *Error {
	var fault *Error
	if r.signed, fault = h.verifier.verify(r.Request); fault != nil {
		return fault
	}
	if wait := r.signed.key.Rates.Over(); wait > 0 {
		return slowDown("more than this key may send a second", wait, nil)
	}
	r.bucket, r.key, _ = strings.Cut(strings.TrimLeft(r.signed.path, "/"), "/")
	if fault := h.checkBucket(r); fault != nil {
		return fault
	}
	switch {
	case r.bucket == "":
		return h.serveService(w, r)
	case r.key == "":
		r.operation = opBucket
		return h.serveBucket(w, r)
	}
	return h.serveObject(w, r)
}

// hintPathStyle is the hint for an invalid bucket name.
const hintPathStyle = "; the relay accepts only path-style requests, /BUCKET/KEY: leave s3_use_virtual_hosted_style out"

func (h *Handler) checkBucket(r *request) *Error {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	for _, b := range h.names {
		if strings.HasPrefix(host, b+".") && host != b {
			return fail("InvalidRequest", "the bucket is in the host's name"+hintPathStyle)
		}
	}
	switch {
	case r.bucket == "":
		return nil
	case !bucketForm.MatchString(r.bucket):
		return fail("InvalidBucketName", "the specified bucket is not valid"+hintPathStyle)
	case h.buckets != nil && !h.buckets[r.bucket]:
		return fail("NoSuchBucket", "the specified bucket is not in ingest.s3.buckets"+hintPathStyle)
	}
	return nil
}

func peer(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

func requestID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return strings.ToUpper(hex.EncodeToString(b[:]))
}
