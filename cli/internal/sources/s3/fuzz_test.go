package s3

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// No unsigned request is accepted, with any headers, and nothing panics.
func FuzzAuthorization(f *testing.F) {
	f.Add("AWS4-HMAC-SHA256 Credential="+testID+"/20130524/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-date, Signature="+strings.Repeat("0", 64), exampleTime, strings.Repeat("0", 64), "a=b&c")
	f.Add("AWS4-HMAC-SHA256 Credential=///s3/aws4_request,SignedHeaders=host,Signature=", "", unsignedPayload, "%zz")
	f.Add("", "20130524T000000Z", signedTrailer, "X-Amz-Signature=1")
	at, err := time.Parse("20060102T150405Z", exampleTime)
	if err != nil {
		f.Fatal(err)
	}
	v := &verifier{keys: map[string]Key{testID: {Name: "litellm", AccessKeyID: testID, Secret: testSecret}}, now: func() time.Time { return at }}
	f.Fuzz(func(t *testing.T, authorization, date, payload, query string) {
		r := httptest.NewRequest(http.MethodPut, "/bucket/audit_logs/x.json", nil)
		r.URL.RawQuery = query
		r.Header["Authorization"] = []string{authorization}
		r.Header["X-Amz-Date"] = []string{date}
		r.Header["X-Amz-Content-Sha256"] = []string{payload}
		if s, fault := v.verify(r); fault == nil {
			t.Errorf("let in: %+v", s)
		}
	})
}

// The data accepted from signed chunks is exactly the signed data.
func FuzzChunks(f *testing.F) {
	const seed = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
	signature := strings.Repeat("a", 64)
	f.Add("5;chunk-signature="+signature+"\r\nhello\r\n0;chunk-signature="+signature+"\r\n\r\n", int64(5), false)
	f.Add("0;chunk-signature="+signature+"\r\nx-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:"+signature+"\r\n\r\n", int64(0), true)
	f.Add("ffffffffffffffff;chunk-signature="+signature+"\r\n", int64(1)<<40, false)
	f.Add("\r\n\n;=", int64(0), true)
	f.Fuzz(func(t *testing.T, body string, size int64, trailer bool) {
		if size < 0 || size > 1<<16 {
			size = 1 << 16
		}
		if data, fault := (chunkCase{seed: seed, body: body, size: int(size), trailer: trailer}).read(); fault == nil {
			t.Errorf("taken: %q", data)
		}
	})
}
