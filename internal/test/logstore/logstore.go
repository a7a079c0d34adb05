// Package logstore starts VictoriaLogs, a real log store that takes Splunk's and Datadog's
// protocols, for tests: what arrived is queried there, never assumed. It answers success
// to what it then drops, so that nothing but a query counts.
package logstore

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"auditrelay/internal/test/child"
)

const binary = "victoria-logs"

// Store is a running log store.
type Store struct {
	URL    string
	Syslog string // host:port of syslog over TCP
}

// Start starts a store with an empty folder; the test's end stops it. Without the program
// (make .cache/bin/victoria-logs) the test is skipped, and fails under CI=true.
func Start(t testing.TB) *Store {
	t.Helper()
	program := filepath.Join(os.Getenv("AUDITRELAY_TEST_BIN"), binary)
	if _, err := os.Stat(program); err != nil || os.Getenv("AUDITRELAY_TEST_BIN") == "" {
		const missing = "victoria-logs is not built: AUDITRELAY_TEST_BIN names the folder that make builds it into"
		if os.Getenv("CI") == "true" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	address, syslog := free(t), free(t)
	c := exec.Command(program, "-storageDataPath="+t.TempDir(), "-httpListenAddr="+address, "-syslog.listenAddr.tcp="+syslog, "-retentionPeriod=100y", "-loggerLevel=ERROR", "-memory.allowedBytes=100MB")
	if _, err := child.Start(t, c); err != nil {
		t.Fatal(err)
	}
	s := &Store{"http://" + address, syslog}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		resp, err := http.Get(s.URL + "/health")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return s
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("victoria-logs does not start: %v", err)
		}
	}
}

// free is an unused address.
func free(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Await queries until at least n logs are there, and returns them.
func (s *Store) Await(t testing.TB, n int) []map[string]string {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		logs := s.all(t)
		if len(logs) >= n {
			return logs
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d logs are there, want %d", len(logs), n)
		}
	}
}

// Count counts how often each value of a field is there. Values that are there are in the
// result, however often: it waits until at least n are.
func (s *Store) Count(t testing.TB, field string, n int) map[string]int {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		counts := map[string]int{}
		for _, l := range s.query(t, fmt.Sprintf("%[1]q:* | fields %[1]q", field)) {
			counts[l[field]]++
		}
		if len(counts) >= n || time.Now().After(deadline) {
			return counts
		}
	}
}

func (s *Store) all(t testing.TB) []map[string]string { return s.query(t, "*") }

func (s *Store) query(t testing.TB, query string) []map[string]string {
	t.Helper()
	resp, err := http.PostForm(s.URL+"/select/logsql/query", url.Values{"query": {query}, "start": {"2000-01-01"}, "end": {"2100-01-01"}})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatal(fmt.Errorf("query: status %d", resp.StatusCode))
	}
	var logs []map[string]string
	in := bufio.NewScanner(resp.Body)
	in.Buffer(nil, 16<<20)
	for in.Scan() {
		var one map[string]string
		if err := json.Unmarshal(in.Bytes(), &one); err != nil {
			t.Fatal(err)
		}
		logs = append(logs, one)
	}
	if err := in.Err(); err != nil {
		t.Fatal(err)
	}
	return logs
}
