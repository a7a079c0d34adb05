package s3_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/builtin/s3"
	"auditrelay/internal/test/faultproxy"
	"auditrelay/internal/test/s3test"
	"auditrelay/sinktest"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// options returns a sink's options for a bucket behind endpoint.
func options(endpoint, bucket string) s3.Options {
	return s3.Options{
		Bucket:         bucket,
		Prefix:         "audit logs/a=b+c",
		Endpoint:       endpoint,
		RequestTimeout: 20 * time.Second,
		Credentials: s3.Credentials{
			AccessKeyID:     s3test.AccessKey,
			SecretAccessKey: auditrelay.Secret(s3test.SecretKey),
		},
	}
}

func newSink(t testing.TB, o s3.Options) *s3.Sink {
	t.Helper()
	sink, err := s3.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return sink
}

// documents returns the bucket's data objects, decompressed.
func documents(t *testing.T, server *s3test.Server, bucket string) [][]byte {
	t.Helper()
	var docs [][]byte
	objects := server.Objects(t, bucket)
	keys := make([]string, 0, len(objects))
	for key := range objects {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		if strings.Contains("/"+key, "/_manifests/") || strings.Contains("/"+key, "/_auditrelay/") {
			continue
		}
		content := plain(t, key, objects[key])
		if path.Ext(key) == ".json" {
			docs = append(docs, content)
			continue
		}
		docs = append(docs, slices.Collect(lines(content))...)
	}
	return docs
}

func lines(content []byte) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for line := range bytes.Lines(content) {
			if !yield(bytes.TrimSuffix(line, []byte("\n"))) {
				return
			}
		}
	}
}

func plain(t *testing.T, key string, data []byte) []byte {
	t.Helper()
	var r io.Reader = bytes.NewReader(data)
	switch path.Ext(key) {
	case ".gz":
		z, err := gzip.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		r = z
	case ".zst":
		z, err := zstd.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		r = z
	}
	content, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestConformance(t *testing.T) {
	server := s3test.Start(t)
	const rotated = "anothersecret"
	other := server.Rotated(t, rotated)
	var buckets atomic.Int64
	for name, change := range map[string]func(*s3.Options){
		"batch":         func(*s3.Options) {},
		"batch zstd":    func(o *s3.Options) { o.Compression = s3.CompressionZstd; o.Checksum = s3.ChecksumCRC32C },
		"batch small":   func(o *s3.Options) { o.Compression = s3.CompressionNone; o.MaxObjectBytes = 1000; o.Prefix = "" },
		"litellm":       func(o *s3.Options) { o.Layout = s3.LayoutLiteLLM },
		"litellm check": func(o *s3.Options) { o.Layout = s3.LayoutLiteLLM; o.VerifyExisting = true },
	} {
		t.Run(name, func(t *testing.T) {
			sinktest.Run(t, func(t *testing.T) sinktest.Kit {
				bucket := fmt.Sprintf("bucket-%d", buckets.Add(1))
				server.Bucket(t, bucket)
				proxy := faultproxy.Start(t, server.Endpoint)
				credentials := filepath.Join(t.TempDir(), "credentials")
				writeCredentials(t, credentials, s3test.SecretKey)
				build := func(url string, more ...func(*s3.Options)) auditrelay.Sink {
					o := options(url, bucket)
					o.Credentials = s3.Credentials{SharedFile: credentials}
					change(&o)
					for _, c := range more {
						c(&o)
					}
					return newSink(t, o)
				}
				kit := proxy.Kit(func(url string) auditrelay.Sink { return build(url) })
				kit.Read = func(t *testing.T) [][]byte { return documents(t, server, bucket) }
				kit.Unordered = true
				kit.Fail = func(_ *testing.T, status int) auditrelay.Sink {
					proxy.Always(faultproxy.Echo(status))
					return build(proxy.URL, func(o *s3.Options) { o.Compression = s3.CompressionNone })
				}
				kit.Expire = func(t *testing.T) { proxy.Target(t, other.Endpoint) }
				kit.Rotate = func(t *testing.T) {
					proxy.Target(t, other.Endpoint)
					writeCredentials(t, credentials, rotated)
				}
				return kit
			})
		})
	}
}

func writeCredentials(t *testing.T, file, secret string) {
	t.Helper()
	text := fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", s3test.AccessKey, secret)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
