// Package logstore starts VictoriaLogs, a real log store with the protocols of Splunk and
// Datadog, for tests. Tests query what arrived. The store also answers success to data that it
// then drops, so only a query is a proof.
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

// Start starts a store with an empty folder and stops it at the end of the test. If the program
// is missing (make .cache/bin/victoria-logs), the test is skipped, or fails if CI=true.
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

// free returns an unused address.
func free(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Await repeats its query until there are at least n logs, and returns them.
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

// Count counts the occurrences of each value of a field. It waits until there are at least n
// values.
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
