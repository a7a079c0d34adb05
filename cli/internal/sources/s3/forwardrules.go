package s3

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// The limits of forwarded requests. The bucket's owner trusts the relay. Producers may write
// objects, but must not change who may read them, how long they stay, or what the callbacks
// delivered.

// refusedHeads are prefixes of headers that change more than the object.
var refusedHeads = []string{
	"X-Amz-Acl", "X-Amz-Grant-", "X-Amz-Copy-Source", "X-Amz-Tagging", "X-Amz-Website-Redirect-Location", "X-Amz-Object-Lock-",
	"X-Amz-Bypass-Governance-Retention", "X-Amz-Mfa", "X-Amz-Server-Side-Encryption-Customer-",
}

// forwardedHeads belong to the object, or to the conditions of the request.
var forwardedHeads = []string{
	"Cache-Control", "Content-Disposition", "Content-Language", "Content-Md5", "Content-Type", "Expires",
	"If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "Range",
	"X-Amz-Checksum-Mode", "X-Amz-Expected-Bucket-Owner", "X-Amz-Storage-Class",
	"X-Amz-Server-Side-Encryption", "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id", "X-Amz-Server-Side-Encryption-Bucket-Key-Enabled",
}

// forwardedQueries has the allowed query parameters by method.
var forwardedQueries = map[string][]string{
	http.MethodPut: {"x-id"},
	http.MethodGet: {"x-id", "versionId", "partNumber", "response-cache-control", "response-content-disposition",
		"response-content-encoding", "response-content-language", "response-content-type", "response-expires"},
	http.MethodHead:   {"x-id", "versionId", "partNumber"},
	http.MethodDelete: {"x-id"},
}

// allowed returns an error for a request that must not be forwarded.
func (f *forwarder) allowed(r *request) *Error {
	switch bucket := f.bucket(r); {
	case !slices.Contains(f.to.Methods, r.signed.method):
		return fail("AccessDenied", "ingest.s3.forward_to.methods does not have this method")
	case f.to.Bucket == "" && !slices.Contains(f.to.Buckets, bucket):
		return fail("AccessDenied", "the bucket is not in ingest.s3.forward_to.buckets")
	default:
		for segment := range strings.SplitSeq(r.key, "/") {
			if segment == "." || segment == ".." {
				return fail("InvalidRequest", `the key has a segment "." or "..": stores disagree on what these mean`)
			}
		}
		for _, p := range f.to.Reserved {
			if p.Holds(bucket, r.key) {
				return fail("AccessDenied", "callback "+p.Callback+" delivers there: the relay passes nothing on to the place of a callback of its own")
			}
		}
	}
	for name := range r.Header {
		for _, refused := range refusedHeads {
			if strings.HasPrefix(name, refused) {
				return fail("InvalidRequest", "the header "+strings.ToLower(refused)+" is not passed on: set it for the bucket")
			}
		}
	}
	queries := forwardedQueries[r.signed.method]
	if r.key == "" {
		queries = listQueries
	}
	for name := range r.signed.query {
		if !slices.Contains(queries, name) {
			return notTaken("the relay forwards only plain writes, reads and deletions: no parts, tags, versions to delete or access lists")
		}
	}
	return nil
}

// forwardHead copies the headers of r that belong to the object to out.
func forwardHead(out *http.Request, r *request) {
	for name, values := range r.Header {
		lower := strings.ToLower(name)
		if slices.Contains(forwardedHeads, name) || strings.HasPrefix(lower, "x-amz-meta-") ||
			(strings.HasPrefix(lower, checksumPrefix) && newChecksum(strings.TrimPrefix(lower, checksumPrefix)) != nil) {
			out.Header[name] = values
		}
	}
	if own := contentEncoding(r.Header); own != "" {
		out.Header.Set("Content-Encoding", own)
	}
	// So the bucket's own access log shows whose request it was.
	out.Header.Set("User-Agent", "auditrelay (key "+printable(r.signed.key.Name)+")")
}

func printable(name string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' || c == '(' || c == ')' {
			return '_'
		}
		return c
	}, name)
}

// forwardedQuery returns the query without the parameters that the client adds for itself.
func forwardedQuery(query url.Values) url.Values {
	out := url.Values{}
	for name, values := range query {
		if name != "x-id" {
			out[name] = values
		}
	}
	return out
}

// answerHead copies the bucket's headers that belong to the object to head.
func answerHead(head http.Header, answer *http.Response) {
	for name, values := range answer.Header {
		switch name {
		case "Etag", "Content-Type", "Content-Length", "Content-Range", "Accept-Ranges", "Content-Encoding", "Content-Disposition",
			"Content-Language", "Cache-Control", "Expires", "Last-Modified", "Retry-After":
			head[name] = values
		default:
			// In lower case, as stores write them: clients use the names of metadata as they come.
			if strings.HasPrefix(name, "X-Amz-") {
				head[strings.ToLower(name)] = values
			}
		}
	}
}

func errDigest() *Error {
	return fail("XAmzContentSHA256Mismatch", "the provided x-amz-content-sha256 header does not match what was computed")
}

func isDigest(payload string) bool {
	return len(payload) == 2*sha256.Size && strings.Trim(payload, "0123456789abcdef") == ""
}

// verifiedBody is a request's body while it is forwarded. It releases the last piece only if
// the whole body is what was signed, so that no bucket gets another object.
type verifiedBody struct {
	from  io.Reader
	left  int64
	want  string // SHA-256 in hexadecimal
	sum   hash.Hash
	fault *Error
}

func (b *verifiedBody) Read(p []byte) (int, error) {
	if b.sum == nil {
		b.sum = sha256.New()
	}
	if b.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.from.Read(p)
	b.sum.Write(p[:n])
	b.left -= int64(n)
	if b.left == 0 && hex.EncodeToString(b.sum.Sum(nil)) != b.want {
		b.fault = errDigest()
		return 0, b.fault
	}
	if b.left > 0 && err != nil {
		b.fault = readFault(err)
		return n, b.fault
	}
	return n, nil
}
