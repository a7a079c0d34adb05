package s3

import (
	"crypto/md5" //nolint:gosec // as S3 does
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"auditrelay/runtime"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
)

func codeOf(err error) string {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return e.ErrorCode()
	}
	return fmt.Sprint(err)
}

func TestPutOfAnEventIsDurableAndAnsweredWithItsETag(t *testing.T) {
	r := newRelay(t, Options{}, runtime.Options{})
	out, err := r.put(t.Context(), testKey, event("a"))
	if err != nil {
		t.Fatal(err)
	}
	sum := md5.Sum([]byte(event("a"))) //nolint:gosec // as S3 does
	if got := aws.ToString(out.ETag); got != `"`+hex.EncodeToString(sum[:])+`"` {
		t.Errorf("ETag %s", got)
	}
	if got := r.stored(); !slices.Equal(got, []string{event("a")}) {
		t.Errorf("%q", got)
	}
}

// TestEveryFormOfPayloadAndChecksum covers everything that AWS's SDK can send: each form must
// be accepted, and a changed byte of its body must be detected.
func TestEveryFormOfPayloadAndChecksum(t *testing.T) {
	algorithms := append([]types.ChecksumAlgorithm{""},
		types.ChecksumAlgorithmCrc32, types.ChecksumAlgorithmCrc32c, types.ChecksumAlgorithmCrc64nvme, types.ChecksumAlgorithmSha1, types.ChecksumAlgorithmSha256)
	seen := map[string]bool{}
	for _, tls := range []bool{false, true} {
		for _, algorithm := range algorithms {
			for _, form := range []string{"seekable", "stream", "unsigned"} {
				if form == "stream" && !tls {
					continue // the SDK itself refuses it
				}
				t.Run(fmt.Sprintf("tls=%v,%s,%s", tls, algorithm, form), func(t *testing.T) {
					r := newRelay(t, Options{}, runtime.Options{}, tls)
					send := func(id string, tamper bool) (string, error) {
						var sent string
						client := r.client(func(o *s3.Options) {
							o.HTTPClient = &wiretap{next: r.http.Client(), tamper: tamper, id: id, payload: &sent}
							if form == "unsigned" {
								o.APIOptions = append(o.APIOptions, v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware)
							}
						})
						var body io.Reader = strings.NewReader(event(id))
						if form == "stream" {
							body = io.MultiReader(body)
						}
						in := &s3.PutObjectInput{Bucket: aws.String(testBucket), Key: aws.String(testKey), Body: body, ChecksumAlgorithm: algorithm}
						if form == "stream" {
							in.ContentLength = aws.Int64(int64(len(event(id))))
						}
						_, err := client.PutObject(t.Context(), in)
						return sent, err
					}
					sent, err := send("a", false)
					if err != nil {
						t.Fatalf("%s: %v", sent, err)
					}
					if got := r.stored(); !slices.Equal(got, []string{event("a")}) {
						t.Errorf("%s: %q", sent, got)
					}
					seen[sent] = true
					_, err = send("b", true)
					if code := codeOf(err); code != "BadDigest" && code != "XAmzContentSHA256Mismatch" {
						t.Errorf("%s: tampered with: %v", sent, err)
					}
					if got := r.stored(); len(got) != 1 || len(r.quarantined()) != 0 {
						t.Errorf("%s: kept: %q", sent, got)
					}
				})
			}
		}
	}
	// It sends an unsigned payload without a checksum only if checksums are turned off.
	// payload_test.go covers that form.
	if !seen["STREAMING-UNSIGNED-PAYLOAD-TRAILER"] || !seen["a digest"] {
		t.Errorf("the SDK did not send all forms: %v", seen)
	}
}

// wiretap records the form of the payload, and may change one byte of the body.
type wiretap struct {
	next    *http.Client
	tamper  bool
	id      string
	payload *string
}

