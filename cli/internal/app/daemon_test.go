package app

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/cli/internal/api"
	"auditrelay/config"
)

// running is one Run in its own directory.
type running struct {
	t       *testing.T
	file    string
	address string
	reload  chan os.Signal
	log     *syncBuffer
	client  *http.Client
	scheme  string
	stop    func() error
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// run starts a daemon, and stops it in an orderly way when the test ends.
func run(t *testing.T, text string, sinks map[string]SinkMaker) *running {
	t.Helper()
	return runFile(t, writeConfig(t, "listen: 127.0.0.1:0\n"+text), sinks)
}

// runFile is like run, for a configuration with its own address.
func runFile(t *testing.T, file string, sinks map[string]SinkMaker, change ...func(*Options)) *running {
	t.Helper()
	r := &running{t: t, file: file, reload: make(chan os.Signal), log: &syncBuffer{}, scheme: "http", client: http.DefaultClient}
	ctx, cancel := context.WithCancel(context.Background())
	listening := make(chan string, 1)
	done := make(chan error, 1)
	go func() {
		o := Options{ConfigFile: r.file, Sinks: sinks, Reload: r.reload, Log: r.log, silent: true, listening: func(a string) { listening <- a }}
		for _, c := range change {
			c(&o)
		}
		done <- Run(ctx, o)
	}()
	select {
	case r.address = <-listening:
	case err := <-done:
		cancel()
		t.Fatalf("%v\n%s", err, r.log)
	}
	r.stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func (r *running) call(method, path, body, token string) (int, string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.scheme+"://"+r.address+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, string(answer)
}

func (r *running) rewrite(text string) {
	r.t.Helper()
	if err := os.WriteFile(r.file, []byte("listen: 127.0.0.1:0\n"+text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

var memorySinks = map[string]SinkMaker{"memory": func(config.Section) (auditrelay.Sink, error) { return &memorySink{}, nil }}

const oneCallback = "callbacks: [{name: one, sink: {memory: {}}, chunk: {age: 1ms}}]\n"

// A reload puts all of a valid configuration in force, or none of an invalid one, and is itself
// recorded with both digests.
func TestReload(t *testing.T) {
	const admin = "token-of-the-admin"
	first := "tokens: [{name: boss, token: " + admin + ", roles: [admin]}]\n" + oneCallback
	r := run(t, first, memorySinks)

	r.rewrite("callbacks: [{name: one, sink: {nothing: {}}}]\n")
	status, answer := r.call("POST", "/v1/reload", "", admin)
	if status != 422 || !strings.Contains(answer, r.file+":2:") {
		t.Fatalf("a bad configuration: %d %s", status, answer)
	}
	if status, _ := r.call("GET", "/v1/callbacks", "", admin); status != 200 {
		t.Errorf("the old configuration is not in force: %d", status)
	}

	r.rewrite("tokens: [{name: boss, token: another-long-token, roles: [admin]}]\n" +
		"journal: {window: 2000}\n" +
		"callbacks: [{name: one, sink: {memory: {}}, chunk: {age: 1ms}}, {name: two, sink: {memory: {}}}]\n")
	status, answer = r.call("POST", "/v1/reload", "", admin)
	var done api.Reloaded
	if err := json.Unmarshal([]byte(answer), &done); err != nil || status != 200 {
		t.Fatalf("%d %s", status, answer)
	}
	if !done.Changed || done.Before == done.After || len(done.Notes) != 1 || !strings.Contains(done.Notes[0], "journal") {
		t.Errorf("%+v", done)
	}
	if status, _ := r.call("GET", "/v1/callbacks", "", admin); status != 401 {
		t.Errorf("the old token still gets in: %d", status)
	}
	if status, answer := r.call("GET", "/v1/callbacks/two", "", "another-long-token"); status != 200 {
		t.Errorf("the new callback: %d %s", status, answer)
	}
	// The change is the journal's second event, after the failed reload. The third is the denied
	// request.
	status, answer = r.call("GET", "/v1/stats", "", "another-long-token")
	if status != 200 || !strings.Contains(answer, `"head":4`) {
		t.Errorf("the change was not recorded: %s", answer)
	}

	// By signal, the same configuration changes nothing.
	r.reload <- os.Interrupt
	r.reload <- os.Interrupt // accepted once the first one is done
	if n := strings.Count(r.log.String(), "was reloaded"); n < 2 {
		t.Errorf("%d reloads are logged:\n%s", n, r.log)
	}
	if _, answer := r.call("GET", "/v1/control?from=3", "", "another-long-token"); !strings.Contains(answer, `"changed_by":"signal"`) {
		t.Errorf("a reload that changed nothing is not on record: %s", answer)
	}
	for _, secret := range []string{admin, "another-long-token"} {
		if strings.Contains(r.log.String(), secret) {
			t.Error("a token is in the log")
		}
	}
}

// Tokens cannot be removed from a publicly reachable listener.
func TestReloadKeepsTheDoorShut(t *testing.T) {
	const admin = "token-of-the-admin"
	file := writeConfig(t, "listen: 0.0.0.0:0\ntokens: [{name: boss, token: "+admin+", roles: [admin]}]\n"+oneCallback)
	r := runFile(t, file, memorySinks)
	_, port, err := net.SplitHostPort(r.address)
	if err != nil {
		t.Fatal(err)
	}
	r.address = "127.0.0.1:" + port
	if err := os.WriteFile(file, []byte("listen: 127.0.0.1:0\n"+oneCallback), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, answer := r.call("POST", "/v1/reload", "", admin); status != http.StatusUnprocessableEntity || !strings.Contains(answer, "needs authentication") {
		t.Errorf("%d %s", status, answer)
	}
	if status, _ := r.call("GET", "/v1/callbacks", "", ""); status != http.StatusUnauthorized {
		t.Errorf("without a token: %d", status)
	}
}

// Accepted events are delivered before an orderly stop ends. A configuration changed between
// two runs is recorded at the second start.
func TestStopAndStartAgain(t *testing.T) {
	dir := t.TempDir()
	text := fmt.Sprintf("data_dir: %s\n", filepath.Join(dir, "data"))
	sinkOf := func(name string) string {
		return fmt.Sprintf("callbacks: [{name: archive, sink: {file: {path: %s}}}]\n", filepath.Join(dir, name))
	}
	r := run(t, text+sinkOf("a.ndjson"), nil)
	if status, answer := r.call("POST", "/v1/events", event("a"), ""); status != 200 {
		t.Fatal(answer)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "a.ndjson"))
	if err != nil || string(got) != event("a")+"\n" {
		t.Errorf("%s, %v", got, err)
	}

	r = run(t, text+sinkOf("b.ndjson"), nil)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	got, err = os.ReadFile(filepath.Join(dir, "b.ndjson"))
	if err != nil || !bytes.Contains(got, []byte("auditrelay_config")) || !bytes.Contains(got, []byte(`"changed_by":"start"`)) {
		t.Errorf("the changed configuration was not recorded: %s, %v", got, err)
	}
}

func TestAPortThatIsTakenCostsNoRecovery(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dir := filepath.Join(t.TempDir(), "data")
	err = Run(t.Context(), Options{silent: true,
		ConfigFile: writeConfig(t, oneCallback), Sinks: memorySinks,
		Listen: l.Addr().String(), DataDir: dir, Log: io.Discard,
	})
	if err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "journal")); err == nil {
		t.Error("the journal was opened")
	}
}

// A reload reads certificates again. A client without the right certificate is rejected.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	ca := newAuthority(t)
	ca.issue(t, dir, "server", 1)
	caFile := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(caFile, ca.pem, 0o600); err != nil {
		t.Fatal(err)
	}
	r := run(t, fmt.Sprintf("tls: {cert: %s/server.pem, key: %s/server.key, client_ca: %s}\n", dir, dir, caFile)+oneCallback, memorySinks)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.pem)
	ca.issue(t, dir, "client", 2)
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "client.pem"), filepath.Join(dir, "client.key"))
	if err != nil {
		t.Fatal(err)
	}
	serial := func() int64 {
		t.Helper()
		conn, err := tls.Dial("tcp", r.address, &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	if serial() != 1 {
		t.Error("another certificate is served")
	}
	r.scheme = "https"
	r.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}}}}
	t.Cleanup(r.client.CloseIdleConnections)
	ca.issue(t, dir, "server", 3)
	if status, answer := r.call("POST", "/v1/reload", "", ""); status != 200 {
		t.Fatal(status, answer)
	}
	if got := serial(); got != 3 {
		t.Errorf("certificate %d is served after the reload", got)
	}
	stranger := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	if resp, err := stranger.Get("https://" + r.address + "/healthz"); err == nil {
		resp.Body.Close()
		t.Error("a client without a certificate got in")
	}
}

type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(100), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

func (a *authority) issue(t *testing.T, dir, name string, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		NotBefore:   time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		name + ".pem": {Type: "CERTIFICATE", Bytes: der},
		name + ".key": {Type: "PRIVATE KEY", Bytes: secret},
	} {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
