package s3_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/builtin/s3"

	"github.com/google/go-cmp/cmp"
)

func TestOptionsAreRefusedAllAtOnce(t *testing.T) {
	off := false
	_, err := s3.New(s3.Options{
		Prefix:              "a//b",
		Layout:              "tree",
		Compression:         "lz4",
		MaxObjectBytes:      6 << 30,
		MaxEventAge:         -1,
		MaxEventAhead:       -1,
		Conditional:         &off,
		VerifyExisting:      true,
		Checksum:            "sha3",
		Encryption:          s3.Encryption{KMSKeyID: "k", BucketKey: true},
		ObjectLock:          s3.ObjectLock{RetainFor: time.Hour},
		StorageClass:        "standard",
		Tags:                map[string]string{"": "x"},
		ACL:                 "everyone",
		ExpectedBucketOwner: "me",
		Endpoint:            "localhost:9000",
		Addressing:          "dns",
		TLS:                 s3.TLS{CA: "x", InsecureSkipVerify: true},
		Credentials: s3.Credentials{
			SecretAccessKey: "hidden-secret", SessionToken: "t", STSEndpoint: "sts",
			Role: s3.Role{ExternalID: "e", SessionName: "a b", Duration: time.Second, WebIdentityToken: "t", WebIdentityTokenFile: "f"},
		},
		Concurrency:    1000,
		RequestTimeout: time.Millisecond,
	})
	want := []string{
		"bucket", "prefix", "layout", "compression", "max_object_bytes", "max_event_age", "max_event_ahead",
		"verify_existing", "checksum", "encryption.kms_key_id", "encryption.bucket_key", "object_lock.mode",
		"storage_class", "tags", "acl", "expected_bucket_owner", "endpoint", "addressing", "tls.ca",
		"tls.insecure_skip_verify", "concurrency", "request_timeout", "credentials.secret_access_key",
		"credentials.session_token", "credentials.sts_endpoint", "credentials.role.arn",
		"credentials.role.session_name", "credentials.role.duration", "credentials.role.web_identity_token",
		"credentials.role.external_id",
	}
	if diff := cmp.Diff(want, optionPaths(t, err)); diff != "" {
		t.Errorf("the options named (-want +got):\n%s", diff)
	}
	if strings.Contains(err.Error(), "hidden-secret") {
		t.Error("the error shows a secret")
	}
}

func optionPaths(t *testing.T, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("%v is not joined", err)
	}
	var paths []string
	for _, e := range joined.Unwrap() {
		option, ok := errors.AsType[*auditrelay.OptionError](e)
		if !ok {
			t.Fatalf("%v is no *OptionError", e)
		}
		paths = append(paths, option.Path)
	}
	return paths
}

func TestOptions(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*s3.Options)
		bad    string // the refused path, or empty
	}{
		{"a bucket is enough", func(*s3.Options) {}, ""},
		{"an access point", func(o *s3.Options) { o.Bucket = "arn:aws:s3:eu-central-1:123456789012:accesspoint/audit" }, ""},
		{"a bucket that is none", func(o *s3.Options) { o.Bucket = "My_Bucket" }, "bucket"},
		{"a bucket with a path", func(o *s3.Options) { o.Bucket = "bucket/prefix" }, "bucket"},
		{"a prefix with odd characters", func(o *s3.Options) { o.Prefix = "a=b+c d/é/" }, ""},
		{"a prefix that starts at the root", func(o *s3.Options) { o.Prefix = "/a" }, "prefix"},
		{"a prefix that climbs", func(o *s3.Options) { o.Prefix = "a/../b" }, "prefix"},
		{"a prefix with a placeholder", func(o *s3.Options) { o.Prefix = "a/{action}" }, "prefix"},
		{"a prefix in the sink's own folder", func(o *s3.Options) { o.Prefix = "a/_manifests" }, "prefix"},
		{"a prefix too long", func(o *s3.Options) { o.Prefix = strings.Repeat("a", 600) }, "prefix"},
		{"a prefix with a control character", func(o *s3.Options) { o.Prefix = "a\nb" }, "prefix"},
		{"litellm stays plain", func(o *s3.Options) { o.Layout = s3.LayoutLiteLLM; o.Compression = s3.CompressionGzip }, "compression"},
		{"litellm, none written out", func(o *s3.Options) { o.Layout = s3.LayoutLiteLLM; o.Compression = s3.CompressionNone }, ""},
		{"KMS", func(o *s3.Options) { o.Encryption = s3.Encryption{Type: "kms", KMSKeyID: "k", BucketKey: true} }, ""},
		{"a lock", func(o *s3.Options) { o.ObjectLock = s3.ObjectLock{Mode: "compliance", RetainFor: time.Hour} }, ""},
		{"a lock without a time", func(o *s3.Options) { o.ObjectLock.Mode = "compliance" }, "object_lock.retain_for"},
		{"a lock of an unknown mode", func(o *s3.Options) { o.ObjectLock = s3.ObjectLock{Mode: "strict", RetainFor: time.Hour} }, "object_lock.mode"},
		{"an ACL", func(o *s3.Options) { o.ACL = "bucket-owner-full-control" }, ""},
		{"an endpoint with credentials in it", func(o *s3.Options) { o.Endpoint = "https://user:pass@host" }, "endpoint"},
		{"a role", func(o *s3.Options) {
			o.Credentials.Role = s3.Role{ARN: "arn:aws:iam::123456789012:role/audit", ExternalID: "e"}
		}, ""},
		{"a role that is none", func(o *s3.Options) { o.Credentials.Role.ARN = "audit" }, "credentials.role.arn"},
		{"a static key and a profile", func(o *s3.Options) {
			o.Credentials = s3.Credentials{AccessKeyID: "a", SecretAccessKey: "s", Profile: "p"}
		}, "credentials.access_key_id"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := s3.Options{Bucket: "bucket"}
			tc.change(&o)
			_, err := s3.New(o)
			var want []string
			if tc.bad != "" {
				want = []string{tc.bad}
			}
			if diff := cmp.Diff(want, optionPaths(t, err)); diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}
