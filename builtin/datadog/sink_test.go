package datadog_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/builtin/datadog"
	"auditrelay/builtin/internal/httpsink"
	"auditrelay/internal/test/faultproxy"
	"auditrelay/internal/test/receiver"
	"auditrelay/internal/test/secretfile"
	"auditrelay/sinktest"
)

const apiKey = "4f9d2c81b07e5a36f1c8d02e9b47a653"

func options(url string) datadog.Options {
	return datadog.Options{URL: url, APIKey: apiKey, OldEvents: datadog.OldEventsSend,
		HTTP: httpsink.Options{AllowNetworks: []string{"loopback"}, RequestTimeout: 5 * time.Second}}
}

func newSink(t testing.TB, o datadog.Options) *datadog.Sink {
	t.Helper()
	s, err := datadog.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestConformance(t *testing.T) {
	for name, change := range map[string]func(*datadog.Options){
		"plain": func(*datadog.Options) {},
		"small": func(o *datadog.Options) { o.MaxEvents = 3; o.HTTP.Compression = httpsink.CompressionNone },
	} {
		t.Run(name, func(t *testing.T) {
			sinktest.Run(t, func(t *testing.T) sinktest.Kit {
				file := filepath.Join(t.TempDir(), "key")
				secretfile.Write(t, file, apiKey)
				intake := receiver.Datadog(t, apiKey)
				proxy := faultproxy.Start(t, intake.URL)
				kit := proxy.Kit(func(url string) auditrelay.Sink {
					o := options(url)
					o.APIKey, o.APIKeyFile = "", file
					change(&o)
					return newSink(t, o)
				})
				kit.Read = func(*testing.T) [][]byte { return intake.Documents() }
				kit.Unordered, kit.Forgetful, kit.Doubles = true, true, true
				kit.TooLarge = 1_000_000
				kit.Refuse = func(_ *testing.T, record string) auditrelay.Sink {
					intake.Refuse(record)
					return kit.New(t)
				}
				secretfile.Rotating(&kit, file, "another-key-of-the-account", intake.Secret)
				return kit
			})
		})
	}
}

func TestAnswers(t *testing.T) {
	for _, tt := range []struct {
		status int
		body   string
		want   string
	}{
		{202, `{}`, "delivered"},
		{200, `{}`, "delivered"},
		{200, ``, "delivered"},
		{200, `<html>Log in</html>`, "misconfigured"},
		{200, `Please log in`, "misconfigured"},
		{204, ``, "misconfigured"},
		{301, ``, "misconfigured"},
		{400, `{"errors":[]}`, "refused"},
		{401, ``, "unauthorized"},
		{403, ``, "unauthorized"},
		{408, ``, "transient"},
		{413, ``, "too_large"},
		{429, ``, "throttled"},
		{500, ``, "transient"},
		{503, ``, "throttled"},
	} {
		proxy := faultproxy.Start(t, "http://127.0.0.1:9")
		proxy.Always(faultproxy.Answer(tt.status, tt.body))
		s := newSink(t, options(proxy.URL))
		_, err := s.Deliver(t.Context(), render(t, s, chunk(1, 2))[0])
		got := "delivered"
		if err != nil {
			got = auditrelay.KindOf(err).String()
		}
		if got != tt.want {
			t.Errorf("%d %s: %s, want %s (%v)", tt.status, tt.body, got, tt.want, err)
		}
	}
}

func render(t *testing.T, s *datadog.Sink, c auditrelay.Chunk) []auditrelay.Payload {
	t.Helper()
	payloads, err := s.Render(c)
	if err != nil {
		t.Fatal(err)
	}
	return payloads
}

func chunk(from uint64, n int) auditrelay.Chunk {
	c := auditrelay.Chunk{Callback: "siem", Journal: "j.1", From: from, To: from + uint64(n)}
	for i := range n {
		at := time.Now().Add(-time.Minute)
		c.Records = append(c.Records, auditrelay.Record{Sequence: from + uint64(i), Time: at, Received: at, Data: fmt.Appendf(nil, `{"id":"%d","text":"<é>"}`, from+uint64(i))})
	}
	return c
}

// A log in the intake's form, with the unchanged record in message.
func TestLog(t *testing.T) {
	o := options("https://intake.example")
	o.Hostname, o.Tags, o.HTTP = "relay-1", map[string]string{"env": "prod", "critical": ""}, httpsink.Options{Compression: httpsink.CompressionNone}
	s := newSink(t, o)
	c := chunk(7, 1)
	c.Records[0].Time = time.UnixMilli(1773500966535)
	c.Records[0].Namespace, c.Records[0].Source, c.Records[0].Principal = "litellm", "s3", "alice"
	var logs []map[string]any
	if err := json.Unmarshal(render(t, s, c)[0].Body, &logs); err != nil {
		t.Fatal(err)
	}
	got, _ := json.Marshal(logs[0])
	want := `{"auditrelay.journal":"j.1","auditrelay.namespace":"litellm","auditrelay.principal":"alice","auditrelay.sequence":"7","auditrelay.source":"s3","ddsource":"auditrelay","ddtags":"critical,env:prod","hostname":"relay-1","message":"{\"id\":\"7\",\"text\":\"\u003cé\u003e\"}","service":"auditrelay","timestamp":1773500966535}`
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// The mapped fields of another producer's record are attributes, and message contains the
// unchanged record.
func TestMappedFields(t *testing.T) {
	o := options("https://intake.example")
	o.HTTP = httpsink.Options{Compression: httpsink.CompressionNone}
	c := chunk(7, 1)
	c.Records[0].Data, c.Records[0].Mapping = []byte(`{"verb":"get","who":"ada","what":{"name":"db"}}`), &auditrelay.Mapping{Action: "verb", Actor: "who", Object: "what.name"}
	body := string(render(t, newSink(t, o), c)[0].Body)
	if want := `"auditrelay.action":"get","auditrelay.actor":"ada","auditrelay.object":"db","message":"{\"verb\":\"get\"`; !strings.Contains(body, want) {
		t.Errorf("no %s in %s", want, body)
	}
}

// A log that the intake would truncate is dead-lettered. The limits of a request apply.
func TestLimits(t *testing.T) {
	s := newSink(t, options("https://intake.example"))
	c := chunk(1, 2500)
	if payloads := render(t, s, c); len(payloads) != 3 || len(payloads[0].Sequences) != 1000 {
		t.Errorf("2500 events in %d requests", len(payloads))
	}
	c = chunk(1, 3)
	c.Records[1].Data = []byte(`{"text":"` + strings.Repeat("x", 1_000_000) + `"}`)
	_, err := s.Render(c)
	bad, ok := err.(*auditrelay.RecordErrors) //nolint:errorlint // Render returns it as it is
	if !ok || len(bad.Records) != 1 || bad.Records[0].Sequence != 2 || bad.Records[0].Cause != auditrelay.CauseTooLarge {
		t.Errorf("got %v", err)
	}
}

// Events over 18 hours old, which the intake would drop with a 202, stall the callback, or are
// sent if the operator chose so. With the time of arrival none is old.
func TestOldEvents(t *testing.T) {
	intake := receiver.Datadog(t, apiKey)
	for _, tt := range []struct {
		name   string
		age    time.Duration
		change func(*datadog.Options)
		sent   bool
	}{
		{"young", 17 * time.Hour, func(o *datadog.Options) { o.OldEvents = "" }, true},
		{"old", 19 * time.Hour, func(o *datadog.Options) { o.OldEvents = "" }, false},
		{"old, sent all the same", 19 * time.Hour, func(*datadog.Options) {}, true},
		{"old, by arrival", 19 * time.Hour, func(o *datadog.Options) { o.OldEvents, o.Time = "", datadog.TimeOfArrival }, true},
	} {
		o := options(intake.URL)
		tt.change(&o)
		s := newSink(t, o)
		c := chunk(1, 3)
		c.Records[1].Time = time.Now().Add(-tt.age)
		c.Records[1].Received = c.Records[1].Time
		_, err := s.Deliver(t.Context(), render(t, s, c)[0])
		if (err == nil) != tt.sent || err != nil && auditrelay.KindOf(err) != auditrelay.Misconfigured {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestProbe(t *testing.T) {
	intake := receiver.Datadog(t, apiKey)
	s := newSink(t, options(intake.URL))
	if err := s.Probe(t.Context()); err != nil || len(intake.Documents()) != 0 {
		t.Errorf("%v, %d events stored", err, len(intake.Documents()))
	}
	intake.Secret("another")
	if err := s.Probe(t.Context()); auditrelay.KindOf(err) != auditrelay.Unauthorized {
		t.Errorf("with a bad key: %v", err)
	}
}

func TestOptions(t *testing.T) {
	for want, o := range map[string]datadog.Options{
		"api_key: it is required":          {},
		"site: expected a site":            {APIKey: apiKey, Site: "https://datadoghq.eu"},
		"url: it has a query":              {APIKey: apiKey, URL: "https://intake.example?api_key=x"},
		"time: expected event":             {APIKey: apiKey, Time: "now"},
		"old_events: expected stall":       {APIKey: apiKey, OldEvents: "drop"},
		"tags.a b: a tag must not contain": {APIKey: apiKey, Tags: map[string]string{"a b": "c"}},
		"max_events: expected 1":           {APIKey: apiKey, MaxEvents: 2000},
	} {
		if _, err := datadog.New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
