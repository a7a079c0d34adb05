package s3

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"auditrelay"
	"auditrelay/internal/ingest"
	"auditrelay/internal/test/s3test"
	"auditrelay/runtime"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// gateway returns a real store as the target of forwarding.
func gateway(t *testing.T, buckets ...string) (*s3test.Server, Forward) {
	t.Helper()
	server := s3test.Start(t, buckets...)
	return server, Forward{Endpoint: server.Endpoint, Region: s3test.Region, AccessKeyID: s3test.AccessKey, SecretAccessKey: auditrelay.Secret(server.SecretKey)}
}

func forwards(r *relay) map[Forwarded]uint64 {
	all := map[Forwarded]uint64{}
	r.h.counts.Forwards(func(f Forwarded, n uint64) { all[f] = n })
	return all
}

// TestObjectsThatAreNoEventsArePassedOn: they are forwarded to a real gateway with a new
// signature, their content and their checksum. Audit events are not. Written objects are read
// back.
func TestObjectsThatAreNoEventsArePassedOn(t *testing.T) {
	server, to := gateway(t, "logs")
	to.Bucket, to.Methods = "logs", []string{"PUT", "GET", "HEAD", "DELETE"}
	r := newRelay(t, Options{Forward: &to, Limits: ingest.Limits{BodyBytes: 1 << 20}}, runtime.Options{})
	large := strings.Repeat("0123456789abcdef", 1<<18) // larger than the limit of an object of events
	keys := map[string]string{
		"2026-01-31/time-12_x.json": "a request log", "with space/ü+&.json": "a request log", "empty": "", "large": large,
		"audit_logs/2026-01-31/time-12-00-00-1_chat.json": "a request log of a team called audit_logs",
	}
	for key, body := range keys {
		if _, err := r.put(t.Context(), key, body); err != nil {
			t.Fatalf("%s: %v", key, err)
		}
	}
	if _, err := r.put(t.Context(), testKey, event("a")); err != nil {
		t.Fatal(err)
	}
	objects := server.Objects(t, "logs")
	if len(objects) != len(keys) {
		t.Errorf("the bucket holds %d objects", len(objects))
	}
	if got := r.stored(); !slices.Equal(got, []string{event("a")}) || len(r.quarantined()) != 0 {
		t.Errorf("the relay holds %q", got)
	}

	c, bucket := r.client(), aws.String(testBucket)
	for key, body := range keys {
		if string(objects[key]) != body {
			t.Errorf("%s: the bucket holds %d bytes of %d", key, len(objects[key]), len(body))
		}
		got, err := c.GetObject(t.Context(), &s3.GetObjectInput{Bucket: bucket, Key: aws.String(key)})
		if err != nil {
			t.Errorf("get %s: %v", key, err)
			continue
		}
		if data, err := io.ReadAll(got.Body); err != nil || string(data) != body || aws.ToString(got.ETag) == "" {
			t.Errorf("get %s: %d bytes, %v", key, len(data), err)
		}
		if head, err := c.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: bucket, Key: aws.String(key)}); err != nil || aws.ToInt64(head.ContentLength) != int64(len(body)) {
			t.Errorf("head %s: %v", key, err)
		}
	}
	part, err := c.GetObject(t.Context(), &s3.GetObjectInput{Bucket: bucket, Key: aws.String("large"), Range: aws.String("bytes=16-31")})
	if err != nil {
		t.Fatal(err)
	}
	if data, _ := io.ReadAll(part.Body); string(data) != "0123456789abcdef" {
		t.Errorf("a range: %q", data)
	}
	list, err := c.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: bucket, Prefix: aws.String("2026-01-31/")})
	if err != nil || len(list.Contents) != 1 {
		t.Errorf("a list: %v, %v", list, err)
	}
	if _, err := c.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: bucket, Key: aws.String("empty")}); err != nil {
		t.Error(err)
	}
	if _, err := c.GetObject(t.Context(), &s3.GetObjectInput{Bucket: bucket, Key: aws.String("empty")}); codeOf(err) != "NoSuchKey" {
		t.Errorf("deleted: %v", err)
	}
	want := map[Forwarded]uint64{
		{"litellm", "PUT", "2xx"}: 5, {"litellm", "GET", "2xx"}: 7, {"litellm", "HEAD", "2xx"}: 5, {"litellm", "DELETE", "2xx"}: 1, {"litellm", "GET", "4xx"}: 1,
	}
	if got := forwards(r); len(got) != len(want) || got[Forwarded{"litellm", "GET", "2xx"}] != 7 || got[Forwarded{"litellm", "PUT", "2xx"}] != 5 {
		t.Errorf("counted %v, want %v", got, want)
	}
}

