package gcs_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/builtin/gcs"
	"auditrelay/builtin/internal/httpsink"
	"auditrelay/internal/test/child"
	"auditrelay/internal/test/faultproxy"
	"auditrelay/internal/test/secretfile"
	"auditrelay/sinktest"
)

// emulator starts fake-gcs-server. If it is not installed, the test is skipped, or fails under
// CI=true.
func emulator(t testing.TB) string {
	t.Helper()
	program := filepath.Join(os.Getenv("AUDITRELAY_TEST_BIN"), "fake-gcs-server")
	if _, err := os.Stat(program); err != nil || os.Getenv("AUDITRELAY_TEST_BIN") == "" {
		const missing = "fake-gcs-server is not built: AUDITRELAY_TEST_BIN names the folder that make builds it into"
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
	if _, err := child.Start(t, exec.Command(program, "-backend", "memory", "-scheme", "http", "-host", host, "-port", port, "-log-level", "error")); err != nil {
		t.Fatal(err)
	}
	at := "http://" + host + ":" + port
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if resp, err := http.Get(at + "/storage/v1/b"); err == nil {
			resp.Body.Close()
			return at
		}
		if time.Now().After(deadline) {
			t.Fatal("fake-gcs-server does not start")
		}
	}
}

// bucket makes a new bucket.
func bucket(t testing.TB, at string) string {
	t.Helper()
	name := fmt.Sprintf("audit-%d", time.Now().UnixNano())
	resp, err := http.Post(at+"/storage/v1/b", "application/json", strings.NewReader(`{"name":"`+name+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status)
	}
	return name
}

func get(t testing.TB, address string) []byte {
	t.Helper()
	resp, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", address, resp.Status, err)
	}
	return data
}

// names returns the keys in a bucket.
func names(t testing.TB, at, bucket string) []string {
	t.Helper()
	var list struct{ Items []struct{ Name string } }
	if err := json.Unmarshal(get(t, at+"/storage/v1/b/"+bucket+"/o"), &list); err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, item := range list.Items {
		keys = append(keys, item.Name)
	}
	return keys
}

