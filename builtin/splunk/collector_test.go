package splunk_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"auditrelay/internal/test/child"
	"auditrelay/internal/test/secretfile"
)

// startCollector starts an OpenTelemetry Collector with an acknowledging receiver of Splunk's
// protocol. It returns its URL and its output file.
func startCollector(t *testing.T) (url, file string) {
	t.Helper()
	program := filepath.Join(os.Getenv("AUDITRELAY_TEST_BIN"), "otel-collector")
	if _, err := os.Stat(program); err != nil || os.Getenv("AUDITRELAY_TEST_BIN") == "" {
		const missing = "otel-collector is not built: AUDITRELAY_TEST_BIN names the folder that make builds it into"
		if os.Getenv("CI") == "true" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	dir := t.TempDir()
	config := filepath.Join(dir, "collector.yaml")
	file = filepath.Join(dir, "out.json")
	secretfile.Write(t, config, fmt.Sprintf(`
extensions: {ack: {}}
receivers: {splunk_hec: {endpoint: %q, ack: {extension: ack}}}
exporters: {file: {path: %q, flush_interval: 50ms}}
service:
  extensions: [ack]
  telemetry: {metrics: {level: none}, logs: {level: error}}
  pipelines: {logs: {receivers: [splunk_hec], exporters: [file]}}
`, address, file))
	if _, err := child.Start(t, exec.Command(program, "--config", "file:"+config)); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
			return "http://" + address, file
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// collected counts the events written by the collector, by id.
func collected(t *testing.T, file string) map[string]int {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for line := range bytes.Lines(data) {
		var batch struct {
			ResourceLogs []struct {
				ScopeLogs []struct {
					LogRecords []struct {
						Body struct {
							KVListValue struct {
								Values []struct {
									Key   string
									Value struct{ StringValue string }
								}
							}
						}
					}
				}
			}
		}
		if json.Unmarshal(line, &batch) != nil {
			continue // partly written until now
		}
		for _, r := range batch.ResourceLogs {
			for _, s := range r.ScopeLogs {
				for _, l := range s.LogRecords {
					for _, v := range l.Body.KVListValue.Values {
						if v.Key == "id" {
							seen[v.Value.StringValue]++
						}
					}
				}
			}
		}
	}
	return seen
}

// Acknowledgements of an independent receiver: an attempt that ends while it waits does not
// double events, although the receiver reports each acknowledgement once.
func TestAcknowledgementsOfAnotherReceiver(t *testing.T) {
	url, file := startCollector(t)
	o := options(url)
	o.Ack, o.MaxRequestBytes = true, 10_000
	s := newSink(t, o)
	payloads, err := s.Render(chunk(1, 300))
	if err != nil || len(payloads) < 4 {
		t.Fatalf("%d payloads, %v", len(payloads), err)
	}
	for _, p := range payloads[:3] {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(2*time.Millisecond, cancel)
		_, _ = s.Deliver(ctx, p) // it may end anywhere: before the post, during it, in a poll, or normally
		cancel()
	}
	for _, p := range payloads {
		if _, err := s.Deliver(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	var seen map[string]int
	for deadline := time.Now().Add(30 * time.Second); len(seen) < 300 && time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		seen = collected(t, file)
	}
	sent := 0
	for _, n := range seen {
		sent += n
	}
	// A post interrupted before its answer is ambiguous and is sent again.
	if len(seen) != 300 || sent > 300+len(payloads[0].Sequences)*3 {
		t.Errorf("%d of 300 events arrived, %d in all", len(seen), sent)
	}
}
