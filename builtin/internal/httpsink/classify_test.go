package httpsink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"auditrelay"
)

// Most servers answer a plain-text request to a TLS port with 400. This says nothing about a
// record, so no record is refused.
func TestAPortThatSpeaksTLS(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	c := client(t, Options{}, strings.Replace(server.URL, "https:", "http:", 1))
	var a Answer
	err := errors.New("not sent")
	for attempt := 0; err != nil && attempt < 100; attempt++ { // the server may reset the connection before its answer is read
		a, err = c.Send(t.Context(), Request{Header: http.Header{}, Body: []byte("x")})
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Refusal(a); auditrelay.KindOf(err) != auditrelay.Misconfigured || !strings.Contains(err.Error(), "https") {
		t.Errorf("Go's server: %v", err)
	}
	const apache = "<!DOCTYPE HTML PUBLIC \"-//IETF//DTD HTML 2.0//EN\">\n<html><head>\n<title>400 Bad Request</title>\n</head><body>\n<h1>Bad Request</h1>\n<p>Your browser sent a request that this server could not understand.<br />\nReason: You're speaking plain HTTP to an SSL-enabled server port.<br />\n"
	for body, want := range map[string]auditrelay.ErrorKind{
		"<html>\r\n<head><title>400 The plain HTTP request was sent to HTTPS port</title></head>\r\n<body>": auditrelay.Misconfigured,
		"Bad Request\nThis combination of host and port requires TLS.\n":                                    auditrelay.Misconfigured,
		apache: auditrelay.Misconfigured,
		`{"bad": "Client sent an HTTP request to an HTTPS server."}`: auditrelay.Refused, // text from an event
	} {
		if err := c.Refusal(Answer{Status: 400, Body: []byte(body)}); auditrelay.KindOf(err) != want {
			t.Errorf("%q: %v", body, err)
		}
	}
}

// Failures without an answer are reported by kind.
func TestWhatIsNoAnswer(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		fmt.Fprintf(conn, "SSH-2.0-an event\r\n")
		conn.Close()
	}))
	defer server.Close()
	for url, want := range map[string]string{
		server.URL: "the server does not use HTTP",
		strings.Replace(server.URL, "http:", "https:", 1): "the server does not use TLS",
	} {
		c := client(t, Options{}, url)
		_, err := c.Send(t.Context(), Request{Header: http.Header{}, Body: []byte("x")})
		if err = c.Failure(t.Context(), err); auditrelay.KindOf(err) != auditrelay.Transient || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "an event") {
			t.Errorf("%s: %v, want %q", url, err, want)
		}
		failure, _ := errors.AsType[*auditrelay.DeliveryError](err)
		if tls := failure.Reason == auditrelay.ReasonTLS; tls != strings.Contains(want, "TLS") {
			t.Errorf("%s: reason %q", url, failure.Reason)
		}
	}
}

// A truncated answer counts by its status if it is a refusal that the missing part could not
// change. It does not count if it could be a success, or could name a record.
func TestAnAnswerThatBreaksOff(t *testing.T) {
	for status, want := range map[int]auditrelay.ErrorKind{
		200: auditrelay.Transient, 202: auditrelay.Transient, 400: auditrelay.Transient, 422: auditrelay.Transient,
		401: auditrelay.Unauthorized, 404: auditrelay.Misconfigured, 413: auditrelay.TooLarge, 429: auditrelay.Throttled, 500: auditrelay.Transient,
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, `{"text":`)
		}))
		c := client(t, Options{}, server.URL)
		a, err := c.Send(t.Context(), Request{Header: http.Header{}, Body: []byte("x")})
		if err == nil {
			err = c.Refusal(a)
		}
		err = c.Failure(t.Context(), err)
		if err == nil || auditrelay.KindOf(err) != want {
			t.Errorf("%d: %v, want %v", status, err, want)
		}
		failure, _ := errors.AsType[*auditrelay.DeliveryError](err)
		if failure.Status != status || !strings.Contains(err.Error(), fmt.Sprintf("status %d", status)) {
			t.Errorf("%d: the status is %d in %v", status, failure.Status, err)
		}
		server.Close()
	}
}

// A credential that is invalid in a header stalls, and is read again.
func TestACredentialThatIsNoHeader(t *testing.T) {
	c := client(t, Options{}, "http://127.0.0.1:9")
	_, err := c.Send(t.Context(), Request{Header: http.Header{"Authorization": {"Bearer two\nlines"}}, Body: []byte("x")})
	if auditrelay.KindOf(err) != auditrelay.Unauthorized || !strings.Contains(err.Error(), "Authorization") || strings.Contains(err.Error(), "lines") {
		t.Errorf("got %v", err)
	}
}

