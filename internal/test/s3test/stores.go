package s3test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
)

// Store describes how a store differs from AWS, according to its documentation or its users'
// reports. It stands in front of a real gateway, which still verifies signatures.
type Store struct {
	Name   string
	Region string // the only region that a signature may name; empty: any
	// RewritesAcceptEncoding: a front end changes the header before the store verifies
	// the signature.
	RewritesAcceptEncoding bool
	// Refuses are headers of a put that the store answers with an error: the name or its
	// beginning, in lower case, with "STATUS CODE".
	Refuses map[string]string
	// ObjectLockAnswer is the answer to a request for the bucket's Object Lock, as "STATUS
	// CODE". Empty means the gateway's own.
	ObjectLockAnswer string
}

// The stores with recipes in the documentation.
var (
	MinIO = Store{Name: "minio", ObjectLockAnswer: "404 ObjectLockConfigurationNotFoundError"}
	// Ceph before Squid does not know the checksum headers.
	Ceph = Store{Name: "ceph", Refuses: map[string]string{"x-amz-checksum-": "400 InvalidArgument"},
		ObjectLockAnswer: "404 ObjectLockConfigurationNotFoundError"}
	// R2 checks SHA-256 and CRC32C only for the parts of an object. It has no tags, ACLs or
	// lock headers.
	R2 = Store{Name: "r2", Region: "auto", ObjectLockAnswer: "501 NotImplemented", Refuses: map[string]string{
		"x-amz-checksum-sha256": "501 NotImplemented", "x-amz-checksum-crc32c": "501 NotImplemented",
		"x-amz-tagging": "501 NotImplemented", "x-amz-acl": "501 NotImplemented", "x-amz-object-lock-": "501 NotImplemented",
	}}
	// B2 lists neither checksums nor conditions among the headers of a put.
	B2 = Store{Name: "b2", Refuses: map[string]string{
		"x-amz-checksum-": "400 InvalidArgument", "if-none-match": "501 NotImplemented", "x-amz-tagging": "501 NotImplemented",
	}, ObjectLockAnswer: "404 ObjectLockConfigurationNotFoundError"}
	// GCS changes Accept-Encoding on the way, and has its own conditions.
	GCS = Store{Name: "gcs", RewritesAcceptEncoding: true, Refuses: map[string]string{
		"x-amz-checksum-": "400 InvalidArgument", "if-none-match": "400 InvalidArgument", "x-amz-tagging": "400 InvalidArgument",
	}, ObjectLockAnswer: "400 InvalidArgument"}
)

// Front starts the store in front of a gateway and returns its endpoint.
func (s Store) Front(t testing.TB, gateway *Server) string {
	t.Helper()
	target, err := url.Parse(gateway.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableCompression = true
	forward := &httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host
		if s.RewritesAcceptEncoding {
			r.Out.Header.Set("Accept-Encoding", strings.TrimPrefix(r.In.Header.Get("Accept-Encoding")+",gzip(gfe)", ","))
		}
	}}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if refusal := s.refusal(r); refusal != "" {
			_, _ = io.Copy(io.Discard, r.Body)
			var status int
			var code string
			_, _ = fmt.Sscanf(refusal, "%d %s", &status, &code)
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(status)
			fmt.Fprintf(w, "<Error><Code>%s</Code><Message>said by the stand-in of %s</Message></Error>", code, s.Name)
			return
		}
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		front.Close()
		transport.CloseIdleConnections()
	})
	return front.URL
}

// refusal returns the store's own answer, or empty if the gateway answers.
func (s Store) refusal(r *http.Request) string {
	if s.Region != "" && !strings.Contains(r.Header.Get("Authorization"), "/"+s.Region+"/s3/") {
		return "400 InvalidRegionName"
	}
	if r.URL.Query().Has("object-lock") && s.ObjectLockAnswer != "" {
		return s.ObjectLockAnswer
	}
	if r.Method != http.MethodPut {
		return ""
	}
	for name := range r.Header {
		for refused, answer := range s.Refuses {
			if strings.HasPrefix(strings.ToLower(name), refused) {
				return answer
			}
		}
	}
	return ""
}