// documents returns the records in a bucket.
func documents(t testing.TB, at, bucket string) (docs [][]byte) {
	for _, key := range names(t, at, bucket) {
		if strings.Contains("/"+key, "/_") {
			continue
		}
		data := get(t, at+"/storage/v1/b/"+bucket+"/o/"+url.PathEscape(key)+"?alt=media")
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

func options(at, bucket string) gcs.Options {
	return gcs.Options{Bucket: bucket, URL: at, Prefix: "relay/ü +=", Anonymous: true,
		HTTP: httpsink.Options{AllowNetworks: []string{"loopback"}, RequestTimeout: 5 * time.Second}}
}

func newSink(t testing.TB, o gcs.Options) *gcs.Sink {
	t.Helper()
	s, err := gcs.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestConformance(t *testing.T) {
	at := emulator(t)
	sinktest.Run(t, func(t *testing.T) sinktest.Kit {
		into := bucket(t, at)
		proxy := faultproxy.Start(t, at)
		kit := proxy.Kit(func(url string) auditrelay.Sink { return newSink(t, options(url, into)) })
		kit.Read = func(t *testing.T) [][]byte { return documents(t, at, into) }
		kit.Unordered = true
		return kit
	})
}

func chunk(from uint64, n int) auditrelay.Chunk {
	c := auditrelay.Chunk{Callback: "c", Journal: "j.1", From: from, To: from + uint64(n), MediaType: "application/json"}
	at := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	for i := range n {
		c.Records = append(c.Records, auditrelay.Record{Sequence: from + uint64(i), ID: fmt.Sprint(i), Time: at, Received: at, Data: fmt.Appendf(nil, `{"id":"%d"}`, i)})
	}
	return c
}

// An existing object is compared: equal data is success, other data is refused, and data that the
// sink may not read is reported as unverified.
func TestWhatIsThereAlready(t *testing.T) {
	at := emulator(t)
	into := bucket(t, at)
	s := newSink(t, options(at, into))
	p := render(t, s, chunk(1, 3))
	if r, err := s.Deliver(t.Context(), p); err != nil || r.Duplicate || r.Version == "" || !strings.HasPrefix(r.Location, "gs://"+into+"/relay/ü +=/dt=2026-03-01/hour=10/j.1-000000000001-000000000004-") {
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
	proxy := faultproxy.Start(t, at)
	proxy.Script(faultproxy.Pass, faultproxy.Answer(403, `{}`))
	if r, err := newSink(t, options(proxy.URL, into)).Deliver(t.Context(), p); err != nil || !r.Duplicate || !r.Unverified {
		t.Errorf("what may not be read: %+v, %v", r, err)
	}
	proxy.Script(faultproxy.Answer(412, ""))
	if r, err := newSink(t, options(proxy.URL, into)).Deliver(t.Context(), p); err != nil || !r.Duplicate || r.Unverified {
		t.Errorf("412 without a body: %+v, %v", r, err)
	}
	proxy.Script(faultproxy.Answer(412, ""), faultproxy.Answer(403, `{}`))
	if r, err := newSink(t, options(proxy.URL, into)).Deliver(t.Context(), p); auditrelay.KindOf(err) != auditrelay.Misconfigured {
		t.Errorf("412 without a body, and nothing may be read: %+v, %v", r, err)
	}
}

func render(t *testing.T, s *gcs.Sink, c auditrelay.Chunk) auditrelay.Payload {
	t.Helper()
	payloads, err := s.Render(c)
	if err != nil || len(payloads) != 1 {
		t.Fatalf("%d payloads, %v", len(payloads), err)
	}
	return payloads[0]
}

// A 400 is the options' fault, but for content that was damaged on the way.
func TestContentDamagedOnTheWayIsSentAgain(t *testing.T) {
	for message, want := range map[string]auditrelay.ErrorKind{
		`Provided CRC32C \"AAAAAA==\" doesn't match calculated CRC32C \"2HvlZg==\".`: auditrelay.Transient,
		"Invalid storage class.": auditrelay.Misconfigured,
	} {
		store := faultproxy.Start(t, "http://127.0.0.1:1")
		store.Always(faultproxy.Answer(http.StatusBadRequest, `{"error":{"code":400,"message":"`+message+`","errors":[{"reason":"invalid"}]}}`))
		s := newSink(t, options(store.URL, "audit"))
		if _, err := s.Deliver(t.Context(), render(t, s, chunk(1, 1))); err == nil || auditrelay.KindOf(err) != want {
			t.Errorf("%s: %v, want %v", message, err, want)
		}
	}
}

func TestProbe(t *testing.T) {
	at := emulator(t)
	into := bucket(t, at)
	for range 2 {
		if err := newSink(t, options(at, into)).Probe(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if keys := names(t, at, into); len(keys) != 1 || keys[0] != "relay/ü +=/_auditrelay/probe" {
		t.Errorf("%q", keys)
	}
	if err := newSink(t, options(at, "missing-bucket")).Probe(t.Context()); auditrelay.KindOf(err) != auditrelay.Misconfigured {
		t.Errorf("without the bucket: %v", err)
	}
}

// A proxy's page with the statuses of an existing object is no delivery.
func TestPagesAreNoObject(t *testing.T) {
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status := http.StatusForbidden
		if r.Method == http.MethodPost {
			status = http.StatusPreconditionFailed
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte("<html>not here</html>"))
	}))
	defer page.Close()
	s := newSink(t, options(page.URL, "audit"))
	if receipt, err := s.Deliver(t.Context(), render(t, s, auditrelay.Chunk{Callback: "c", Journal: "j.1", From: 1, To: 2, Records: []auditrelay.Record{{Sequence: 1, Data: []byte(`{}`)}}})); err == nil {
		t.Errorf("delivered: %v", receipt)
	}
}

// A token service that never responds delays a delivery by request_timeout at most. The next
// delivery sends a new request.
func TestASilentTokenService(t *testing.T) {
	var asked atomic.Int32
	release := make(chan struct{})
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path != "/token":
			io.WriteString(w, `{"name":"x","crc32c":"AAAAAA==","generation":"1"}`)
		case asked.Add(1) == 1:
			<-release
		default:
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, `{"access_token":"t","token_type":"Bearer","expires_in":3600}`)
		}
	}))
	defer service.Close()
	defer close(release)
	o := options(service.URL, "audit")
	o.Anonymous, o.CredentialsFile, o.HTTP.RequestTimeout = false, serviceAccount(t, service.URL+"/token"), time.Second
	s := newSink(t, o)
	p := render(t, s, chunk(1, 1))
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	if _, err := s.Deliver(ctx, p); auditrelay.KindOf(err) != auditrelay.Transient || err == nil || ctx.Err() != nil {
		t.Fatalf("%v, %v", err, ctx.Err())
	}
	// The response's checksum is wrong. Here it only counts that the request reached the service.
	if _, err := s.Deliver(ctx, p); auditrelay.KindOf(err) != auditrelay.Refused {
		t.Errorf("afterwards: %v", err)
	}
}