// TestNamesOfMetadataComeBackAsWritten: stores write them in lower case, and some clients, such as
// boto3, use them as they come.
func TestNamesOfMetadataComeBackAsWritten(t *testing.T) {
	_, to := gateway(t, "logs")
	to.Bucket = "logs"
	r := newRelay(t, Options{Forward: &to}, runtime.Options{})
	if _, err := r.client().PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(testBucket), Key: aws.String("x.json"), Metadata: map[string]string{"team-name": "Blue"}}); err != nil {
		t.Fatal(err)
	}
	req := unsigned(t, r, http.MethodGet, "/"+testBucket+"/x.json", "")
	resign(t, s3Signer(), req, "")
	recorder := httptest.NewRecorder()
	req.RequestURI = req.URL.RequestURI()
	r.h.ServeHTTP(recorder, req)
	if got := recorder.Header()[strings.ToLower("X-Amz-Meta-Team-Name")]; recorder.Code != http.StatusOK || !slices.Equal(got, []string{"Blue"}) {
		t.Errorf("%d, %v", recorder.Code, recorder.Header())
	}
}

// TestNothingIsPassedOnThatWasNotSigned: a body changed on the way reaches no bucket
// completely, although the bucket does not check it.
func TestNothingIsPassedOnThatWasNotSigned(t *testing.T) {
	var whole atomic.Int64
	lax := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err == nil {
			whole.Add(1)
		}
	}))
	t.Cleanup(lax.Close)
	r := newRelay(t, Options{Forward: &Forward{Endpoint: lax.URL, Region: "x", Bucket: "logs", AccessKeyID: "k", SecretAccessKey: "s"}}, runtime.Options{})
	for _, size := range []int{1, 100, 1 << 20} {
		body := strings.Repeat("a", size)
		for sent, code := range map[string]string{body: "", "b" + body[1:]: "XAmzContentSHA256Mismatch"} {
			req := unsigned(t, r, http.MethodPut, "/"+testBucket+"/x.json", sent)
			resign(t, s3Signer(), req, body)
			if a := r.do(req); a.code() != code {
				t.Errorf("%d bytes: %d %s, want %q", size, a.status, a.body, code)
			}
		}
	}
	if got := whole.Load(); got != 3 {
		t.Errorf("%d objects arrived whole, want those 3 that were signed", got)
	}
}

// TestWhatIsNotPassedOn: the owner of an endpoint key acts with the relay's credentials, so it
// has no access to callbacks' places, other buckets and permissions.
func TestWhatIsNotPassedOn(t *testing.T) {
	_, to := gateway(t, "logs", "audit-prod", "other")
	to.Buckets = []string{"logs", "audit-prod"}
	to.Reserved = []Place{{Callback: "archive", Bucket: "audit-prod", Prefix: "relay/eu/"}}
	r := newRelay(t, Options{Forward: &to}, runtime.Options{})
	put := func(path string, head ...string) *http.Request {
		req := unsigned(t, r, http.MethodPut, path, "x")
		for i := 0; i < len(head); i += 2 {
			req.Header.Set(head[i], head[i+1])
		}
		return req
	}
	for name, tt := range map[string]struct {
		req  *http.Request
		code string
	}{
		"a bucket of its own":        {put("/logs/x.json"), ""},
		"beside a callback's place":  {put("/audit-prod/relay/eu2/x.json"), ""},
		"another bucket":             {put("/other/x.json"), "AccessDenied"},
		"a callback's place":         {put("/audit-prod/relay/eu/x.json"), "AccessDenied"},
		"its manifests":              {put("/audit-prod/relay/eu/_manifests/archive/1.json"), "AccessDenied"},
		"its folder itself":          {put("/audit-prod/relay/eu"), "AccessDenied"},
		"empty segments":             {put("/audit-prod//relay///eu/x.json"), "AccessDenied"},
		"dot dot":                    {put("/logs/../audit-prod/relay/eu/x.json"), "InvalidRequest"},
		"dot dot, encoded":           {put("/logs/%2e%2e/audit-prod/relay/eu/x.json"), "SignatureDoesNotMatch"},
		"dot":                        {put("/audit-prod/./relay/eu/x.json"), "InvalidRequest"},
		"an ACL":                     {put("/logs/x.json", "X-Amz-Acl", "public-read"), "InvalidRequest"},
		"a grant":                    {put("/logs/x.json", "X-Amz-Grant-Read", "id=1"), "InvalidRequest"},
		"tags":                       {put("/logs/x.json", "X-Amz-Tagging", "a=b"), "InvalidRequest"},
		"a lock":                     {put("/logs/x.json", "X-Amz-Object-Lock-Mode", "COMPLIANCE"), "InvalidRequest"},
		"a redirect":                 {put("/logs/x.json", "X-Amz-Website-Redirect-Location", "http://evil"), "InvalidRequest"},
		"a copy":                     {put("/logs/x.json", "X-Amz-Copy-Source", "/audit-prod/relay/eu/x.json"), "InvalidRequest"},
		"a key of the client's":      {put("/logs/x.json", "X-Amz-Server-Side-Encryption-Customer-Algorithm", "AES256"), "InvalidRequest"},
		"an ACL by the query":        {put("/logs/x.json?acl"), "NotImplemented"},
		"a part":                     {put("/logs/x.json?partNumber=1&uploadId=1"), "NotImplemented"},
		"deletion, unless allowed":   {unsigned(t, r, http.MethodDelete, "/logs/x.json", ""), "AccessDenied"},
		"reading a callback's place": {unsigned(t, r, http.MethodGet, "/audit-prod/relay/eu/x.json", ""), "AccessDenied"},
		"listing it":                 {unsigned(t, r, http.MethodGet, "/audit-prod?list-type=2", ""), "AccessDenied"},
		"reading who may read":       {unsigned(t, r, http.MethodGet, "/logs/x.json?acl", ""), "NotImplemented"},
	} {
		body := ""
		if tt.req.Method == http.MethodPut {
			body = "x"
		}
		resign(t, s3Signer(), tt.req, body)
		if a := r.do(tt.req); a.code() != tt.code || (tt.code == "") != (a.status == http.StatusOK) {
			t.Errorf("%s: %d %s, want %q", name, a.status, a.body, tt.code)
		}
	}
	got := forwards(r)
	if got[Forwarded{"litellm", "PUT", "2xx"}] != 2 || got[Forwarded{"litellm", "PUT", "AccessDenied"}] != 5 || got[Forwarded{"litellm", "DELETE", "AccessDenied"}] != 1 {
		t.Errorf("counted %v", got)
	}
}