func (w *wiretap) Do(req *http.Request) (*http.Response, error) {
	if *w.payload = req.Header.Get("X-Amz-Content-Sha256"); len(*w.payload) == 64 {
		*w.payload = "a digest"
	}
	if w.tamper {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		req.Body = io.NopCloser(strings.NewReader(strings.Replace(string(body), `"id":"`+w.id, `"id":"x`, 1)))
	}
	return w.next.Do(req)
}

// TestRetriesAtTheSameTimeAreOneEvent: the same PUT, many times in parallel.
func TestRetriesAtTheSameTimeAreOneEvent(t *testing.T) {
	r := newRelay(t, Options{}, runtime.Options{})
	body := event("a") + "\n" + event("b") + "\n{\"id\":\"odd\"}\n"
	client := r.client()
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			_, err := client.PutObject(t.Context(), &s3.PutObjectInput{
				Bucket: aws.String(testBucket), Key: aws.String(batchKey), Body: strings.NewReader(body)})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got := r.stored()
	slices.Sort(got)
	if !slices.Equal(got, []string{event("a"), event("b")}) {
		t.Errorf("%q", got)
	}
	if got := r.quarantined(); !slices.Equal(got, []string{`missing: {"id":"odd"}`}) {
		t.Errorf("%q", got)
	}
}

func TestWhatClientsAskOfABucket(t *testing.T) {
	r := newRelay(t, Options{Buckets: []string{testBucket}}, runtime.Options{})
	c, ctx, bucket := r.client(), t.Context(), aws.String(testBucket)
	if _, err := c.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: bucket}); err != nil {
		t.Error("HeadBucket:", err)
	}
	if out, err := c.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: bucket, Prefix: aws.String("audit_logs/")}); err != nil || len(out.Contents) != 0 || aws.ToString(out.Name) != testBucket {
		t.Error("ListObjectsV2:", out, err)
	}
	if _, err := c.ListObjects(ctx, &s3.ListObjectsInput{Bucket: bucket}); err != nil {
		t.Error("ListObjects:", err)
	}
	if _, err := c.GetBucketLocation(ctx, &s3.GetBucketLocationInput{Bucket: bucket}); err != nil {
		t.Error("GetBucketLocation:", err)
	}
	if _, err := c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: bucket, CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: "us-west-2"}}); err != nil {
		t.Error("CreateBucket:", err)
	}
	if out, err := c.ListBuckets(ctx, &s3.ListBucketsInput{}); err != nil || len(out.Buckets) != 1 || aws.ToString(out.Buckets[0].Name) != testBucket {
		t.Error("ListBuckets:", out, err)
	}
	_, err := c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: bucket, Key: aws.String(testKey)})
	if _, ok := errors.AsType[*types.NotFound](err); !ok {
		t.Error("HeadObject:", err)
	}
	for name, call := range map[string]func() error{
		"NoSuchKey": func() error {
			_, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: aws.String(testKey)})
			return err
		},
		"NoSuchBucket": func() error {
			_, err := c.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String("other-bucket")})
			return err
		},
		"AccessDenied": func() error {
			_, err := c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: bucket, Key: aws.String(testKey)})
			return err
		},
		"NotImplemented": func() error {
			_, err := c.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: bucket, Key: aws.String(testKey)})
			return err
		},
	} {
		if err := call(); codeOf(err) != name {
			t.Errorf("%s: %v", name, err)
		}
	}
	r.nothing()
}

func TestVirtualHostedStyleIsRefusedWithAHint(t *testing.T) {
	r := newRelay(t, Options{Buckets: []string{testBucket}}, runtime.Options{})
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	for host, path := range map[string]string{testBucket + ".relay.example": "/" + testKey, "relay.example": "/" + testKey} {
		req := unsigned(t, r, http.MethodPut, path, event("a"))
		req.Host = host
		resign(t, signer, req, event("a"))
		a := r.do(req)
		if a.status != http.StatusBadRequest || !strings.Contains(a.body, "s3_use_virtual_hosted_style") {
			t.Errorf("%s: %d %s", host, a.status, a.body)
		}
	}
	r.nothing()
}
