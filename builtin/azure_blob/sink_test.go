package azureblob_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"auditrelay"
	azureblob "auditrelay/builtin/azure_blob"
	"auditrelay/builtin/internal/httpsink"
	"auditrelay/internal/test/child"
	"auditrelay/internal/test/faultproxy"
	"auditrelay/internal/test/secretfile"
	"auditrelay/sinktest"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"
)

// The emulator's own account and key, which Microsoft's documentation publishes.
const (
	account = "devstoreaccount1"
	key     = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

// emulator starts Azurite. If it is not installed (scripts/install-test-tools), the test is
// skipped, or fails under CI=true. Azurite lies beside the folder that AUDITRELAY_TEST_BIN names.
func emulator(t testing.TB, accounts string) string {
	t.Helper()
	program := filepath.Join(os.Getenv("AUDITRELAY_TEST_BIN"), "..", "azurite", "node_modules", ".bin", "azurite-blob")
	if _, err := os.Stat(program); err != nil || os.Getenv("AUDITRELAY_TEST_BIN") == "" {
		const missing = "azurite is not installed: scripts/install-test-tools does it"
		if os.Getenv("CI") == "true" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	cmd := exec.Command(program, "--inMemoryPersistence", "--blobHost", host, "--blobPort", port, "--silent", "--skipApiVersionCheck", "--disableTelemetry")
	cmd.Dir = t.TempDir()
	if accounts != "" {
		cmd.Env = append(os.Environ(), "AZURITE_ACCOUNTS="+accounts)
	}
	if _, err := child.Start(t, cmd); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if resp, err := http.Get("http://" + host + ":" + port + "/"); err == nil {
			resp.Body.Close()
			return "http://" + host + ":" + port + "/" + account
		}
		if time.Now().After(deadline) {
			t.Fatal("azurite does not start")
		}
	}
}

func client(t testing.TB, at, name string) *container.Client {
	t.Helper()
	credential, err := container.NewSharedKeyCredential(account, key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := container.NewClientWithSharedKeyCredential(at+"/"+name, credential, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// folder makes a new container.
func folder(t testing.TB, at string) string {
	t.Helper()
	name := fmt.Sprintf("audit-%d", time.Now().UnixNano())
	if _, err := client(t, at, name).Create(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	return name
}

// blobs returns the names in a container.
func blobs(t testing.TB, at, name string) (names []string) {
	t.Helper()
	for pages := client(t, at, name).NewListBlobsFlatPager(nil); pages.More(); {
		page, err := pages.NextPage(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range page.Segment.BlobItems {
			names = append(names, *item.Name)
		}
	}
	return names
}

func documents(t testing.TB, at, name string) (docs [][]byte) {
	t.Helper()
	for _, key := range blobs(t, at, name) {
		if strings.Contains("/"+key, "/_") {
			continue
		}
		got, err := client(t, at, name).NewBlobClient(key).DownloadStream(context.Background(), nil)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(got.Body)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
			z, err := gzip.NewReader(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			if data, err = io.ReadAll(z); err != nil {
				t.Fatal(err)
			}
		}
		docs = append(docs, bytes.Split(bytes.TrimSuffix(data, []byte("\n")), []byte("\n"))...)
	}
	return docs
}

// signature returns a shared access signature of a container.
func signature(t testing.TB, at, name string, may sas.ContainerPermissions, expires time.Time) string {
	t.Helper()
	signed, err := client(t, at, name).GetSASURL(may, expires, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, query, _ := strings.Cut(signed, "?")
	return query
}

// With the right to create, new blobs are delivered. An existing blob is compared if the signature
// has the right to read, and is unverified if it only has the right to write. An expired signature
// stalls the callback until a new one is in the file. No error quotes a signature.
func TestSignatures(t *testing.T) {
	at := emulator(t, "")
	into := folder(t, at)
	tomorrow := time.Now().Add(24 * time.Hour)
	file := filepath.Join(t.TempDir(), "sas")
	o := options(at, into)
	o.AccountKey, o.AccountKeyFile, o.SASTokenFile = "", "", file
	deliver := func() (auditrelay.Receipt, error) {
		s := newSink(t, o)
		return s.Deliver(t.Context(), render(t, s))
	}
	expired := signature(t, at, into, sas.ContainerPermissions{Create: true}, time.Now().Add(-time.Hour))
	secretfile.Write(t, file, expired)
	if _, err := deliver(); auditrelay.KindOf(err) != auditrelay.Unauthorized || strings.Contains(err.Error(), "sig=") {
		t.Errorf("expired: %v", err)
	}
	secretfile.Write(t, file, "?"+signature(t, at, into, sas.ContainerPermissions{Create: true}, tomorrow)+"\n")
	if r, err := deliver(); err != nil || r.Duplicate {
		t.Errorf("to create: %+v, %v", r, err)
	}
	if _, err := deliver(); auditrelay.KindOf(err) != auditrelay.Unauthorized {
		t.Errorf("again, with that right alone: %v", err)
	}
	secretfile.Write(t, file, signature(t, at, into, sas.ContainerPermissions{Create: true, Read: true}, tomorrow))
	if r, err := deliver(); err != nil || !r.Duplicate || r.Unverified {
		t.Errorf("again, with the right to read: %+v, %v", r, err)
	}
	secretfile.Write(t, file, signature(t, at, into, sas.ContainerPermissions{Create: true, Write: true}, tomorrow))
	if r, err := deliver(); err != nil || !r.Duplicate || !r.Unverified {
		t.Errorf("again, with the right to write: %+v, %v", r, err)
	}
	if n := len(documents(t, at, into)); n != 1 {
		t.Errorf("%d documents", n)
	}
}

func options(at, name string) azureblob.Options {
	return azureblob.Options{AccountURL: at, Container: name, Prefix: "relay/ü +=", AccountKey: key,
		HTTP: httpsink.Options{AllowNetworks: []string{"loopback"}, RequestTimeout: 5 * time.Second}}
}

func newSink(t testing.TB, o azureblob.Options) *azureblob.Sink {
	t.Helper()
	s, err := azureblob.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestAzurite(t *testing.T) {
	at := emulator(t, "")
	t.Run("conformance", func(t *testing.T) { conformance(t, at) })
	t.Run("what is there already", func(t *testing.T) { existing(t, at) })
	t.Run("probe", func(t *testing.T) { probe(t, at) })
}

func conformance(t *testing.T, at string) {
	sinktest.Run(t, func(t *testing.T) sinktest.Kit {
		into := folder(t, at)
		file := filepath.Join(t.TempDir(), "key")
		secretfile.Write(t, file, key)
		proxy := faultproxy.Start(t, strings.TrimSuffix(at, "/"+account))
		kit := proxy.Kit(func(url string) auditrelay.Sink {
			o := options(url+"/"+account, into)
			o.AccountKey, o.AccountKeyFile = "", file
			return newSink(t, o)
		})
		kit.Read = func(t *testing.T) [][]byte { return documents(t, at, into) }
		kit.Unordered = true
		// The emulator's key does not change, only the content of the file.
		kit.Expire = func(t *testing.T) { secretfile.Write(t, file, "bm90IHRoZSBrZXkgb2YgdGhlIGFjY291bnQ=") }
		kit.Rotate = func(t *testing.T) { secretfile.Write(t, file, key+"\n") }
		return kit
	})
}

func render(t *testing.T, s *azureblob.Sink) auditrelay.Payload {
	t.Helper()
	at := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	payloads, err := s.Render(auditrelay.Chunk{Callback: "c", Journal: "j.1", From: 1, To: 2, Records: []auditrelay.Record{{Sequence: 1, ID: "1", Time: at, Received: at, Data: []byte(`{"id":"1"}`)}}})
	if err != nil || len(payloads) != 1 {
		t.Fatalf("%d payloads, %v", len(payloads), err)
	}
	return payloads[0]
}

// An existing blob is compared: equal data is success, other data is refused, and data that the
// sink may not read is reported as unverified.
func existing(t *testing.T, at string) {
	into := folder(t, at)
	s := newSink(t, options(at, into))
	p := render(t, s)
	if r, err := s.Deliver(t.Context(), p); err != nil || r.Duplicate || r.Version == "" || !strings.HasPrefix(r.Location, at+"/"+into+"/relay/ü +=/dt=2026-03-01/hour=10/j.1-000000000001-000000000002-") {
		t.Fatalf("%+v, %v", r, err)
	}
	if r, err := newSink(t, options(at, into)).Deliver(t.Context(), p); err != nil || !r.Duplicate || r.Unverified {
		t.Errorf("again after a restart: %+v, %v", r, err)
	}
	other := p
	other.Body = append([]byte(nil), p.Body...)
	other.Body[len(other.Body)-1] ^= 1
	if _, err := newSink(t, options(at, into)).Deliver(t.Context(), other); auditrelay.KindOf(err) != auditrelay.Refused {
		t.Errorf("different content: %v", err)
	}
	proxy := faultproxy.Start(t, strings.TrimSuffix(at, "/"+account))
	proxy.Script(faultproxy.Pass, faultproxy.Answer(403, ``))
	if r, err := newSink(t, options(proxy.URL+"/"+account, into)).Deliver(t.Context(), p); err != nil || !r.Duplicate || !r.Unverified {
		t.Errorf("what may not be read: %+v, %v", r, err)
	}
}

func probe(t *testing.T, at string) {
	into := folder(t, at)
	for range 2 {
		if err := newSink(t, options(at, into)).Probe(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if names := blobs(t, at, into); len(names) != 1 || names[0] != "relay/ü +=/_auditrelay/probe" {
		t.Errorf("%q", names)
	}
	if err := newSink(t, options(at, "missing")).Probe(t.Context()); auditrelay.KindOf(err) != auditrelay.Misconfigured || !strings.Contains(err.Error(), "ContainerNotFound") {
		t.Errorf("without the container: %v", err)
	}
}

// The sink stops reading a response at a limit.
func TestAnAnswerWithoutEnd(t *testing.T) {
	var sent atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		for block := make([]byte, 64<<10); sent.Load() < 64<<20; {
			n, err := w.Write(block)
			if sent.Add(int64(n)); err != nil {
				return
			}
		}
	}))
	defer server.Close()
	s := newSink(t, options(server.URL+"/"+account, "audit"))
	if _, err := s.Deliver(t.Context(), render(t, s)); auditrelay.KindOf(err) != auditrelay.Transient || err == nil {
		t.Error(err)
	}
	if sent.Load() >= 64<<20 {
		t.Errorf("all %d bytes of the answer were read", sent.Load())
	}
}

// A 400 is the options' fault, but for a body that was damaged on the way.
func TestABodyDamagedOnTheWayIsSentAgain(t *testing.T) {
	for code, want := range map[string]auditrelay.ErrorKind{"Md5Mismatch": auditrelay.Transient, "InvalidHeaderValue": auditrelay.Misconfigured} {
		store := faultproxy.Start(t, "http://127.0.0.1:1")
		store.Always(faultproxy.Answer(http.StatusBadRequest, "", "X-Ms-Error-Code", code))
		s := newSink(t, options(store.URL+"/"+account, "audit"))
		if _, err := s.Deliver(t.Context(), render(t, s)); err == nil || auditrelay.KindOf(err) != want || !strings.Contains(err.Error(), code) {
			t.Errorf("%s: %v, want %v", code, err, want)
		}
	}
}

// A 412 without Azure's code counts if the blob itself has the payload's content.
func TestA412WithoutACodeIsCompared(t *testing.T) {
	for length, want := range map[int]auditrelay.ErrorKind{0: 0, 1: auditrelay.Misconfigured} {
		var put []byte
		store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPut {
				put, _ = io.ReadAll(r.Body)
				w.WriteHeader(http.StatusPreconditionFailed)
				return
			}
			sum := md5.Sum(put) //nolint:gosec // the protocol's
			w.Header().Set("Content-MD5", base64.StdEncoding.EncodeToString(sum[:]))
			w.Header().Set("Content-Length", strconv.Itoa(len(put)+length))
		}))
		s := newSink(t, options(store.URL+"/"+account, "audit"))
		receipt, err := s.Deliver(t.Context(), render(t, s))
		if (err == nil) != (length == 0) || err == nil && !receipt.Duplicate || err != nil && auditrelay.KindOf(err) != want {
			t.Errorf("%d bytes more: %+v, %v", length, receipt, err)
		}
		store.Close()
	}
}

// A proxy's page with the statuses of an existing blob is no delivery.
func TestPagesAreNoBlob(t *testing.T) {
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status := http.StatusForbidden
		if r.Method == http.MethodPut {
			status = http.StatusPreconditionFailed
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte("<html>not here</html>"))
	}))
	defer page.Close()
	s := newSink(t, options(page.URL+"/"+account, "audit"))
	if receipt, err := s.Deliver(t.Context(), render(t, s)); err == nil || !strings.Contains(err.Error(), "status 412: the response has no error code of Azure") {
		t.Errorf("delivered: %v, %v", receipt, err)
	}
}

// The error of a store that does not respond differs from that of a stopped delivery.
func TestASilentStore(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer server.Close()
	defer close(release)
	o := options(server.URL+"/"+account, "audit")
	o.HTTP.RequestTimeout = time.Second
	s := newSink(t, o)
	if _, err := s.Deliver(t.Context(), render(t, s)); err == nil || !strings.Contains(err.Error(), "request_timeout (1s)") {
		t.Error(err)
	}
}

// Requests for tokens use the configured proxy, like all other requests.
func TestTokensByTheProxy(t *testing.T) {
	var asked sync.Map
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r.Host, true)
		w.WriteHeader(http.StatusBadGateway)
	}))
	defer proxy.Close()
	for name, value := range map[string]string{"AZURE_TOKEN_CREDENTIALS": "EnvironmentCredential", "AZURE_TENANT_ID": "11111111-1111-1111-1111-111111111111",
		"AZURE_CLIENT_ID": "relay", "AZURE_CLIENT_SECRET": "not-shown-to-anybody", "AZURE_AUTHORITY_HOST": "https://login.invalid"} {
		t.Setenv(name, value)
	}
	o := azureblob.Options{AccountURL: "https://account.invalid", Container: "audit", HTTP: httpsink.Options{Proxy: proxy.URL, RequestTimeout: time.Second}}
	s := newSink(t, o)
	_, err := s.Deliver(t.Context(), render(t, s))
	if err == nil || strings.Contains(err.Error(), "not-shown") {
		t.Error(err)
	}
	hosts := ""
	asked.Range(func(host, _ any) bool { hosts += host.(string) + " "; return true })
	if !strings.HasPrefix(hosts, "login.") {
		t.Errorf("the proxy was asked for %q: %v", hosts, err)
	}
}