// TestForwardOptions: a bucket is required, and one used entirely by a callback is refused.
func TestForwardOptions(t *testing.T) {
	key := []Key{{Name: "k", AccessKeyID: testID, Secret: testSecret}}
	for name, tt := range map[string]struct {
		to   Forward
		want string
	}{
		"no bucket":           {Forward{Region: "eu-central-1"}, "forward_to.bucket"},
		"both":                {Forward{Region: "eu-central-1", Bucket: "a", Buckets: []string{"b"}}, "forward_to.bucket"},
		"no region":           {Forward{Bucket: "a"}, "forward_to.region"},
		"an unknown method":   {Forward{Region: "x", Bucket: "a", Methods: []string{"POST"}}, "forward_to.methods"},
		"half a key":          {Forward{Region: "x", Bucket: "a", AccessKeyID: "a"}, "forward_to.secret_access_key"},
		"no endpoint":         {Forward{Region: "x", Bucket: "a", Endpoint: "ftp://h"}, "forward_to.endpoint"},
		"a callback's bucket": {Forward{Region: "x", Bucket: "a", Reserved: []Place{{"archive", "a", ""}}}, "callback archive"},
		"one of them":         {Forward{Region: "x", Buckets: []string{"b", "a"}, Reserved: []Place{{"archive", "a", "/"}}}, "callback archive"},
		"a folder of it":      {Forward{Region: "x", Bucket: "a", Reserved: []Place{{"archive", "a", "p"}}}, ""},
	} {
		_, err := New(Options{Keys: key, Forward: &tt.to})
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(errText(err), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func errText(err error) string {
	text := err.Error()
	if o, ok := errors.AsType[*auditrelay.OptionError](err); ok {
		text += " " + o.Path
	}
	return text
}

// TestPartitions: AWS's regions outside the public partition have other domains.
func TestPartitions(t *testing.T) {
	for region, want := range map[string]string{
		"eu-central-1": "https://s3.eu-central-1.amazonaws.com", "cn-north-1": "https://s3.cn-north-1.amazonaws.com.cn",
		"us-gov-west-1": "https://s3.us-gov-west-1.amazonaws.com", "us-iso-east-1": "https://s3.us-iso-east-1.c2s.ic.gov",
		"eusc-de-east-1": "https://s3.eusc-de-east-1.amazonaws.eu",
	} {
		u, err := forwardEndpoint(Forward{Region: region})
		if err != nil || strings.TrimSuffix(u.String(), "/") != want {
			t.Errorf("%s: %v, %v; want %s", region, u, err, want)
		}
	}
}

// TestABucketThatRefuses: the producer gets its answer. If it cannot be reached, the producer
// gets 503 and can retry. Neither is ever a 200. Credentials are read again afterwards.
func TestABucketThatRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "credentials")
	write := func(key string) {
		if err := os.WriteFile(file, []byte("[default]\naws_access_key_id = "+key+"\naws_secret_access_key = s\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("OLDKEY")
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"} {
		t.Setenv(name, "")
		os.Unsetenv(name)
	}
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file)
	t.Setenv("AWS_CONFIG_FILE", file+".none")
	var agents []string
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		agents = append(agents, r.UserAgent())
		if strings.Contains(r.Header.Get("Authorization"), "NEWKEY") {
			w.Header().Set("ETag", `"x"`)
			return
		}
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte("<Error><Code>NoSuchKey</Code></Error>"))
	}))
	var log bytes.Buffer
	r := newRelay(t, Options{Forward: &Forward{Endpoint: upstream.URL, Region: "x", Bucket: "logs"}, Logger: slog.New(slog.NewTextHandler(&log, nil))}, runtime.Options{})
	if _, err := r.put(t.Context(), "log.json", "a"); codeOf(err) != "NoSuchKey" || !strings.Contains(log.String(), "Upstream4xx") {
		t.Errorf("got %v, logged %s", err, log.String())
	}
	write("NEWKEY")
	if _, err := r.put(t.Context(), "log.json", "a"); err != nil {
		t.Errorf("with the new key: %v", err)
	}
	if len(agents) != 2 || agents[0] != "auditrelay (key litellm)" {
		t.Errorf("the bucket saw %q", agents)
	}
	upstream.Close()
	if _, err := r.put(t.Context(), "log.json", "a"); codeOf(err) != "ServiceUnavailable" {
		t.Errorf("got %v", err)
	}
	r.nothing()
}

