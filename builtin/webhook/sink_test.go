package webhook_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/builtin/internal/httpsink"
	"auditrelay/builtin/webhook"
	"auditrelay/internal/test/faultproxy"
	"auditrelay/internal/test/receiver"
	"auditrelay/internal/test/secretfile"
	"auditrelay/sinktest"
)

func secretOf(b byte) string {
	return "whsec_" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, 32))
}

func options(url string) webhook.Options {
	return webhook.Options{URL: url, HTTP: httpsink.Options{AllowNetworks: []string{"loopback"}, RequestTimeout: 5 * time.Second}}
}

func newSink(t testing.TB, o webhook.Options) *webhook.Sink {
	t.Helper()
	s, err := webhook.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// verifier is an independent check of signatures according to the specification.
func verifier(secret *string) func(body []byte, h http.Header) error {
	return func(body []byte, h http.Header) error {
		key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(*secret, "whsec_"))
		mac := hmac.New(sha256.New, key)
		fmt.Fprintf(mac, "%s.%s.%s", h.Get("webhook-id"), h.Get("webhook-timestamp"), body)
		want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
		if !slices.Contains(strings.Fields(h.Get("webhook-signature")), want) {
			return errors.New("no signature fits")
		}
		if seconds, err := strconv.ParseInt(h.Get("webhook-timestamp"), 10, 64); err != nil || time.Since(time.Unix(seconds, 0)).Abs() > time.Minute {
			return errors.New("the timestamp is not this attempt's")
		}
		return nil
	}
}

func lines(body []byte) (docs [][]byte) {
	for line := range bytes.Lines(body) {
		docs = append(docs, bytes.TrimSuffix(line, []byte("\n")))
	}
	return docs
}

func array(body []byte) (docs [][]byte) {
	var all []json.RawMessage
	if json.Unmarshal(body, &all) != nil {
		return nil
	}
	for _, one := range all {
		docs = append(docs, one)
	}
	return docs
}

func TestConformance(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*webhook.Options)
		split  func([]byte) [][]byte
	}{
		"event":        {func(*webhook.Options) {}, lines},
		"array":        {func(o *webhook.Options) { o.Body = webhook.BodyArray; o.MaxEvents = 5 }, array},
		"ndjson, gzip": {func(o *webhook.Options) { o.Body = webhook.BodyNDJSON; o.HTTP.Compression = httpsink.CompressionGzip }, lines},
	} {
		t.Run(name, func(t *testing.T) {
			sinktest.Run(t, func(t *testing.T) sinktest.Kit {
				secret, file := secretOf(1), filepath.Join(t.TempDir(), "secrets")
				secretfile.Write(t, file, secret)
				endpoint := receiver.Webhook(t, verifier(&secret), tt.split)
				proxy := faultproxy.Start(t, endpoint.URL)
				kit := proxy.Kit(func(url string) auditrelay.Sink {
					o := options(url)
					o.SecretFile = file
					tt.change(&o)
					return newSink(t, o)
				})
				kit.Read = func(*testing.T) [][]byte { return endpoint.Documents() }
				kit.Unordered = true
				kit.Forgetful = true // the receiver remembers ids; the sink's receipt cannot show it
				kit.TooLarge = 1<<20 + 1
				kit.Refuse = func(_ *testing.T, record string) auditrelay.Sink {
					endpoint.Refuse(record)
					return kit.New(t)
				}
				kit.Expire = func(*testing.T) { secret = secretOf(2) }
				kit.Rotate = func(t *testing.T) {
					secret = secretOf(2)
					secretfile.Write(t, file, secretOf(1)+"\n"+secretOf(2)+"\n")
				}
				return kit
			})
		})
	}
}

func chunk(n int) auditrelay.Chunk {
	c := auditrelay.Chunk{Callback: "alerts", Journal: "j.1", From: 1, To: uint64(n + 1)}
	for i := range n {
		c.Records = append(c.Records, auditrelay.Record{Sequence: uint64(i + 1), Data: fmt.Appendf(nil, `{"id":"%d"}`, i+1)})
	}
	return c
}

func render(t *testing.T, s *webhook.Sink, n int) []auditrelay.Payload {
	t.Helper()
	payloads, err := s.Render(chunk(n))
	if err != nil {
		t.Fatal(err)
	}
	return payloads
}

// The id is the same on every retry and contains no point. Each retry has its own timestamp,
// and a signature by every secret.
func TestHeaders(t *testing.T) {
	seed := bytes.Repeat([]byte{7}, ed25519.SeedSize)
	o := webhook.Options{Secrets: []auditrelay.Secret{auditrelay.Secret(secretOf(1)), auditrelay.Secret("whsk_" + base64.StdEncoding.EncodeToString(seed))},
		Headers: map[string]auditrelay.Secret{"Authorization": "Bearer x"}}
	var seen []http.Header
	var bodies [][]byte
	endpoint := receiver.Webhook(t, func(body []byte, h http.Header) error {
		seen, bodies = append(seen, h.Clone()), append(bodies, body)
		return errors.New("again")
	}, lines)
	o.URL, o.HTTP = endpoint.URL, options("").HTTP
	s := newSink(t, o)
	c := chunk(1)
	c.Records[0].Namespace, c.Records[0].Source, c.Records[0].Principal = "litellm", "http", "J\u00f6rg\r\nX-Forged: 1"
	payloads, err := s.Render(c)
	if err != nil {
		t.Fatal(err)
	}
	p := payloads[0]
	for range 2 {
		if _, err := s.Deliver(t.Context(), p); auditrelay.KindOf(err) != auditrelay.Unauthorized {
			t.Fatalf("got %v", err)
		}
	}
	id := seen[0].Get("webhook-id")
	if id != seen[1].Get("webhook-id") || id != webhook.ID(p) || strings.Contains(id, ".") || seen[0].Get("Authorization") != "Bearer x" {
		t.Errorf("the headers are %v and %v", seen[0], seen[1])
	}
	// The record's origin is in headers that no event can choose.
	if h := seen[0]; h.Get("Auditrelay-Namespace") != "litellm" || h.Get("Auditrelay-Principal") != "J%C3%B6rg%0D%0AX-Forged:%201" || h.Get("Auditrelay-Sequence") == "" || h.Get("X-Forged") != "" {
		t.Errorf("the origin: %v", h)
	}
	public := ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
	secret := secretOf(1)
	for i, h := range seen {
		if err := verifier(&secret)(bodies[i], h); err != nil {
			t.Error(err)
		}
		_, v1a, _ := strings.Cut(h.Get("webhook-signature"), "v1a,")
		signature, _ := base64.StdEncoding.DecodeString(v1a)
		if !ed25519.Verify(public, fmt.Appendf(nil, "%s.%s.%s", id, h.Get("webhook-timestamp"), bodies[i]), signature) {
			t.Error("the asymmetric signature does not verify")
		}
	}
}