func TestOptions(t *testing.T) {
	good := azureblob.Options{AccountURL: "https://a.blob.core.windows.net", Container: "audit"}
	for want, change := range map[string]func(*azureblob.Options){
		"account_url: it is required":                func(o *azureblob.Options) { o.AccountURL = "" },
		"account_url: it has a query":                func(o *azureblob.Options) { o.AccountURL += "?sig=x" },
		"account_url: tokens need https":             func(o *azureblob.Options) { o.AccountURL = "http://a.blob.core.windows.net" },
		"container: expected 3 to 63 small letters":  func(o *azureblob.Options) { o.Container = "a--b" },
		"prefix: a part between slashes":             func(o *azureblob.Options) { o.Prefix = "a/../b" },
		"tier: expected Hot":                         func(o *azureblob.Options) { o.Tier = "cold" },
		"account_key: expected base64":               func(o *azureblob.Options) { o.AccountKey = "no key" },
		"account_key: account_key_file is set too":   func(o *azureblob.Options) { o.AccountKey, o.AccountKeyFile = "a2V5", "x" },
		"sas_token: account_key is set too":          func(o *azureblob.Options) { o.AccountKey, o.SASToken = "a2V5", "x" },
		"account_url: an internal address":           func(o *azureblob.Options) { o.AccountURL = "http://127.0.0.1:10000/" + account },
		"max_object_bytes: expected 64KiB to 1GiB":   func(o *azureblob.Options) { o.MaxObjectBytes = 1 },
		"http.compression: expected gzip or none":    func(o *azureblob.Options) { o.HTTP.Compression = "zstd" },
		"account_url: expected a URL such as https:": func(o *azureblob.Options) { o.AccountURL = "account" },
	} {
		o := good
		change(&o)
		if _, err := azureblob.New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if _, err := azureblob.New(good); err != nil {
		t.Error(err)
	}
}