// No kind of credentials can make the sink call a token service on an internal network. The error
// says what to do.
func TestATokenServiceOfTheInside(t *testing.T) {
	service := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was asked") }))
	defer service.Close()
	federated := filepath.Join(t.TempDir(), "federated.json")
	secretfile.Write(t, federated, fmt.Sprintf(`{"type":"external_account","audience":"a","subject_token_type":"urn:ietf:params:oauth:token-type:jwt","token_url":"https://sts.googleapis.com/v1/token","credential_source":{"url":%q}}`, service.URL))
	for _, file := range []string{serviceAccount(t, service.URL+"/token"), federated} {
		s := newSink(t, gcs.Options{Bucket: "audit", CredentialsFile: file})
		_, err := s.Deliver(t.Context(), render(t, s, chunk(1, 1)))
		if auditrelay.KindOf(err) != auditrelay.Misconfigured || !strings.Contains(err.Error(), "http.allow_networks") {
			t.Errorf("%s: %v", filepath.Base(file), err)
		}
	}
}

// serviceAccount creates a key file whose tokens come from at.
func serviceAccount(t *testing.T, at string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key.json")
	secretfile.ServiceAccount(t, file, at)
	return file
}

// A service account's key gives a token. A rotated key file replaces it. A refused key stalls the
// callback, and no error contains the key.
func TestServiceAccount(t *testing.T) {
	valid := "first"
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			w.Header().Set("Content-Type", "application/json")
			if valid == "" {
				w.WriteHeader(http.StatusBadRequest)
				io.WriteString(w, `{"error":"invalid_grant","error_description":"`+r.FormValue("assertion")+`"}`)
				return
			}
			fmt.Fprintf(w, `{"access_token":"%s","token_type":"Bearer","expires_in":3600}`, valid)
			return
		}
		if r.Header.Get("Authorization") != "Bearer "+valid {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		io.WriteString(w, `{"name":"x","crc32c":"AAAAAA==","generation":"1"}`)
	}))
	defer service.Close()
	file := serviceAccount(t, service.URL+"/token")
	o := options(service.URL, "audit")
	o.Anonymous, o.CredentialsFile = false, file
	s := newSink(t, o)
	p := render(t, s, chunk(1, 1))
	deliver := func() error { _, err := s.Deliver(t.Context(), p); return err }
	// The response's checksum is wrong. Here it only counts that the request reached the service.
	if err := deliver(); auditrelay.KindOf(err) != auditrelay.Refused {
		t.Errorf("with a token: %v", err)
	}
	valid = "second" // the old one is void
	if err := deliver(); auditrelay.KindOf(err) != auditrelay.Unauthorized {
		t.Errorf("with a void token: %v", err)
	}
	if err := deliver(); auditrelay.KindOf(err) != auditrelay.Refused {
		t.Errorf("with a new token: %v", err)
	}
	valid = ""
	s.Refresh()
	if err := deliver(); auditrelay.KindOf(err) != auditrelay.Unauthorized || strings.Contains(err.Error(), "eyJ") {
		t.Errorf("with refused credentials: %v", err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := deliver(); auditrelay.KindOf(err) != auditrelay.Unauthorized || !strings.Contains(err.Error(), "key.json") {
		t.Errorf("without the file: %v", err)
	}
}

func TestOptions(t *testing.T) {
	for want, o := range map[string]gcs.Options{
		"bucket: it is required":                  {},
		"prefix: it must not begin with a slash":  {Bucket: "audit", Prefix: "/x"},
		"prefix: a part between slashes":          {Bucket: "audit", Prefix: "a/../b"},
		"url: an internal address":                {Bucket: "audit", URL: "http://127.0.0.1:1"},
		"anonymous: credentials_file is set too":  {Bucket: "audit", Anonymous: true, CredentialsFile: "x"},
		"storage_class: expected a class":         {Bucket: "audit", StorageClass: "cold"},
		"kms_key: expected projects/P":            {Bucket: "audit", KMSKey: "key"},
		"max_object_bytes: expected 64KiB to":     {Bucket: "audit", MaxObjectBytes: 1},
		"http.concurrency: expected 1 to 64":      {Bucket: "audit", HTTP: httpsink.Options{Concurrency: 100}},
		"max_event_ahead: expected at least 1m":   {Bucket: "audit", MaxEventAhead: 1},
		"max_event_age: expected at least 1h":     {Bucket: "audit", MaxEventAge: 1},
		"http.allow_networks[0]: expected loopba": {Bucket: "audit", HTTP: httpsink.Options{AllowNetworks: []string{"all"}}},
	} {
		if _, err := gcs.New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
