package s3_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/builtin/s3"
	"auditrelay/internal/test/faultproxy"
	"auditrelay/internal/test/s3test"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/go-cmp/cmp"
)

// stored is S3's response to a stored object.
var stored = faultproxy.Answer(http.StatusOK, "", "ETag", `"etag"`)

// fake only sends responses. It is for responses that a real gateway cannot be made to send.
func fake(t testing.TB, answers ...faultproxy.Fault) *faultproxy.Proxy {
	t.Helper()
	proxy := faultproxy.Start(t, "http://127.0.0.1:1")
	proxy.Always(stored)
	proxy.Script(answers...)
	return proxy
}

func payloadFor(t testing.TB, o s3.Options) auditrelay.Payload {
	t.Helper()
	now := at(t, "2026-03-15T12:00:00Z")
	return renderOne(t, o, auditrelay.Record{ID: "id", Time: now, Received: now})
}

// Each fault in front of a real gateway gives the right kind of error. After the next delivery the
// object exists once.
func TestFaultsInFrontOfARealStore(t *testing.T) {
	server := s3test.Start(t)
	for i, tc := range []struct {
		fault     faultproxy.Fault
		kind      auditrelay.ErrorKind
		duplicate bool // the failed attempt stored it
	}{
		{faultproxy.InternalError, auditrelay.Transient, false},
		{faultproxy.SlowDown, auditrelay.Throttled, false},
		{faultproxy.AccessDenied, auditrelay.Unauthorized, false},
		{faultproxy.LoseAnswer, auditrelay.Transient, true},
		{faultproxy.HangAfter, auditrelay.Transient, true},
		{faultproxy.Hang, auditrelay.Transient, false},
		{faultproxy.Reset, auditrelay.Transient, false},
		{faultproxy.Torn(20), auditrelay.Transient, false},
		{faultproxy.S3Error(http.StatusConflict, "ConditionalRequestConflict"), auditrelay.Transient, false},
		{faultproxy.Answer(http.StatusOK, "<html>please log in</html>"), auditrelay.Transient, false},
		{faultproxy.Answer(http.StatusBadGateway, "<html>bad gateway</html>"), auditrelay.Transient, false},
	} {
		t.Run(tc.fault.String(), func(t *testing.T) {
			t.Parallel()
			bucket := fmt.Sprintf("faults-%d", i)
			server.Bucket(t, bucket)
			proxy := faultproxy.Start(t, server.Endpoint)
			o := options(proxy.URL, bucket)
			o.RequestTimeout = time.Second
			sink := newSink(t, o)
			p := payloadFor(t, o)
			proxy.Script(tc.fault)
			_, err := sink.Deliver(t.Context(), p)
			if err == nil || auditrelay.KindOf(err) != tc.kind {
				t.Fatalf("%v, %v; want %v", err, auditrelay.KindOf(err), tc.kind)
			}
			if n := len(proxy.Requests()); n != 1 {
				t.Errorf("%d requests for one delivery: retries are the engine's", n)
			}
			receipt, err := sink.Deliver(t.Context(), p)
			if err != nil || receipt.Duplicate != tc.duplicate {
				t.Errorf("the next attempt: %+v, %v; want duplicate %v", receipt, err, tc.duplicate)
			}
			if docs := documents(t, server, bucket); len(docs) != 1 {
				t.Errorf("%d records in the bucket", len(docs))
			}
		})
	}
}

func TestASlowTransferIsNoFailure(t *testing.T) {
	server := s3test.Start(t, "slow")
	proxy := faultproxy.Start(t, server.Endpoint)
	proxy.Always(faultproxy.SlowBody(20 * time.Millisecond))
	o := options(proxy.URL, "slow")
	if _, err := newSink(t, o).Deliver(t.Context(), payloadFor(t, o)); err != nil {
		t.Fatal(err)
	}
}

