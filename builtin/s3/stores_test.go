package s3_test

import (
	"os"
	"strings"
	"testing"

	"auditrelay"
	"auditrelay/builtin/s3"
	"auditrelay/internal/test/s3test"

	"gopkg.in/yaml.v3"
)

// recipe returns the documented sink options for a store.
func recipe(t *testing.T, store string) s3.Options {
	t.Helper()
	page, err := os.ReadFile("../../docs/operators/sinks.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(page), "<!-- recipe: "+store+" -->\n```yaml\n")
	text, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		t.Fatalf("the documentation has no recipe for %s", store)
	}
	var sink struct{ S3 s3.Options }
	if err := yaml.Unmarshal([]byte(text), &sink); err != nil {
		t.Fatal(err)
	}
	return sink.S3
}

// TestRecipes: the documented options deliver to a stand-in that refuses what the store is reported
// to refuse. A real gateway behind it checks signatures. A probe has the same result, before and
// after. If the recipe contains more than an endpoint, the defaults fail in both.
func TestRecipes(t *testing.T) {
	for _, store := range []s3test.Store{s3test.MinIO, s3test.Ceph, s3test.R2, s3test.B2, s3test.GCS} {
		t.Run(store.Name, func(t *testing.T) {
			region := store.Region
			if region == "" {
				region = s3test.Region
			}
			gateway := s3test.StartIn(t, region, "audit")
			o := recipe(t, store.Name)
			if o.Bucket == "" || o.Endpoint == "" {
				t.Fatalf("the recipe names no bucket or no endpoint: %+v", o)
			}
			o.Bucket, o.Endpoint = "audit", store.Front(t, gateway)
			if o.Region == "" || o.Region != store.Region {
				o.Region = region
			}
			o.Credentials = s3.Credentials{AccessKeyID: s3test.AccessKey, SecretAccessKey: auditrelay.Secret(s3test.SecretKey)}
			sink := newSink(t, o)
			p := payloadFor(t, o)
			for range 2 { // again, as after a lost response
				if err := sink.Probe(t.Context()); err != nil {
					t.Errorf("probe: %v", err)
				}
				if _, err := sink.Deliver(t.Context(), p); err != nil {
					t.Errorf("deliver: %v", err)
				}
			}
			if got := documents(t, gateway, "audit"); len(got) != 1 {
				t.Errorf("the bucket holds %q", got)
			}
			if _, ok := gateway.Objects(t, "audit")[p.Key]; !ok {
				t.Errorf("the bucket does not hold %s", p.Key)
			}

			plain := s3.Options{Bucket: o.Bucket, Endpoint: o.Endpoint, Region: o.Region, Credentials: o.Credentials}
			_, delivered := newSink(t, plain).Deliver(t.Context(), payloadFor(t, plain))
			probed := newSink(t, plain).Probe(t.Context())
			if (delivered == nil) != (len(store.Refuses) == 0) || (probed == nil) != (delivered == nil) {
				t.Errorf("with the defaults: delivered %v, probed %v", delivered, probed)
			}

			// A payload sealed before the option was corrected can be delivered with it.
			fixed, err := newSink(t, o).Deliver(t.Context(), payloadFor(t, plain))
			if err != nil || fixed.Location == "" {
				t.Errorf("a payload sealed under the defaults: %v", err)
			}
		})
	}
}

// TestNothingOfTheClientsOwnIsSigned: the client's own headers are not signed. Front ends rewrite
// Accept-Encoding, and some stores ignore the client's own headers during verification.
func TestNothingOfTheClientsOwnIsSigned(t *testing.T) {
	proxy := fake(t)
	o := options(proxy.URL, "bucket")
	if _, err := newSink(t, o).Deliver(t.Context(), payloadFor(t, o)); err != nil {
		t.Fatal(err)
	}
	head := proxy.Requests()[0].Header
	_, signed, _ := strings.Cut(head.Get("Authorization"), "SignedHeaders=")
	signed, _, _ = strings.Cut(signed, ",")
	for name := range strings.SplitSeq(signed, ";") {
		if name == "accept-encoding" || strings.HasPrefix(name, "amz-sdk-") {
			t.Errorf("%s is signed", name)
		}
	}
	if !strings.Contains(signed, "x-amz-content-sha256") {
		t.Errorf("signed: %s", signed)
	}
}

func TestHowAPutIsChecked(t *testing.T) {
	for checksum, header := range map[string]string{
		s3.ChecksumSHA256: "X-Amz-Checksum-Sha256", s3.ChecksumCRC32C: "X-Amz-Checksum-Crc32c", s3.ChecksumMD5: "Content-Md5", s3.ChecksumNone: "",
	} {
		for _, sealedWith := range []string{s3.ChecksumSHA256, s3.ChecksumMD5, s3.ChecksumNone} {
			proxy := fake(t)
			o := options(proxy.URL, "bucket")
			o.Checksum = sealedWith
			p := payloadFor(t, o)
			o.Checksum = checksum
			if _, err := newSink(t, o).Deliver(t.Context(), p); err != nil {
				t.Fatal(err)
			}
			head := proxy.Requests()[0].Header
			for _, name := range []string{"X-Amz-Checksum-Sha256", "X-Amz-Checksum-Crc32c", "Content-Md5"} {
				if (head.Get(name) != "") != (name == header) {
					t.Errorf("sealed with %s, sent with %s: %s is %q", sealedWith, checksum, name, head.Get(name))
				}
			}
			if sealedWith == checksum || sealedWith == s3.ChecksumNone {
				continue
			}
			p.Body = append([]byte("x"), p.Body...)
			if _, err := newSink(t, o).Deliver(t.Context(), p); err == nil || len(proxy.Requests()) != 1 {
				t.Errorf("a damaged payload, sealed with %s, was sent with %s: %v", sealedWith, checksum, err)
			}
		}
	}
}

func TestWithoutContentEncoding(t *testing.T) {
	off := false
	for compression, want := range map[string]string{s3.CompressionGzip: "application/gzip", s3.CompressionZstd: "application/zstd", s3.CompressionNone: "application/x-ndjson"} {
		proxy := fake(t)
		o := options(proxy.URL, "bucket")
		o.Compression, o.ContentEncoding = compression, &off
		p := payloadFor(t, o)
		if _, err := newSink(t, o).Deliver(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		head := proxy.Requests()[0].Header
		if head.Get("Content-Encoding") != "" || head.Get("Content-Type") != want {
			t.Errorf("%s: %q, %q", compression, head.Get("Content-Encoding"), head.Get("Content-Type"))
		}
	}
}
