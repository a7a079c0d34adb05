package s3

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"auditrelay/runtime"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

func unsigned(t *testing.T, r *relay, method, path, body string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, r.http.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func s3Signer() *v4.Signer {
	return v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
}

// resign signs with AWS's current signer.
func resign(t *testing.T, signer *v4.Signer, req *http.Request, body string) {
	t.Helper()
	sum := sha256.Sum256([]byte(body))
	signWith(t, signer, req, testID, testSecret, hex.EncodeToString(sum[:]), time.Now())
}

func signWith(t *testing.T, signer *v4.Signer, req *http.Request, id, secret, payload string, at time.Time) {
	t.Helper()
	req.Header.Set("X-Amz-Content-Sha256", payload)
	keys := aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}
	if err := signer.SignHTTP(context.Background(), keys, req, payload, "s3", "us-west-2", at); err != nil {
		t.Fatal(err)
	}
}

// TestWhatIsNotSignedIsRefused: each request has one fault, and nothing of it is stored.
func TestWhatIsNotSignedIsRefused(t *testing.T) {
	sum := sha256.Sum256([]byte(event("a")))
	digest := hex.EncodeToString(sum[:])
	for _, tt := range []struct {
		name, code string
		options    Options
		before     func(*http.Request)             // changes the request before it is signed
		sign       func(*testing.T, *http.Request) // replaces the usual signing
		after      func(*http.Request)             // tampers with the signed request
	}{
		{name: "right", code: ""},
		{name: "not signed", code: "AccessDenied", sign: func(*testing.T, *http.Request) {}},
		{name: "an unknown key", code: "InvalidAccessKeyId", sign: func(t *testing.T, r *http.Request) {
			signWith(t, s3Signer(), r, "AKIDOTHER", testSecret, digest, time.Now())
		}},
		{name: "another secret", code: "SignatureDoesNotMatch", sign: func(t *testing.T, r *http.Request) {
			signWith(t, s3Signer(), r, testID, testSecret+"x", digest, time.Now())
		}},
		{name: "16 minutes ago", code: "RequestTimeTooSkewed", sign: func(t *testing.T, r *http.Request) {
			signWith(t, s3Signer(), r, testID, testSecret, digest, time.Now().Add(-16*time.Minute))
		}},
		{name: "in 16 minutes", code: "RequestTimeTooSkewed", sign: func(t *testing.T, r *http.Request) {
			signWith(t, s3Signer(), r, testID, testSecret, digest, time.Now().Add(16*time.Minute))
		}},
		{name: "14 minutes ago", code: "", sign: func(t *testing.T, r *http.Request) {
			signWith(t, s3Signer(), r, testID, testSecret, digest, time.Now().Add(-14*time.Minute))
		}},
		{name: "another region", code: "AuthorizationHeaderMalformed", options: Options{Region: "eu-central-1"}},
		{name: "the digest of another body", code: "XAmzContentSHA256Mismatch", sign: func(t *testing.T, r *http.Request) {
			signWith(t, s3Signer(), r, testID, testSecret, hex.EncodeToString(emptyDigest[:]), time.Now())
		}},
		{name: "a digest that is none", code: "InvalidRequest", sign: func(t *testing.T, r *http.Request) {
			signWith(t, s3Signer(), r, testID, testSecret, "0", time.Now())
		}},
		{name: "another method", code: "SignatureDoesNotMatch", after: func(r *http.Request) { r.Method = http.MethodDelete }},
		{name: "another key of an object", code: "SignatureDoesNotMatch", after: func(r *http.Request) { r.URL.Path += "x" }},
		{name: "a parameter more", code: "SignatureDoesNotMatch", after: func(r *http.Request) { r.URL.RawQuery = "x-id=PutObject" }},
		{name: "another host", code: "SignatureDoesNotMatch", after: func(r *http.Request) { r.Host = "other.example" }},
		{name: "a signed header changed", code: "SignatureDoesNotMatch", before: func(r *http.Request) { r.Header.Set("X-Amz-Meta-A", "1") },
			after: func(r *http.Request) { r.Header.Set("X-Amz-Meta-A", "2") }},
		{name: "a signed header taken out", code: "SignatureDoesNotMatch", before: func(r *http.Request) { r.Header.Set("X-Amz-Meta-A", "1") },
			after: func(r *http.Request) { r.Header.Del("X-Amz-Meta-A") }},
		{name: "an x-amz header added", code: "AccessDenied", after: func(r *http.Request) { r.Header.Set("X-Amz-Meta-A", "1") }},
		{name: "a later time", code: "SignatureDoesNotMatch", after: func(r *http.Request) {
			at, _ := time.Parse(amzTime, r.Header.Get("X-Amz-Date"))
			moved := at.Add(time.Second)
			if moved.Day() != at.Day() {
				moved = at.Add(-time.Second)
			}
			r.Header.Set("X-Amz-Date", moved.Format(amzTime))
		}},
		{name: "a time that is none", code: "AccessDenied", after: func(r *http.Request) { r.Header.Set("X-Amz-Date", "now") }},
		{name: "one digit of the signature", code: "SignatureDoesNotMatch", after: func(r *http.Request) {
			a := []byte(r.Header.Get("Authorization"))
			a[len(a)-1] ^= 1
			if !strings.Contains("0123456789abcdef", string(a[len(a)-1])) {
				a[len(a)-1] = '0'
			}
			r.Header.Set("Authorization", string(a))
		}},
		{name: "no signature", code: "AuthorizationHeaderMalformed", after: func(r *http.Request) {
			a, _, _ := strings.Cut(r.Header.Get("Authorization"), ", Signature=")
			r.Header.Set("Authorization", a)
		}},
		{name: "two headers", code: "AuthorizationHeaderMalformed", after: func(r *http.Request) {
			r.Header.Add("Authorization", r.Header.Get("Authorization"))
		}},
		{name: "another service", code: "AuthorizationHeaderMalformed", after: func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "/s3/", "/sts/", 1))
		}},
		{name: "version 2", code: "InvalidRequest", after: func(r *http.Request) { r.Header.Set("Authorization", "AWS "+testID+":c2ln") }},
		{name: "version 4A", code: "InvalidRequest", after: func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), algorithm, "AWS4-ECDSA-P256-SHA256", 1))
		}},
		{name: "a bearer token", code: "InvalidRequest", after: func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+testSecret) }},
		{name: "presigned", code: "AccessDenied", sign: func(t *testing.T, r *http.Request) {
			uri, _, err := s3Signer().PresignHTTP(t.Context(), aws.Credentials{AccessKeyID: testID, SecretAccessKey: testSecret}, r, digest, "s3", "us-west-2", time.Now())
			if err != nil {
				t.Fatal(err)
			}
			_, query, _ := strings.Cut(uri, "?")
			r.URL.RawQuery = query
		}},
		{name: "of another MD5", code: "BadDigest", before: func(r *http.Request) { r.Header.Set("Content-Md5", "1B2M2Y8AsgTpgAmY7PhCfg==") }},
		{name: "of no MD5", code: "InvalidDigest", before: func(r *http.Request) { r.Header.Set("Content-Md5", "x") }},
		{name: "an unknown checksum", code: "NotImplemented", before: func(r *http.Request) { r.Header.Set("X-Amz-Checksum-Xxhash", "AAAA") }},
		{name: "a checksum that is none", code: "InvalidRequest", before: func(r *http.Request) { r.Header.Set("X-Amz-Checksum-Crc32", "AA") }},
		{name: "without a length", code: "MissingContentLength", before: func(r *http.Request) { r.ContentLength = -1 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRelay(t, tt.options, runtime.Options{})
			req := unsigned(t, r, http.MethodPut, "/"+testBucket+"/"+testKey, event("a"))
			if tt.before != nil {
				tt.before(req)
			}
			if tt.sign == nil {
				resign(t, s3Signer(), req, event("a"))
			} else {
				tt.sign(t, req)
			}
			if tt.after != nil {
				tt.after(req)
			}
			a := r.do(req)
			if a.code() != tt.code || (tt.code != "" && a.status != statusOf[tt.code]) || (tt.code == "" && a.status != http.StatusOK) {
				t.Fatalf("%d %s", a.status, a.body)
			}
			if strings.Contains(a.body, testSecret) {
				t.Errorf("the answer holds the secret: %s", a.body)
			}
			if tt.code != "" {
				r.nothing()
			} else if got := r.stored(); !slices.Equal(got, []string{event("a")}) {
				t.Errorf("%q", got)
			}
		})
	}
}

// TestKeysThatNeedEncoding: both ways in which clients sign a path.
func TestKeysThatNeedEncoding(t *testing.T) {
	for _, tt := range []struct{ name, path string }{
		{"plain", "/" + testBucket + "/" + testKey},
		{"encoded", "/" + testBucket + "/a%20b%2Bc/audit_logs/2026-01-31/12-00-00_x%C3%A9%25y%3D.json"},
		{"an endpoint with a slash at its end", "//" + testBucket + "/" + testKey},
	} {
		for name, signer := range map[string]*v4.Signer{"S3's": s3Signer(), "general": v4.NewSigner()} {
			t.Run(tt.name+","+name, func(t *testing.T) {
				r := newRelay(t, Options{}, runtime.Options{})
				req := unsigned(t, r, http.MethodPut, tt.path, event("a"))
				resign(t, signer, req, event("a"))
				if a := r.do(req); a.status != http.StatusOK {
					t.Fatalf("%d %s", a.status, a.body)
				}
				if len(r.stored()) != 1 {
					t.Error("nothing is stored")
				}
			})
		}
	}
}
