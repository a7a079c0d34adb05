package http

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http/httptest"
	"sync"
	"testing"

	"auditrelay/cli/internal/sources/s3"
	"auditrelay/runtime"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
)

// TestCompressedObjectsDoNotWaitForMemoryThatTheyHold: many simultaneous objects are accepted,
// each with a body and a decompressed body, although the budget covers only a few.
func TestCompressedObjectsDoNotWaitForMemoryThatTheyHold(t *testing.T) {
	rt, err := runtime.Open(t.Context(), runtime.Options{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rt.Close() })
	r := &relay{t: t}
	r.serve(rt, Options{Limits: Limits{Memory: 1 << 20}})
	h, err := s3.New(s3.Options{
		Runtime: rt, Logger: quiet(), Limits: r.srv.limits.Ingest(), Reserve: r.srv.Reserve, Inflate: r.srv.Inflate,
		Keys: []s3.Key{{Name: "litellm", AccessKeyID: "AKIDEXAMPLE", Secret: "a-secret-of-sufficient-length"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	client := awss3.New(awss3.Options{
		BaseEndpoint: aws.String(server.URL), Region: "us-east-1", UsePathStyle: true, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "a-secret-of-sufficient-length", ""),
	})

	const objects, events = 12, 2500
	var wg sync.WaitGroup
	for o := range objects {
		body := compressed(t, o, events)
		wg.Go(func() {
			_, err := client.PutObject(t.Context(), &awss3.PutObjectInput{
				Bucket: aws.String("audit"), Key: aws.String(fmt.Sprintf("audit_logs/2026-01-01/batch_00-00-00_%032x.jsonl", o)),
				ContentEncoding: aws.String("gzip"), Body: bytes.NewReader(body),
			})
			if err != nil {
				t.Errorf("object %d, %d bytes compressed: %v", o, len(body), err)
			}
		})
	}
	wg.Wait()
	if got := rt.Stats().Accepted; got != objects*events {
		t.Errorf("%d events were accepted, want %d", got, objects*events)
	}
	if held := r.srv.large.inUse() + r.srv.small.inUse() + r.srv.inflated.inUse() + r.srv.unknown.inUse(); held != 0 {
		t.Errorf("%d bytes are still reserved", held)
	}
}

func compressed(t *testing.T, object, events int) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	for e := range events {
		var noise [64]byte
		_, _ = rand.Read(noise[:])
		fmt.Fprintf(z, `{"id":"%d-%d","action":"created","table_name":"t","object_id":"%s"}`+"\n", object, e, hex.EncodeToString(noise[:]))
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