// The engine decides by these kinds.
func TestWhatAnAnswerMeans(t *testing.T) {
	const (
		transient, throttled   = auditrelay.Transient, auditrelay.Throttled
		unauthorized, mistaken = auditrelay.Unauthorized, auditrelay.Misconfigured
		tooLarge, refused      = auditrelay.TooLarge, auditrelay.Refused
	)
	for _, tc := range []struct {
		status int
		code   string
		kind   auditrelay.ErrorKind
	}{
		{403, "AccessDenied", unauthorized},
		{403, "InvalidAccessKeyId", unauthorized},
		{403, "SignatureDoesNotMatch", unauthorized},
		{400, "ExpiredToken", unauthorized},
		{400, "InvalidToken", unauthorized},
		{403, "RequestTimeTooSkewed", unauthorized},
		{403, "SomethingNew", unauthorized},
		{404, "NoSuchBucket", mistaken},
		{301, "PermanentRedirect", mistaken},
		{400, "AuthorizationHeaderMalformed", mistaken},
		{400, "InvalidStorageClass", mistaken},
		{400, "InvalidArgument", mistaken},
		{400, "InvalidRequest", mistaken},
		{400, "KMS.DisabledException", mistaken},
		{400, "SomethingNew", mistaken},
		{501, "NotImplemented", mistaken},
		{412, "SomethingNew", mistaken}, // a 412 with another code does not mean that the object exists
		{400, "KeyTooLongError", mistaken},
		{503, "SlowDown", throttled},
		{503, "ServiceUnavailable", throttled},
		{429, "TooManyRequests", throttled},
		{400, "RequestLimitExceeded", throttled},
		{400, "EntityTooLarge", tooLarge},
		{413, "", tooLarge},
		{400, "RequestTimeout", transient},
		{400, "IncompleteBody", transient},
		{400, "BadDigest", transient},
		{400, "XAmzContentSHA256Mismatch", transient},
		{409, "OperationAborted", transient},
		{307, "TemporaryRedirect", transient},
		{500, "InternalError", transient},
		{504, "", transient},
	} {
		t.Run(fmt.Sprint(tc.status, tc.code), func(t *testing.T) {
			o := options(fake(t, faultproxy.S3Error(tc.status, tc.code)).URL, "bucket")
			_, err := newSink(t, o).Deliver(t.Context(), payloadFor(t, o))
			if err == nil || auditrelay.KindOf(err) != tc.kind {
				t.Errorf("%v, %v; want %v", err, auditrelay.KindOf(err), tc.kind)
			}
			if !strings.Contains(err.Error(), "put s3://bucket/") || !strings.Contains(err.Error(), fmt.Sprint(tc.status)) {
				t.Errorf("the error does not name operation, object and status: %v", err)
			}
		})
	}
	t.Run("a key that its id made too long", func(t *testing.T) {
		o := options(fake(t, faultproxy.S3Error(400, "KeyTooLongError")).URL, "bucket")
		o.Layout = s3.LayoutLiteLLM
		if _, err := newSink(t, o).Deliver(t.Context(), payloadFor(t, o)); auditrelay.KindOf(err) != refused {
			t.Errorf("%v; want refused", err)
		}
	})
}

// A proxy's page with the status of an existing object is no delivery.
func TestAPageWithStatus412IsNoObject(t *testing.T) {
	for _, body := range []string{"<html>precondition failed</html>", "", "precondition failed"} {
		o := options(fake(t, faultproxy.Answer(412, body)).URL, "bucket")
		if receipt, err := newSink(t, o).Deliver(t.Context(), payloadFor(t, o)); auditrelay.KindOf(err) != auditrelay.Misconfigured || err == nil {
			t.Errorf("%q: %v, %v", body, receipt, err)
		}
	}
}

// Stores quote requests in their responses. Attempts show responses without credentials.
func TestAnAnswerIsShownWithoutCredentials(t *testing.T) {
	quoting := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, "<Error><Code>AccessDenied</Code><Message>quoted: %s %s</Message></Error>", r.Header["X-Amz-Security-Token"], r.Header["Authorization"])
	}))
	t.Cleanup(quoting.Close)
	o := options(quoting.URL, "bucket")
	o.Credentials.SessionToken = "session-token-of-the-writer"
	_, err := newSink(t, o).Deliver(t.Context(), payloadFor(t, o))
	d, ok := errors.AsType[*auditrelay.DeliveryError](err)
	if !ok || !strings.Contains(d.Answer, "quoted") || strings.Contains(d.Answer, "session-token") || strings.Contains(d.Answer, "Signature=") {
		t.Errorf("%v, the answer is shown as %q", err, d.Answer)
	}
}