func TestAnswers(t *testing.T) {
	for status, want := range map[int]string{
		200: "delivered", 201: "delivered", 202: "delivered", 204: "delivered",
		302: "misconfigured", 400: "refused", 401: "unauthorized", 404: "misconfigured", 410: "misconfigured", 422: "refused",
		413: "too_large", 429: "throttled", 500: "transient", 502: "throttled", 503: "throttled", 504: "throttled",
	} {
		proxy := faultproxy.Start(t, "http://127.0.0.1:9")
		proxy.Always(faultproxy.Answer(status, "", "Retry-After", "7"))
		s := newSink(t, options(proxy.URL))
		_, err := s.Deliver(t.Context(), render(t, s, 1)[0])
		got := "delivered"
		if err != nil {
			got = auditrelay.KindOf(err).String()
			if failure, ok := errors.AsType[*auditrelay.DeliveryError](err); !ok || failure.RetryAfter != 7*time.Second {
				t.Errorf("%d: Retry-After is not kept: %v", status, err)
			}
		}
		if got != want {
			t.Errorf("%d: %s, want %s", status, got, want)
		}
	}
}

// A probe reaches the endpoint and sends no event.
func TestProbe(t *testing.T) {
	endpoint := receiver.Webhook(t, nil, lines)
	s := newSink(t, options(endpoint.URL))
	if err := s.Probe(t.Context()); !errors.Is(err, auditrelay.ErrNotChecked) || len(endpoint.Documents()) != 0 {
		t.Errorf("got %v, %d events", err, len(endpoint.Documents()))
	}
	endpoint.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := s.Probe(ctx); err == nil || errors.Is(err, auditrelay.ErrNotChecked) {
		t.Errorf("with nobody there: %v", err)
	}
}

func TestOptions(t *testing.T) {
	const url = "https://hooks.example/audit"
	for want, o := range map[string]webhook.Options{
		"url: it is required":                    {},
		"url: an internal address":               {URL: "http://169.254.169.254/latest"},
		"url: an internal address is":            {URL: "http://[::ffff:10.0.0.1]/"},
		"body: expected event":                   {URL: url, Body: "xml"},
		"secrets[0]: expected whsec_":            {URL: url, Secrets: []auditrelay.Secret{"hunter2"}},
		"secrets: secret_file is set too":        {URL: url, Secrets: []auditrelay.Secret{auditrelay.Secret(secretOf(1))}, SecretFile: "x"},
		"headers.webhook-id: the sink sets this": {URL: url, Headers: map[string]auditrelay.Secret{"webhook-id": "x"}},
		"headers.X-Y: not a valid header value":  {URL: url, Headers: map[string]auditrelay.Secret{"X-Y": "a\r\nb: c"}},
		"headers.a b: not a valid header name":   {URL: url, Headers: map[string]auditrelay.Secret{"a b": "c"}},
		"max_request_bytes: expected 1KiB":       {URL: url, MaxRequestBytes: 5},
	} {
		_, err := webhook.New(o)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// TestContentTypes: CloudEvents have their own content types, for one event and for a batch.
func TestContentTypes(t *testing.T) {
	const cloud = "application/cloudevents+json"
	for _, tt := range []struct{ body, media, given, want string }{
		{webhook.BodyEvent, "", "", "application/json"},
		{webhook.BodyEvent, "application/json", "", "application/json"},
		{webhook.BodyEvent, cloud, "", cloud},
		{webhook.BodyArray, "application/json", "", "application/json"},
		{webhook.BodyArray, cloud, "", "application/cloudevents-batch+json"},
		{webhook.BodyNDJSON, cloud, "", "application/x-ndjson"},
		{webhook.BodyArray, cloud, "application/x-mine", "application/x-mine"},
	} {
		o := options("http://127.0.0.1:1")
		o.Body, o.ContentType = tt.body, tt.given
		payloads, err := newSink(t, o).Render(auditrelay.Chunk{Callback: "c", Journal: "j", From: 1, To: 2, MediaType: tt.media,
			Records: []auditrelay.Record{{Sequence: 1, Data: []byte(`{}`)}}})
		if err != nil || len(payloads) != 1 || payloads[0].Headers[httpsink.ContentType] != tt.want {
			t.Errorf("%+v: %v, %v", tt, payloads, err)
		}
	}
}
