package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"auditrelay"
)

// The folders under testdata contain configurations and their results, as documentation.
// UPDATE_GOLDEN=1 writes this version's results.

const longSecret = "correct-horse-battery-staple"
const masterKey = "0123456789abcdef0123456789abcdef"

func environment(name string) (string, bool) {
	value, ok := map[string]string{
		"LONG_SECRET":           longSecret,
		"MASTER_KEY":            masterKey,
		"CALLBACK":              "s3_v2",
		"BUCKET":                "audit-events",
		"AWS_ACCESS_KEY_ID":     "AKIAEXAMPLE",
		"AWS_SECRET_ACCESS_KEY": "aws-secret-value",
		"AWS_SESSION_TOKEN":     "aws-session-value",
	}[name]
	return value, ok
}

// s3Options replaces the S3 sink's options, with the same names.
type s3Options struct {
	Bucket      string `yaml:"bucket"`
	Region      string `yaml:"region"`
	Prefix      string `yaml:"prefix"`
	Layout      string `yaml:"layout"`
	Partition   string `yaml:"partition"`
	Endpoint    string `yaml:"endpoint"`
	Addressing  string `yaml:"addressing"`
	Concurrency int    `yaml:"concurrency"`
	Encryption  struct {
		Type     string `yaml:"type"`
		KMSKeyID string `yaml:"kms_key_id"`
	} `yaml:"encryption"`
	TLS struct {
		CA                 string `yaml:"ca"`
		InsecureSkipVerify bool   `yaml:"insecure_skip_verify"`
	} `yaml:"tls"`
	Credentials struct {
		AccessKeyID     string            `yaml:"access_key_id"`
		SecretAccessKey auditrelay.Secret `yaml:"secret_access_key"`
		SessionToken    auditrelay.Secret `yaml:"session_token"`
		Profile         string            `yaml:"profile"`
		STSEndpoint     string            `yaml:"sts_endpoint"`
		Role            struct {
			ARN                  string            `yaml:"arn"`
			ExternalID           string            `yaml:"external_id"`
			SessionName          string            `yaml:"session_name"`
			WebIdentityToken     auditrelay.Secret `yaml:"web_identity_token"`
			WebIdentityTokenFile string            `yaml:"web_identity_token_file"`
		} `yaml:"role"`
	} `yaml:"credentials"`
}

func checkS3(s Section) error {
	var o s3Options
	if err := s.Decode(&o); err != nil {
		return err
	}
	switch {
	case o.Bucket == "":
		return &auditrelay.OptionError{Path: "bucket", Err: errors.New("it is required")}
	case strings.ToLower(o.Bucket) != o.Bucket:
		return errors.Join(&auditrelay.OptionError{Path: "bucket", Err: errors.New("not a bucket's name")})
	}
	return nil
}

// checkIngestS3 replaces a source with its own listener that also forwards.
func checkIngestS3(s Section, _ *Config) (SourceFacts, error) {
	o := struct {
		Listen    string              `yaml:"listen"`
		Keys      []map[string]string `yaml:"keys"`
		ForwardTo map[string]string   `yaml:"forward_to"`
	}{Listen: "127.0.0.1:8788"}
	if err := s.Decode(&o); err != nil {
		return SourceFacts{}, err
	}
	return SourceFacts{
		Listen: o.Listen, SendsTo: map[string]string{"forward_to.endpoint": o.ForwardTo["endpoint"]},
		Warnings: map[string]string{"keys": "may be short"},
	}, nil
}

func testOptions(dir string) LoadOptions {
	return LoadOptions{
		LookupEnv:  environment,
		Dir:        dir,
		Sinks:      map[string]func(Section) error{"s3": checkS3, "file": nil, "stdout": nil, "sqlite": nil, "postgres": nil},
		Sources:    map[string]SourceCheck{"s3": checkIngestS3, "postgres": nil},
		LookupHost: func(string) ([]string, error) { return nil, errors.New("no resolver here") },
	}
}

// golden compares got with the file, or writes the file if requested.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

// each runs fn for every YAML file of a folder.
func each(t *testing.T, dir string, fn func(t *testing.T, name, base string, data []byte)) {
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in %s: %v", dir, err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, ".native.yaml") {
			continue
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			fn(t, filepath.Base(file), strings.TrimSuffix(file, ".yaml"), data)
		})
	}
}

func text(err error, notes []Note) string {
	var b strings.Builder
	if err != nil {
		fmt.Fprintln(&b, err)
	}
	for _, n := range notes {
		fmt.Fprintf(&b, "line %d: %s: %s\n", n.Line, n.Level, n.Text)
	}
	return b.String()
}

func TestErrorsAreReportedAllAtOnceAtTheirPlaces(t *testing.T) {
	each(t, "testdata/errors", func(t *testing.T, name, base string, data []byte) {
		_, err := Parse(name, data, testOptions("testdata/errors"))
		if _, ok := errors.AsType[Errors](err); !ok {
			t.Fatalf("got %v, want Errors", err)
		}
		golden(t, base+".txt", text(err, nil))
		for _, secret := range []string{longSecret, "hunter2", "a-secret-of-some-length", "12345678901234567890"} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the errors show the secret %q:\n%v", secret, err)
			}
		}
	})
}

func TestLiteLLMAsItStands(t *testing.T) {
	each(t, "testdata/litellm", func(t *testing.T, name, base string, data []byte) {
		o := testOptions("testdata/litellm")
		c, err := Parse(name, data, o)
		if err != nil {
			golden(t, base+".txt", text(err, nil))
			return
		}
		golden(t, base+".txt", text(nil, c.Notes))

		native, _, err := Translate(name, data, o)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, base+".native.yaml", string(native))
		again, err := Parse(name, native, o)
		if err != nil {
			t.Fatalf("the translation does not load: %v\n%s", err, native)
		}
		if got, want := again.Digest(nil), c.Digest(nil); got != want {
			t.Errorf("the translation gives another configuration:\n%s", native)
		}
	})
}

func TestNative(t *testing.T) {
	// The notes depend on who may read the secrets' files.
	for name, mode := range map[string]os.FileMode{"secret.txt": 0o644, "master.txt": 0o600} {
		if err := os.Chmod(filepath.Join("testdata", name), mode); err != nil {
			t.Fatal(err)
		}
	}
	each(t, "testdata/native", func(t *testing.T, name, base string, data []byte) {
		c, err := Parse(name, data, testOptions("testdata/native"))
		if err != nil {
			t.Fatal(err)
		}
		golden(t, base+".txt", text(nil, c.Notes))
	})
}