func TestRetryAfterIsHandedOn(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"7": 7 * time.Second, "-1": 0, "x": 0, "": 0, "999999999": time.Hour,
		time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat):    0,
		time.Now().Add(5 * time.Hour).UTC().Format(http.TimeFormat): time.Hour,
	} {
		o := options(fake(t, faultproxy.S3Error(503, "SlowDown", "Retry-After", value)).URL, "bucket")
		_, err := newSink(t, o).Deliver(t.Context(), payloadFor(t, o))
		if got := auditrelay.RetryAfter(err); got != want {
			t.Errorf("Retry-After %q became %v, want %v", value, got, want)
		}
	}
}

func TestAnEndlessAnswerIsCutOff(t *testing.T) {
	o := options(fake(t, faultproxy.Answer(500, "<Error><Code>"+strings.Repeat("x", 8<<20))).URL, "bucket")
	_, err := newSink(t, o).Deliver(t.Context(), payloadFor(t, o))
	if err == nil || len(err.Error()) > 500 {
		t.Errorf("%.200v", err)
	}
}

func TestAnUnreachableStoreIsTransient(t *testing.T) {
	o := options("http://127.0.0.1:1", "bucket")
	_, err := newSink(t, o).Deliver(t.Context(), payloadFor(t, o))
	if auditrelay.KindOf(err) != auditrelay.Transient || !strings.Contains(err.Error(), "refused") {
		t.Errorf("%v", err)
	}
}

// The rows depend on each other: one object under one key.
func TestWhatStandsThereAlready(t *testing.T) {
	server := s3test.Start(t, "existing")
	litellm := options(server.Endpoint, "existing")
	litellm.Layout = s3.LayoutLiteLLM
	verify := litellm
	verify.VerifyExisting = true
	crc := verify
	crc.Checksum = s3.ChecksumCRC32C
	over := litellm
	off := false
	over.Conditional = &off
	now := at(t, "2026-03-15T12:00:00Z")
	ours := auditrelay.Record{ID: "same", Time: now, Received: now, Data: []byte(`{"v":1}`)}
	theirs := ours
	theirs.Data = []byte(`{"v":2}`)

	for _, tc := range []struct {
		name    string
		options s3.Options
		record  auditrelay.Record
		want    auditrelay.Receipt // except location and version
		kind    auditrelay.ErrorKind
		fails   bool
		content string
	}{
		{name: "nothing", options: litellm, record: ours, content: `{"v":1}`,
			want: auditrelay.Receipt{Status: 200}},
		{name: "the same, not verified", options: litellm, record: ours, content: `{"v":1}`,
			want: auditrelay.Receipt{Duplicate: true, Unverified: true, Status: 412}},
		{name: "another, not verified", options: litellm, record: theirs, content: `{"v":1}`,
			want: auditrelay.Receipt{Duplicate: true, Unverified: true, Status: 412}},
		{name: "the same, verified", options: verify, record: ours, content: `{"v":1}`,
			want: auditrelay.Receipt{Duplicate: true, Status: 412}},
		{name: "the same, verified by its digest", options: crc, record: ours, content: `{"v":1}`,
			want: auditrelay.Receipt{Duplicate: true, Status: 412}},
		{name: "another, verified", options: verify, record: theirs, content: `{"v":1}`,
			fails: true, kind: auditrelay.Refused},
		{name: "another, written over as told", options: over, record: theirs, content: `{"v":2}`,
			want: auditrelay.Receipt{Status: 200}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := renderOne(t, tc.options, tc.record)
			receipt, err := newSink(t, tc.options).Deliver(t.Context(), p)
			if (err != nil) != tc.fails || err != nil && auditrelay.KindOf(err) != tc.kind {
				t.Fatalf("%v", err)
			}
			if err == nil {
				if want := "s3://existing/" + p.Key; receipt.Location != want {
					t.Errorf("the location is %s, want %s", receipt.Location, want)
				}
				receipt.Location, receipt.Version = "", ""
				if diff := cmp.Diff(tc.want, receipt); diff != "" {
					t.Errorf("the receipt (-want +got):\n%s", diff)
				}
			}
			if got := string(server.Objects(t, "existing")[p.Key]); got != tc.content {
				t.Errorf("the object holds %s, want %s", got, tc.content)
			}
		})
	}
}

