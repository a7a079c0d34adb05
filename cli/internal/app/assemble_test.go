package app

import (
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/builtin/s3"
	"auditrelay/config"
	"auditrelay/runtime"

	"github.com/google/go-cmp/cmp"
)

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "auditrelay.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func newAssembler(t *testing.T, more map[string]SinkMaker) *assembler {
	t.Helper()
	makers, err := sinkMakers(more)
	if err != nil {
		t.Fatal(err)
	}
	return &assembler{makers: makers, digestKey: make([]byte, 32), log: slog.New(slog.DiscardHandler)}
}

// The S3 sink accepts the options translated from LiteLLM's keys: every documented key, one at
// a time and all at once.
func TestLiteLLMsKeysBecomeOptionsOfTheS3Sink(t *testing.T) {
	keys := []string{
		"s3_region_name: us-west-2",
		"s3_path: optional/prefix",
		"s3_endpoint_url: https://s3.example.com",
		"s3_aws_access_key_id: AKIAEXAMPLE\n    s3_aws_secret_access_key: secret",
		"s3_aws_access_key_id: AKIAEXAMPLE\n    s3_aws_secret_access_key: secret\n    s3_aws_session_token: session",
		"s3_aws_profile_name: audit",
		"s3_aws_role_name: arn:aws:iam::123456789012:role/audit\n    s3_aws_session_name: relay",
		"s3_aws_role_name: arn:aws:iam::123456789012:role/audit\n    s3_aws_web_identity_token: token",
		"s3_aws_sts_endpoint: https://sts.us-west-2.amazonaws.com",
		"s3_verify: false",
		"s3_use_ssl: true",
		"s3_use_virtual_hosted_style: true",
		"s3_server_side_encryption: AES256",
		"s3_server_side_encryption: aws:kms\n    s3_sse_kms_key_id: arn:aws:kms:us-west-2:123456789012:key/1",
		"s3_max_concurrent_uploads: 8",
		"s3_batch_file_upload: true",
		"s3_batch_file_upload: true\n    s3_partition_granularity: hour",
	}
	for _, key := range keys {
		t.Run(key, func(t *testing.T) {
			a := newAssembler(t, nil)
			cfg, err := a.loadConfig(writeConfig(t, "litellm_settings:\n  store_audit_logs: true\n  audit_log_callbacks: [s3_v2]\n"+
				"  s3_callback_params:\n    s3_bucket_name: audit-prod\n    "+key+"\n"))
			if err != nil {
				t.Fatal(err)
			}
			if len(cfg.Callbacks) != 2 || cfg.Callbacks[0].Sink.Type != "s3" {
				t.Fatalf("%+v", cfg.Callbacks)
			}
			var o s3.Options
			if err := cfg.Callbacks[0].Sink.Options.Decode(&o); err != nil {
				t.Fatal(err)
			}
			if o.Bucket != "audit-prod" {
				t.Errorf("bucket %q", o.Bucket)
			}
			if _, err := a.assemble(t.Context(), cfg); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestConfigurationBecomesCallbacks(t *testing.T) {
	a := newAssembler(t, map[string]SinkMaker{"memory": func(config.Section) (auditrelay.Sink, error) { return &memorySink{}, nil }})
	cfg, err := a.loadConfig(writeConfig(t, `
ingest: {limits: {event_bytes: 2MiB, depth: 32}, quarantine: {bytes: 64MiB, items: 9}}
delivery: {memory: 32MiB}
journal: {window: 5000, quota: 1GiB, retention: {age: 48h, bytes: 1GiB}}
callbacks:
  - name: siem
    renamed_from: old
    receives: both
    when: {action: [deleted], query: "object_id"}
    sink: {memory: {}}
    from: beginning
    chunk: {events: 7, bytes: 2KiB, age: 3s}
    in_flight: 2
    timeout: 9s
    backoff: {initial: 1s, max: 2m}
    retain: {age: 24h, bytes: 1MiB, then: detach}
removed: [gone]
`))
	if err != nil {
		t.Fatal(err)
	}
	made, err := a.assemble(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	got := a.runtimeOptions(cfg, made)
	want := runtime.Options{
		Dir:        cfg.DataDir,
		Journal:    runtime.JournalOptions{Window: 5000, Quota: 1 << 30, Retention: runtime.Retention{Age: 48 * time.Hour, Bytes: 1 << 30}},
		Memory:     32 << 20,
		Limits:     runtime.Limits{EventBytes: 2 << 20, Depth: 32},
		Quarantine: runtime.QuarantineOptions{Bytes: 64 << 20, Items: 9, ItemBytes: 16 << 20},
		Removed:    []string{"gone"},
		Callbacks: []runtime.Callback{{
			Name: "siem", RenamedFrom: "old", Digest: cfg.CallbackDigest(a.digestKey, &cfg.Callbacks[0]),
			Receives: auditrelay.ReceivesBoth,
			When:     &auditrelay.When{Fields: map[string][]string{"action": {"deleted"}}, Query: "object_id"},
			Sink:     &memorySink{}, SinkType: "memory",
			From:     auditrelay.From{Kind: auditrelay.FromBeginning},
			Chunk:    auditrelay.Chunking{Events: 7, Bytes: 2 << 10, Age: 3 * time.Second},
			InFlight: 2, Timeout: 9 * time.Second,
			Backoff: auditrelay.Backoff{Initial: time.Second, Max: 2 * time.Minute},
			Retain:  auditrelay.Retain{Age: 24 * time.Hour, Bytes: 1 << 20, Then: auditrelay.RetainDetach},
		}},
		Logger: a.log,
	}
	same := cmp.FilterPath(func(p cmp.Path) bool {
		return p.Last().String() == ".Sink" || p.Last().String() == ".Logger"
	}, cmp.Comparer(func(a, b any) bool { return fmt.Sprintf("%T", a) == fmt.Sprintf("%T", b) }))
	if diff := cmp.Diff(want, got, same); diff != "" {
		t.Error(diff)
	}
}

// A constructor's errors are reported with file, line and key, all at once, including those of
// a custom sink.
func TestSinksComplaintsHaveTheirPlace(t *testing.T) {
	file := writeConfig(t, `callbacks:
  - name: one
    sink: {s3: {bucket: audit, layout: pile}}
  - name: two
    sink:
      mine:
        colour: blue
`)
	_, err := Check(t.Context(), []string{file}, CheckOptions{Sinks: map[string]SinkMaker{
		"mine": func(s config.Section) (auditrelay.Sink, error) {
			return nil, &auditrelay.OptionError{Path: "colour", Err: errors.New("only red is sold")}
		},
	}})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{file + ":3:", "callbacks[0].sink.s3.layout", file + ":7:", `callbacks[1].sink.mine.colour: "blue": only red is sold`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in:\n%v", want, err)
		}
	}
}

func TestAModuleThatIsNoGuestIsRefused(t *testing.T) {
	wasm := filepath.Join(t.TempDir(), "g.wasm")
	// An empty module: its content does not matter.
	if err := os.WriteFile(wasm, []byte("\x00asm\x01\x00\x00\x00"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := &config.Config{
		Filters:   []config.Filter{{Name: "g", Wasm: wasm}},
		Callbacks: []config.Callback{{Name: "a", Filters: []string{"g"}, Sink: config.Sink{Type: "memory"}}},
	}
	a := newAssembler(t, map[string]SinkMaker{"memory": func(config.Section) (auditrelay.Sink, error) { return &memorySink{}, nil }})
	if _, err := a.assemble(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "auditrelay_event") {
		t.Errorf("a module that is no guest: %v", err)
	}
}

// The maximum memory of all guests is compared with the budget before any is loaded.
func TestGuestsThatMayTakeTooMuchAreRefused(t *testing.T) {
	cfg := &config.Config{
		Guests:    config.Guests{Memory: 64 << 20},
		Filters:   []config.Filter{{Name: "g", Wasm: "not-read.wasm", Limits: config.Limits{Memory: 63 << 20}}},
		Callbacks: []config.Callback{{Name: "a", Filters: []string{"g"}}},
	}
	_, err := newAssembler(t, nil).assemble(t.Context(), cfg)
	if err == nil || !strings.Contains(err.Error(), "guests.memory") || strings.Contains(err.Error(), "not-read") {
		t.Errorf("got %v", err)
	}
}

func TestBuiltInSinksAreNotReplaced(t *testing.T) {
	_, err := sinkMakers(map[string]SinkMaker{"s3": nil})
	if err == nil {
		t.Error("a program's sink took the place of a built-in one")
	}
}

// A custom CA is PEM text, from a file by reference. It reaches the sink unchanged.
func TestS3TakesACAFromAFile(t *testing.T) {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, block, 0o600); err != nil {
		t.Fatal(err)
	}
	file := writeConfig(t, "callbacks:\n  - {name: one, sink: {s3: {bucket: audit, region: eu-central-1, tls: {ca: 'file:"+ca+"'}}}}\n")
	if _, err := Check(t.Context(), []string{file}, CheckOptions{}); err != nil {
		t.Error(err)
	}
}

func TestWhatMustNotLeaveReachesTheRuntime(t *testing.T) {
	a := newAssembler(t, nil)
	cfg, err := a.loadConfig(writeConfig(t, "callbacks:\n  - {name: a, sink: {stdout: {}}, must_not_leave: {detectors: [secrets], paths: ['**.~password']}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	made, err := a.assemble(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	want := auditrelay.MustNotLeave{Detectors: []string{"secrets"}, Paths: []string{"**.~password"}}
	if diff := cmp.Diff(want, made.callbacks[0].MustNotLeave); diff != "" {
		t.Error(diff)
	}
}
