// Package s3test starts a real S3 gateway (versitygw on a folder) for tests.
//
// It searches the binary in the folder named by AUDITRELAY_TEST_BIN, then in GOPATH/bin, then
// in PATH. If it is missing, the test is skipped, or fails if CI=true. internal/testservers
// pins the version and describes the build.
package s3test

import (
	"bytes"
	"errors"
	"fmt"
	"go/build"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"auditrelay/internal/test/child"
)

// The gateway's root account.
const (
	AccessKey = "s3testaccess"
	SecretKey = "s3testsecret"
	Region    = "us-east-1"
)

// Server is one running gateway with its own folder. It ends with the test.
type Server struct {
	Endpoint  string // http://127.0.0.1:port
	SecretKey string
	// Root is the folder in which a bucket is a folder and an object a file, so tests read
	// stored data without a client.
	Root string

	versions string // the folder of older versions
	region   string
}

// Start starts a gateway with the named buckets.
func Start(t testing.TB, buckets ...string) *Server {
	t.Helper()
	return StartIn(t, Region, buckets...)
}

// StartIn is like Start, for a gateway in another region.
func StartIn(t testing.TB, region string, buckets ...string) *Server {
	t.Helper()
	binary := find(t)
	dir := t.TempDir()
	server := &Server{SecretKey: SecretKey, region: region, Root: filepath.Join(dir, "objects"), versions: filepath.Join(dir, "versions")}
	for _, d := range []string{server.Root, server.versions} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, b := range buckets {
		server.Bucket(t, b)
	}
	server.run(t, binary)
	return server
}

// Rotated starts a second gateway on the same folder, with the same access key and another
// secret.
func (s *Server) Rotated(t testing.TB, secret string) *Server {
	t.Helper()
	other := &Server{SecretKey: secret, region: s.region, Root: s.Root, versions: s.versions}
	other.run(t, find(t))
	return other
}

// Bucket creates an empty bucket.
func (s *Server) Bucket(t testing.TB, name string) {
	t.Helper()
	if err := os.Mkdir(filepath.Join(s.Root, name), 0o700); err != nil {
		t.Fatal(err)
	}
}

func (s *Server) run(t testing.TB, binary string) {
	t.Helper()
	// Another process may take the free port before the gateway does.
	var err error
	for range 5 {
		if err = s.start(t, binary); err == nil {
			return
		}
	}
	t.Fatalf("start versitygw: %v", err)
}

func (s *Server) start(t testing.TB, binary string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	address := l.Addr().String()
	l.Close()

	var log lockedBuffer
	cmd := exec.Command(binary, "--quiet", "--port", address, "--region", s.region, "posix", "--versioning-dir", s.versions, s.Root)
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+AccessKey, "ROOT_SECRET_KEY="+s.SecretKey)
	cmd.Stdout, cmd.Stderr = &log, &log
	ended, err := child.Start(t, cmd)
	if err != nil {
		return err
	}
	if err := ready(address, ended); err != nil {
		return fmt.Errorf("%w; it said: %s", err, log.String())
	}
	t.Cleanup(func() {
		if t.Failed() && log.String() != "" {
			t.Logf("versitygw said:\n%s", log.String())
		}
	})
	s.Endpoint = "http://" + address
	return nil
}

// ready waits until the gateway answers HTTP.
func ready(address string, ended <-chan struct{}) error {
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for {
		if answer, err := client.Get("http://" + address + "/"); err == nil {
			answer.Body.Close()
			return nil
		}
		select {
		case <-ended:
			return errors.New("it ended at once")
		case <-deadline:
			return errors.New("it did not answer within 20s")
		case <-tick.C:
		}
	}
}

// find returns the gateway's binary or ends the test.
func find(t testing.TB) string {
	t.Helper()
	const name = "versitygw"
	if dir := os.Getenv("AUDITRELAY_TEST_BIN"); dir != "" {
		if p, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return p
		}
	}
	for _, gopath := range filepath.SplitList(build.Default.GOPATH) {
		if p, err := exec.LookPath(filepath.Join(gopath, "bin", name)); err == nil {
			return p
		}
	}
	if p, err := exec.LookPath(name); err == nil {
		return p
	}
	const hint = "no versitygw in AUDITRELAY_TEST_BIN, GOPATH/bin or PATH: " +
		"build it as internal/testservers/go.mod says"
	if os.Getenv("CI") == "true" {
		t.Fatal(hint)
	}
	t.Skip("SKIPPED, NOT CHECKED AGAINST A REAL S3: " + hint)
	return ""
}

// Objects returns every object of a bucket by key, with its stored bytes.
func (s *Server) Objects(t testing.TB, bucket string) map[string][]byte {
	t.Helper()
	objects := map[string][]byte{}
	root := filepath.Join(s.Root, bucket)
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		key, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if strings.HasPrefix(key, ".sgwtmp") { // the gateway's own scratch folder
			return nil
		}
		if d.IsDir() {
			return nil
		}
		data, err := os.ReadFile(path)
		objects[filepath.ToSlash(key)] = data
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