func TestTheStoreChecksTheChecksum(t *testing.T) {
	server := s3test.Start(t, "checked")
	for _, algorithm := range []string{s3.ChecksumSHA256, s3.ChecksumCRC32C} {
		o := options(server.Endpoint, "checked")
		o.Checksum = algorithm
		p := payloadFor(t, o)
		p.Body[len(p.Body)-1] ^= 1 // damaged between seal and delivery
		if _, err := newSink(t, o).Deliver(t.Context(), p); err == nil || auditrelay.KindOf(err) != auditrelay.Transient {
			t.Errorf("%s: a damaged body gave %v", algorithm, err)
		}
	}
	if objects := server.Objects(t, "checked"); len(objects) != 0 {
		t.Errorf("%d damaged objects were stored", len(objects))
	}
}

func TestHowABucketKeepsObjects(t *testing.T) {
	proxy := fake(t)
	o := options(proxy.URL, "bucket")
	o.Encryption = s3.Encryption{Type: "kms", KMSKeyID: "key-1", BucketKey: true}
	o.ObjectLock = s3.ObjectLock{Mode: "governance", RetainFor: 24 * time.Hour}
	o.StorageClass = "STANDARD_IA"
	o.Tags = map[string]string{"team": "a & b", "env": "prod"}
	o.ACL = "bucket-owner-full-control"
	o.ExpectedBucketOwner = "123456789012"
	if _, err := newSink(t, o).Deliver(t.Context(), payloadFor(t, o)); err != nil {
		t.Fatal(err)
	}
	sent := proxy.Requests()[0].Header
	want := map[string]string{
		"X-Amz-Server-Side-Encryption":                    "aws:kms",
		"X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id":     "key-1",
		"X-Amz-Server-Side-Encryption-Bucket-Key-Enabled": "true",
		"X-Amz-Object-Lock-Mode":                          "GOVERNANCE",
		"X-Amz-Storage-Class":                             "STANDARD_IA",
		"X-Amz-Tagging":                                   "env=prod&team=a+%26+b",
		"X-Amz-Acl":                                       "bucket-owner-full-control",
		"X-Amz-Expected-Bucket-Owner":                     "123456789012",
		"If-None-Match":                                   "*",
		"Content-Type":                                    "application/x-ndjson",
		"Content-Encoding":                                "gzip",
		"X-Amz-Meta-Auditrelay-Callback":                  "archive",
		"X-Amz-Meta-Auditrelay-Records":                   "1",
	}
	got := map[string]string{}
	for name := range want {
		got[name] = sent.Get(name)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
	until, err := time.Parse(time.RFC3339, sent.Get("X-Amz-Object-Lock-Retain-Until-Date"))
	if left := time.Until(until); err != nil || left < 23*time.Hour || left > 24*time.Hour {
		t.Errorf("retained until %v, %v", until, err)
	}
	for _, name := range []string{"Content-Md5", "X-Amz-Checksum-Sha256"} {
		if sent.Get(name) == "" {
			t.Errorf("no %s was sent", name)
		}
	}
}

func TestObjectLockAndProbe(t *testing.T) {
	server := s3test.Start(t, "plain")
	client := awss3.New(awss3.Options{
		Region: s3test.Region, BaseEndpoint: aws.String(server.Endpoint), UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(s3test.AccessKey, s3test.SecretKey, ""),
	})
	for _, bucket := range []string{"locked", "retaining"} {
		if _, err := client.CreateBucket(t.Context(), &awss3.CreateBucketInput{
			Bucket: aws.String(bucket), ObjectLockEnabledForBucket: aws.Bool(true)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client.PutObjectLockConfiguration(t.Context(), &awss3.PutObjectLockConfigurationInput{
		Bucket: aws.String("retaining"),
		ObjectLockConfiguration: &types.ObjectLockConfiguration{
			ObjectLockEnabled: types.ObjectLockEnabledEnabled,
			Rule: &types.ObjectLockRule{DefaultRetention: &types.DefaultRetention{
				Mode: types.ObjectLockRetentionModeGovernance, Days: aws.Int32(1)}},
		},
	}); err != nil {
		t.Fatal(err)
	}
	lock := s3.ObjectLock{Mode: "governance", RetainFor: time.Hour}

	t.Run("an object is locked", func(t *testing.T) {
		o := options(server.Endpoint, "locked")
		o.ObjectLock = lock
		p := payloadFor(t, o)
		receipt, err := newSink(t, o).Deliver(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		head, err := client.HeadObject(t.Context(), &awss3.HeadObjectInput{Bucket: aws.String("locked"), Key: aws.String(p.Key)})
		if err != nil || head.ObjectLockMode != types.ObjectLockModeGovernance || receipt.Version != aws.ToString(head.VersionId) {
			t.Errorf("lock %v, receipt %+v, %v", head.ObjectLockMode, receipt, err)
		}
	})
	for _, tc := range []struct {
		bucket     string
		lock       s3.ObjectLock
		notChecked bool
		kind       auditrelay.ErrorKind
		fails      bool
	}{
		{bucket: "plain"},
		{bucket: "locked"},
		{bucket: "plain", lock: lock, notChecked: true},
		{bucket: "retaining", notChecked: true},
		{bucket: "missing", fails: true, kind: auditrelay.Misconfigured},
	} {
		t.Run(fmt.Sprintf("probe of %s, lock %q", tc.bucket, tc.lock.Mode), func(t *testing.T) {
			o := options(server.Endpoint, tc.bucket)
			o.ObjectLock = tc.lock
			err := newSink(t, o).Probe(t.Context())
			if got := errors.Is(err, auditrelay.ErrNotChecked); got != tc.notChecked {
				t.Errorf("not checked: %v (%v), want %v", got, err, tc.notChecked)
			}
			if !tc.notChecked && (err != nil) != tc.fails || tc.fails && auditrelay.KindOf(err) != tc.kind {
				t.Errorf("%v", err)
			}
		})
	}
	for _, bucket := range []string{"plain", "locked", "retaining"} {
		var probes int
		for key := range server.Objects(t, bucket) {
			if strings.Contains(key, "_auditrelay/probe") {
				probes++
			}
		}
		if want := map[string]int{"plain": 1, "locked": 1}[bucket]; probes != want {
			t.Errorf("%d probes in %s, want %d", probes, bucket, want)
		}
	}
}

func TestAProbeThatMayNotAskIsNotChecked(t *testing.T) {
	proxy := fake(t, faultproxy.AccessDenied)
	if err := newSink(t, options(proxy.URL, "bucket")).Probe(t.Context()); !errors.Is(err, auditrelay.ErrNotChecked) {
		t.Errorf("%v", err)
	}
	if n := len(proxy.Requests()); n != 1 {
		t.Errorf("%d requests: the probe wrote", n)
	}
}

// In virtual style, the request goes to the bucket's host name.
func TestAddressing(t *testing.T) {
	proxy := fake(t)
	o := options(proxy.URL, "bucket")
	o.Prefix = ""
	if _, err := newSink(t, o).Deliver(t.Context(), payloadFor(t, o)); err != nil {
		t.Fatal(err)
	}
	if path := proxy.Requests()[0].Path; !strings.HasPrefix(path, "/bucket/dt=") && !strings.HasPrefix(path, "/bucket/dt%3D") {
		t.Errorf("path style asked for %s", path)
	}
	o.Addressing = s3.AddressingVirtual
	o.Endpoint = strings.Replace(proxy.URL, "127.0.0.1", "localhost", 1)
	_, err := newSink(t, o).Deliver(t.Context(), payloadFor(t, o))
	if requests := proxy.Requests(); err == nil && (len(requests) != 2 || strings.HasPrefix(requests[1].Path, "/bucket/")) {
		t.Errorf("virtual style asked for %+v", requests[len(requests)-1])
	} else if err != nil && !strings.Contains(err.Error(), "bucket.localhost") {
		t.Error(err) // where bucket.localhost does not resolve, the error names it
	}
}

func TestADeliveryWaitsForItsTurnUnderItsContext(t *testing.T) {
	proxy := faultproxy.Start(t, "http://127.0.0.1:1")
	proxy.Always(faultproxy.Hang)
	o := options(proxy.URL, "bucket")
	o.Concurrency = 1
	sink := newSink(t, o)
	p := payloadFor(t, o)
	first, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := sink.Deliver(first, p)
		ended <- err
	}()
	for len(proxy.Requests()) == 0 { // the first delivery occupies the only slot
		select {
		case err := <-ended:
			t.Fatal(err)
		case <-time.After(time.Millisecond):
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := sink.Deliver(ctx, p); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the second delivery: %v", err)
	}
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the first delivery: %v", err)
	}
}
