package splunk_test

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/builtin/internal/httpsink"
	"auditrelay/builtin/splunk"
	"auditrelay/internal/test/faultproxy"
	"auditrelay/internal/test/receiver"
	"auditrelay/internal/test/secretfile"
	"auditrelay/sinktest"
)

const token = "b1e7a0c4-5f3d-4e2a-9c8b-7d6f5e4a3b2c"

func options(url string) splunk.Options {
	return splunk.Options{URL: url, Token: token, HTTP: httpsink.Options{AllowNetworks: []string{"loopback"}, RequestTimeout: 5 * time.Second}}
}

func newSink(t testing.TB, o splunk.Options) *splunk.Sink {
	t.Helper()
	s, err := splunk.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestConformance(t *testing.T) {
	for name, change := range map[string]func(*splunk.Options){
		"plain":    func(*splunk.Options) {},
		"small":    func(o *splunk.Options) { o.MaxRequestBytes = 100_000; o.HTTP.Compression = httpsink.CompressionNone },
		"with ack": func(o *splunk.Options) { o.Ack = true },
	} {
		t.Run(name, func(t *testing.T) {
			sinktest.Run(t, func(t *testing.T) sinktest.Kit {
				file := filepath.Join(t.TempDir(), "token")
				secretfile.Write(t, file, token)
				var o splunk.Options
				change(&o)
				hec := receiver.Splunk(t, token, o.Ack)
				proxy := faultproxy.Start(t, hec.URL)
				kit := proxy.Kit(func(url string) auditrelay.Sink {
					o := options(url)
					o.Token, o.TokenFile = "", file
					change(&o)
					o.HTTP.AllowNetworks = []string{"loopback"}
					return newSink(t, o)
				})
				kit.Read = func(*testing.T) [][]byte { return hec.Documents() }
				kit.Unordered, kit.Forgetful, kit.Doubles = true, true, true
				kit.TooLarge = 1_000_000
				if o.MaxRequestBytes > 0 {
					kit.TooLarge = int(o.MaxRequestBytes)
				}
				kit.Refuse = func(_ *testing.T, record string) auditrelay.Sink {
					hec.Refuse(record)
					return kit.New(t)
				}
				secretfile.Rotating(&kit, file, "another-token-of-the-collector", hec.Secret)
				return kit
			})
		})
	}
}

// Each of HEC's codes has its meaning, with any status.
func TestCodes(t *testing.T) {
	for _, tt := range []struct {
		status int
		body   string
		want   string // delivered, or a kind
	}{
		{200, `{"text":"Success","code":0}`, "delivered"},
		{200, `{"text":"Queue approaching capacity","code":24}`, "delivered"},
		{200, `{"text":"Ack channel approaching capacity","code":25}`, "delivered"},
		{403, `{"text":"Token disabled","code":1}`, "unauthorized"},
		{401, `{"text":"Token is required","code":2}`, "unauthorized"},
		{401, `{"text":"Invalid authorization","code":3}`, "unauthorized"},
		{403, `{"text":"Invalid token","code":4}`, "unauthorized"},
		{403, `{"text":"Token expired","code":22}`, "unauthorized"},
		{400, `{"text":"No data","code":5}`, "refused"},
		{400, `{"text":"Invalid data format","code":6,"invalid-event-number":1}`, "refused"},
		{503, `{"text":"Invalid data format","code":6,"invalid-event-number":1}`, "refused"},
		{400, `{"text":"Incorrect index","code":7,"invalid-event-number":1}`, "misconfigured"},
		{500, `{"text":"Internal server error","code":8}`, "transient"},
		{503, `{"text":"Server is busy","code":9}`, "throttled"},
		{400, `{"text":"Data channel is missing","code":10}`, "misconfigured"},
		{400, `{"text":"Event field is required","code":12,"invalid-event-number":0}`, "refused"},
		{400, `{"text":"ACK is disabled","code":14}`, "misconfigured"},
		{400, `{"text":"Error in handling indexed fields","code":15,"invalid-event-number":0}`, "refused"},
		{503, `{"text":"HEC is unhealthy, queues are full","code":18}`, "transient"},
		{503, `{"text":"Server is shutting down","code":23}`, "transient"},
		{429, `{"text":"Queue at capacity","code":26}`, "throttled"},
		{413, `{"text":"Content-Length of 1 too large","code":27}`, "too_large"},
		{400, `{"text":"Something new","code":99}`, "transient"},
		{200, `{"text":"Something new","code":99}`, "transient"},
		{401, `{"text":"Something new","code":99}`, "unauthorized"},
		{200, `{"text":"Success"}`, "misconfigured"},
		{200, ``, "misconfigured"},
		{200, `<html><body>Log in</body></html>`, "misconfigured"},
		{302, ``, "misconfigured"},
		{404, `not found`, "misconfigured"},
		{503, `upstream connect error`, "throttled"},
		{502, `bad gateway`, "transient"},
	} {
		proxy := faultproxy.Start(t, "http://127.0.0.1:9")
		proxy.Always(faultproxy.Answer(tt.status, tt.body))
		s := newSink(t, options(proxy.URL))
		_, err := s.Deliver(t.Context(), payload(t, s, 1, 2))
		got := "delivered"
		if err != nil {
			got = auditrelay.KindOf(err).String()
		}
		if got != tt.want {
			t.Errorf("%d %s: %s, want %s (%v)", tt.status, tt.body, got, tt.want, err)
		}
	}
}

func payload(t *testing.T, s *splunk.Sink, from uint64, n int) auditrelay.Payload {
	t.Helper()
	payloads, err := s.Render(chunk(from, n))
	if err != nil || len(payloads) != 1 {
		t.Fatalf("%d payloads, %v", len(payloads), err)
	}
	return payloads[0]
}

func chunk(from uint64, n int) auditrelay.Chunk {
	c := auditrelay.Chunk{Callback: "siem", Journal: "j.1", From: from, To: from + uint64(n)}
	for i := range n {
		at := time.Date(2026, 3, 14, 15, 9, 26, 535_000_000, time.UTC)
		c.Records = append(c.Records, auditrelay.Record{Sequence: from + uint64(i), Time: at, Received: at, Data: fmt.Appendf(nil, `{"id":"%d"}`, from+uint64(i))})
	}
	return c
}

// The envelope, byte for byte: a time as a plain decimal, the metadata, and the unchanged
// record.
func TestEnvelope(t *testing.T) {
	o := options("https://splunk.example:8088")
	o.Index, o.Host, o.Fields = "audit", "relay-1", map[string]string{"env": "prod"}
	o.HTTP = httpsink.Options{Compression: httpsink.CompressionNone}
	s := newSink(t, o)
	c := chunk(7, 3)
	c.Records[2].Namespace, c.Records[2].Source, c.Records[2].Principal = "litellm", "http", `a "name"`
	c.Records[1].TimeFrom, c.Records[1].Received = auditrelay.TimeMissing, time.Unix(1767225600, 0)
	c.Records[2].Time = time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC) // a wrong clock
	payloads, err := s.Render(c)
	if err != nil {
		t.Fatal(err)
	}
	const meta = `,"host":"relay-1","source":"auditrelay","sourcetype":"_json","index":"audit","fields":{"auditrelay_journal":"j.1","auditrelay_sequence":"%d","env":"prod"},"event":{"id":"%[1]d"}}`
	want := fmt.Sprintf(`{"time":1773500966.535`+meta, 7) + "\n" + fmt.Sprintf(`{"time":1767225600.000`+meta, 8) + "\n" + fmt.Sprintf(`{"time":1773500966.535`+strings.Replace(meta, `"%d"`, `"%d","auditrelay_namespace":"litellm","auditrelay_source":"http","auditrelay_principal":"a \"name\""`, 1), 9)
	if got := string(payloads[0].Body); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// The mapped fields of another producer's record are indexed.
func TestMappedFields(t *testing.T) {
	o := options("https://splunk.example")
	o.HTTP.Compression = httpsink.CompressionNone
	c := chunk(7, 1)
	c.Records[0].Data, c.Records[0].Mapping = []byte(`{"verb":"get","who":"ada","what":{"name":"db"}}`), &auditrelay.Mapping{Action: "verb", Actor: "who", Object: "what.name"}
	payloads, err := newSink(t, o).Render(c)
	if err != nil {
		t.Fatal(err)
	}
	if want := `"auditrelay_action":"get","auditrelay_actor":"ada","auditrelay_object":"db"},"event":{"verb":"get"`; !strings.Contains(string(payloads[0].Body), want) {
		t.Errorf("no %s in %s", want, payloads[0].Body)
	}
}

// An oversized event is reported before anything is sent, and the others are accepted.
func TestTooLarge(t *testing.T) {
	o := options("https://splunk.example:8088")
	o.MaxEventBytes = 2000
	s := newSink(t, o)
	c := chunk(1, 3)
	c.Records[1].Data = []byte(`{"text":"` + strings.Repeat("x", 3000) + `"}`)
	_, err := s.Render(c)
	var bad *auditrelay.RecordErrors
	if !asRecordErrors(err, &bad) || len(bad.Records) != 1 || bad.Records[0].Sequence != 2 || bad.Records[0].Cause != auditrelay.CauseTooLarge {
		t.Fatalf("got %v", err)
	}
}

func asRecordErrors(err error, into **auditrelay.RecordErrors) bool {
	bad, ok := err.(*auditrelay.RecordErrors) //nolint:errorlint // Render returns it as it is
	*into = bad
	return ok
}

// If an attempt times out while it waits for an acknowledgement, the next attempt continues to
// wait and does not send the events again.
func TestAnAcknowledgementOutlivesItsAttempt(t *testing.T) {
	hec := receiver.Splunk(t, token, true)
	o := options(hec.URL)
	o.Ack = true
	s := newSink(t, o)
	p := payload(t, s, 1, 3)
	hec.Hold(true)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := s.Deliver(ctx, p); err == nil || auditrelay.KindOf(err) != auditrelay.Transient {
		t.Fatalf("without an acknowledgement it is %v", err)
	}
	hec.Hold(false)
	if _, err := s.Deliver(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if hec.Posts() != 1 || len(hec.Documents()) != 3 || hec.Polls() < 2 {
		t.Errorf("%d requests, %d events, %d polls: want one, three and at least two", hec.Posts(), len(hec.Documents()), hec.Polls())
	}
}

// A restarted collector loses unindexed events and restarts its count of acknowledgements. A
// waiting payload does not take another one's acknowledgement.
func TestAnAcknowledgementOfAnotherPayloadAfterARestart(t *testing.T) {
	hec := receiver.Splunk(t, token, true)
	o := options(hec.URL)
	o.Ack = true
	s := newSink(t, o)
	lost, next := payload(t, s, 1, 3), payload(t, s, 4, 2)
	hec.Hold(true)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := s.Deliver(ctx, lost); auditrelay.KindOf(err) != auditrelay.Transient {
		t.Fatalf("without an acknowledgement it is %v", err)
	}
	hec.Restart()
	ctx, cancel = context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := s.Deliver(ctx, next); auditrelay.KindOf(err) != auditrelay.Transient {
		t.Fatalf("without an acknowledgement it is %v", err)
	}
	hec.Hold(false)
	ctx, cancel = context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := s.Deliver(ctx, lost); err == nil {
		t.Fatal("events that the collector lost count as delivered")
	}
	if _, err := s.Deliver(t.Context(), next); err != nil || len(hec.Documents()) != 2 {
		t.Errorf("the other payload: %v, %d events", err, len(hec.Documents()))
	}
}

// A token without acknowledgement stalls the callback. A slow acknowledgement does not.
func TestNoAcknowledgementNumberStalls(t *testing.T) {
	hec := receiver.Splunk(t, token, false)
	o := options(hec.URL)
	o.Ack = true
	s := newSink(t, o)
	if _, err := s.Deliver(t.Context(), payload(t, s, 1, 1)); auditrelay.KindOf(err) != auditrelay.Misconfigured {
		t.Errorf("got %v", err)
	}
}

func TestProbe(t *testing.T) {
	hec := receiver.Splunk(t, token, false)
	s := newSink(t, options(hec.URL))
	if err := s.Probe(t.Context()); err != nil || len(hec.Documents()) != 0 {
		t.Errorf("%v, %d events stored", err, len(hec.Documents()))
	}
	hec.Secret("another")
	if err := s.Probe(t.Context()); auditrelay.KindOf(err) != auditrelay.Unauthorized {
		t.Errorf("with a bad token: %v", err)
	}
}

func TestOptions(t *testing.T) {
	for want, o := range map[string]splunk.Options{
		"url: it is required":                         {Token: token},
		"url: expected a URL":                         {URL: "splunk:8088", Token: token},
		"url: it contains a name or password":         {URL: "https://u:p@splunk.example", Token: token},
		"url: leave out /services/collector":          {URL: "https://splunk.example/services/collector", Token: token},
		"token: it is required":                       {URL: "https://splunk.example"},
		"token: token_file is set too":                {URL: "https://splunk.example", Token: token, TokenFile: "x"},
		"fields.auditrelay_x: names that begin":       {URL: "https://splunk.example", Token: token, Fields: map[string]string{"auditrelay_x": "1"}},
		"max_event_bytes: expected":                   {URL: "https://splunk.example", Token: token, MaxEventBytes: 2_000_000},
		"url: an internal address":                    {URL: "http://127.0.0.1:8088", Token: token},
		"http.compression: expected gzip or none":     {URL: "https://splunk.example", Token: token, HTTP: httpsink.Options{Compression: "br"}},
		"http.tls.ca: it contains no PEM certificate": {URL: "https://splunk.example", Token: token, HTTP: httpsink.Options{TLS: httpsink.TLS{CA: "x"}}},
	} {
		if _, err := splunk.New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// A line of text becomes a string event.
func TestALineOfText(t *testing.T) {
	s := newSink(t, splunk.Options{URL: "https://splunk.example", Token: "t"})
	c := chunk(1, 1)
	c.MediaType = auditrelay.MediaTypeText
	c.Records[0].Data = []byte(`CEF:0|a|b|1|x|X|3|msg={"a": "<b>\\n"}`)
	payloads, err := s.Render(c)
	if err != nil {
		t.Fatal(err)
	}
	content, err := httpsink.Plain(payloads[0])
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ Event string }
	if err := json.Unmarshal(content, &got); err != nil || got.Event != string(c.Records[0].Data) {
		t.Errorf("%v: %s", err, content)
	}
}