// TestAnAnswerThatBreaksOff: the client must not take half an object for a complete one.
func TestAnAnswerThatBreaksOff(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = w.Write([]byte("half"))
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}))
	t.Cleanup(upstream.Close)
	r := newRelay(t, Options{Forward: &Forward{Endpoint: upstream.URL, Region: "x", Bucket: "logs", AccessKeyID: "k", SecretAccessKey: "s"}}, runtime.Options{})
	got, err := r.client().GetObject(context.Background(), &s3.GetObjectInput{Bucket: aws.String(testBucket), Key: aws.String("x")})
	if err == nil {
		_, err = io.ReadAll(got.Body)
	}
	if err == nil {
		t.Error("half an object reads as whole")
	}
	r.http.Close() // when it has ended, everything is counted
	if got := forwards(r); got[Forwarded{"litellm", "GET", "InternalError"}] == 0 {
		t.Errorf("counted %v", got)
	}
}

// TestChunkedUploadsArePassedOn: for clients that send checksums after the body.
func TestChunkedUploadsArePassedOn(t *testing.T) {
	server, to := gateway(t, "logs")
	to.Bucket = "logs"
	r := newRelay(t, Options{Forward: &to}, runtime.Options{}, true)
	_, err := r.client().PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(testBucket), Key: aws.String("x.json"),
		Body: strings.NewReader("a request log"), ChecksumAlgorithm: types.ChecksumAlgorithmCrc32})
	if err != nil || string(server.Objects(t, "logs")["x.json"]) != "a request log" {
		t.Errorf("%v: %q", err, server.Objects(t, "logs"))
	}
}

func TestPlaces(t *testing.T) {
	for _, tt := range []struct {
		prefix, key string
		want        bool
	}{
		{"", "x", true}, {"a/b", "a/b/c", true}, {"a/b", "a/b", true}, {"a/b/", "a//b/c", true}, {"a/b", "/a/b/c", true},
		{"a/b", "a/bc", false}, {"a/b", "a", false}, {"a/b", "b/a/b", false},
	} {
		if got := (Place{Bucket: "b", Prefix: tt.prefix}).Holds("b", tt.key); got != tt.want {
			t.Errorf("%q in %q: %v", tt.key, tt.prefix, got)
		}
	}
	// An access point may lead to any bucket: only the prefix decides.
	for _, bucket := range []string{"arn:aws:s3:eu-central-1:123456789012:accesspoint/audit", "arn:aws:s3::123456789012:accesspoint/mfzwi23gnjvgw.mrap",
		"audit-hrzrlukc5m36ft7okagglf3gmwluquse1b-s3alias", "audit-hrzrlukc5m36ft7okagglf3gmwluquse1b--ol-s3", "audit-o0b1d075431d83bebde8xz5w8ijx1qzlbp3i3kuse10--op-s3"} {
		for _, there := range [][2]string{{bucket, "b"}, {"b", bucket}} {
			if !(Place{Bucket: there[0], Prefix: "relay"}).Holds(there[1], "relay/x") || (Place{Bucket: there[0], Prefix: "relay"}).Holds(there[1], "logs/x") || !(Place{Bucket: there[0]}).Holds(there[1], "x") {
				t.Errorf("a callback in %s, an object in %s", there[0], there[1])
			}
		}
	}
	if (Place{Bucket: "b"}).Holds("c", "x") {
		t.Error("another bucket")
	}
}