// A request that exceeds the rate limit within the attempt waits, and reports it.
func TestTheRateLeavesNoRoom(t *testing.T) {
	c := client(t, Options{RequestsPerSecond: 1}, "http://127.0.0.1:9")
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	for i, want := range []string{"", "requests_per_second"} {
		_, err := c.Deliver(ctx, auditrelay.Payload{Key: fmt.Sprint(i)}, func(context.Context) error { return nil })
		if (want == "") != (err == nil) || err != nil && (auditrelay.KindOf(err) != auditrelay.Transient || !strings.Contains(err.Error(), want)) {
			t.Errorf("request %d: %v", i, err)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 3, 14, 15, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "5": 5 * time.Second, "-5": 0, "999999999999999999": time.Hour, "99999999999999999999999": time.Hour, "-99999999999999999999999": 0, "soon": 0,
		"Sat, 14 Mar 2026 15:01:00 GMT": time.Minute, "Sat, 14 Mar 2026 14:00:00 GMT": 0, "Sun, 15 Mar 2026 15:00:00 GMT": time.Hour,
	} {
		if got := RetryAfter(http.Header{"Retry-After": {text}}, now); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
	ahead := http.Header{"Retry-After": {"Sun, 15 Mar 2026 15:00:07 GMT"}, "Date": {"Sun, 15 Mar 2026 15:00:00 GMT"}}
	if got := RetryAfter(ahead, now); got != 7*time.Second {
		t.Errorf("a server whose clock is a day ahead: %v, want 7s", got)
	}
}

// An HTML page with status 200 is no delivery.
func TestALogInPageIsNoDelivery(t *testing.T) {
	c := client(t, Options{}, "http://127.0.0.1:9")
	for body, delivered := range map[string]bool{
		"": true, "{}": true, "ok": true, "<html><body>Log in": false, "  <!DOCTYPE html><html>": false, "<ok/>": true,
		"\ufeff<html>": false, "<!-- v2 --><HTML lang=en>": false, `<?xml version="1.0"?><!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN"><html>`: false,
		`<?xml version="1.0"?><ok/>`: true, `{"text":"<html>"}`: true,
	} {
		if err := c.Refusal(Answer{Status: 200, Body: []byte(body)}); (err == nil) != delivered {
			t.Errorf("%q: %v", body, err)
		}
	}
	for _, media := range []string{"text/html; charset=utf-8", "application/xhtml+xml"} {
		if err := c.Refusal(Answer{Status: 200, Header: http.Header{"Content-Type": {media}}}); err == nil {
			t.Errorf("an empty page of %s counts as delivered", media)
		}
		err := c.Refusal(Answer{Status: 200, Header: http.Header{"Content-Type": {media}}, Body: []byte("ok")})
		if auditrelay.KindOf(err) != auditrelay.Misconfigured || !strings.Contains(err.Error(), "return 204") {
			t.Errorf("a text as %s: %v", media, err)
		}
	}
}

// A destination's text is stored beside the error, never in it, and without the sent
// credentials: some destinations answer with the request's headers.
func TestAnswersAreKeptWithoutCredentials(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		for name, values := range r.Header {
			fmt.Fprintln(w, strings.Repeat("x", 10), name, values)
		}
		fmt.Fprintln(w, "Cannot POST", r.URL, r.URL.Query())
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "you sent %s", body)
	}))
	defer server.Close()
	c := client(t, Options{}, server.URL+"/hook?sig=of%20the%20query&only-a-key-of-mine&v=1")
	receipt, err := c.Deliver(t.Context(), auditrelay.Payload{Key: "key"}, func(ctx context.Context) error {
		a, err := c.Send(ctx, Request{Body: []byte("an event"), Header: http.Header{
			"Authorization": {"Splunk 11111111-2222"}, "Dd-Api-Key": {"0123456789abcdef"}, "X-Mine": {"a-header-of-my-own"},
		}})
		if err != nil {
			return err
		}
		return c.Refusal(a)
	})
	failure, ok := errors.AsType[*auditrelay.DeliveryError](err)
	if !ok || receipt != (auditrelay.Receipt{}) || failure.Status != http.StatusTeapot || failure.Reason != auditrelay.ReasonAnswer {
		t.Fatalf("%+v, %#v", receipt, err)
	}
	if !strings.Contains(failure.Answer, "you sent an event") || strings.Contains(err.Error(), "an event") {
		t.Errorf("the answer %q stands beside the error %q", failure.Answer, err)
	}
	for _, secret := range []string{"11111111-2222", "0123456789abcdef", "a-header-of-my-own", "of%20the%20query", "of the query", "only-a-key-of-mine"} {
		if strings.Contains(failure.Answer, secret) {
			t.Errorf("the answer holds %s: %q", secret, failure.Answer)
		}
	}
	receipt, err = c.Deliver(t.Context(), auditrelay.Payload{Key: "key"}, func(ctx context.Context) error {
		_, err := c.Send(ctx, Request{Header: http.Header{}})
		return err
	})
	if err != nil || receipt.Status != http.StatusTeapot {
		t.Errorf("the status of a delivery: %+v, %v", receipt, err)
	}
}

// A proxy that refuses to connect is distinguished from the destination, and classified by its
// status: faults of rules or credentials stall, temporary ones are retried.
func TestAProxyRefuses(t *testing.T) {
	for status, want := range map[int]auditrelay.ErrorKind{
		400: auditrelay.Misconfigured, 403: auditrelay.Misconfigured, 407: auditrelay.Unauthorized, 413: auditrelay.Misconfigured, 429: auditrelay.Throttled, 502: auditrelay.Transient, 503: auditrelay.Throttled,
	} {
		proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(status) }))
		c := client(t, Options{Proxy: proxy.URL}, "https://siem.example")
		_, err := c.Deliver(t.Context(), auditrelay.Payload{Key: "key"}, func(ctx context.Context) error {
			_, err := c.Send(ctx, Request{Header: http.Header{}, Body: []byte("x")})
			return err
		})
		if auditrelay.KindOf(err) != want || !strings.Contains(err.Error(), fmt.Sprintf("the proxy refused to connect to the destination: status %d", status)) {
			t.Errorf("%d: %v: %v, want %v", status, auditrelay.KindOf(err), err, want)
		}
		proxy.Close()
	}
}
