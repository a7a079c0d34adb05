package litellm

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidwall/gjson"
)

// fake gives its scripted answers, which a real relay gives never or seldom. After them it accepts
// everything.
type fake struct {
	*httptest.Server
	mu      sync.Mutex
	answers []func(w http.ResponseWriter, events []string)
	calls   []time.Time
	taken   map[string]int
}

func newFake(t *testing.T, answers ...func(http.ResponseWriter, []string)) *fake {
	t.Helper()
	f := &fake{answers: answers, taken: map[string]int{}}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.calls = append(f.calls, time.Now())
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost || r.URL.Path != "/v1/events" || r.Header.Get("Content-Type") != "application/x-ndjson" {
			t.Errorf("%s %s, %q: %v", r.Method, r.URL, r.Header.Get("Content-Type"), err)
		}
		var events []string
		for line := range bytes.Lines(body) {
			events = append(events, string(line))
		}
		if len(f.answers) > 0 {
			answer := f.answers[0]
			f.answers = f.answers[1:]
			answer(w, events)
			return
		}
		f.take(w, http.StatusOK, events, len(events), "")
	}))
	t.Cleanup(f.Close)
	return f
}

// take accepts the first n events, and answers like a relay.
func (f *fake) take(w http.ResponseWriter, status int, events []string, n int, rest string) {
	var results []string
	for i, e := range events[:n] {
		id := gjson.Get(e, "id").Str
		f.taken[id]++
		results = append(results, fmt.Sprintf(`{"index":%d,"id":%q,"sequence":%d}`, i, id, i+1))
	}
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"accepted":%d,"results":[%s]%s}`, n, strings.Join(results, ","), rest)
}

func (f *fake) counts() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.taken)
}

// script sets the next answers.
func (f *fake) script(answers ...func(http.ResponseWriter, []string)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers = answers
}

// left returns the number of unused answers.
func (f *fake) left() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.answers)
}

func answer(status int, body string, header ...string) func(http.ResponseWriter, []string) {
	return func(w http.ResponseWriter, _ []string) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// If an answer does not contain the relay's result for an event, the event stays in the spool and
// is sent again.
func TestAnswersThatSettleNothing(t *testing.T) {
	hang := func(w http.ResponseWriter, _ []string) {
		connection, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			connection.Close()
		}
	}
	reset := func(w http.ResponseWriter, _ []string) {
		connection, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_ = connection.(*net.TCPConn).SetLinger(0)
			connection.Close()
		}
	}
	f := newFake(t)
	p := startProducer(t, setup{relay: f.URL, spool: spoolFolder(t)})
	for name, first := range map[string]func(http.ResponseWriter, []string){
		"200 of a portal":       answer(200, "<html>log in</html>"),
		"200 empty":             answer(200, ""),
		"200 no results":        answer(200, `{"results":[]}`),
		"200 other ids":         answer(200, `{"results":[{"index":0,"id":"x","sequence":1}]}`),
		"200 results a string":  answer(200, `{"results":"x"}`),
		"200 results of nulls":  answer(200, `{"results":[null,7]}`),
		"200 deep":              answer(200, strings.Repeat("[", 100_000)),
		"200 endless":           answer(200, strings.Repeat(" ", 6<<20)),
		"204":                   answer(204, ""),
		"302":                   answer(302, "", "Location", "http://127.0.0.1:1/"),
		"307":                   answer(307, "", "Location", "http://127.0.0.1:1/"),
		"400 of a proxy":        answer(400, "<html>"),
		"401":                   answer(401, `{"error":{"reason":"unauthorized"}}`),
		"403":                   answer(403, `{"error":{"reason":"forbidden"}}`),
		"404":                   answer(404, "no such page"),
		"408":                   answer(408, ""),
		"413 of a proxy":        answer(413, "<html>"),
		"415":                   answer(415, `{"error":{"reason":"media_type"}}`),
		"429":                   answer(429, ""),
		"500":                   answer(500, `{"error":{"reason":"internal"}}`),
		"500 of an event":       answer(422, `{"results":[{"index":0,"error":{"reason":"internal"}}]}`),
		"502":                   answer(502, "<html>"),
		"503":                   answer(503, `{"error":{"reason":"unavailable"}}`, "Retry-After", "0"),
		"504":                   answer(504, ""),
		"503 with a bad header": answer(503, "", "Retry-After", "soon\x01"),
		"hang up":               hang,
		"reset":                 reset,
	} {
		t.Run(name, func(t *testing.T) {
			before := len(p.log.String())
			f.script(first, first)
			p.do(command{"op": "log", "prefix": strings.ReplaceAll(name, " ", "-"), "count": 3, "tasks": 1})
			p.drained()
			if n := lost(t, p.acknowledged(), f.counts()); n > 0 || p.stat("rejected") != nil || p.stat("delivered") != float64(p.count()) {
				t.Errorf("%d events are lost; rejected: %v, delivered: %v", n, p.stat("rejected"), p.stat("delivered"))
			}
			if n := f.left(); n > 0 {
				t.Errorf("it was not asked %d times", n)
			}
			var text string
			eventually(t, "each change of state is told", func() (bool, string) { // its log arrives through a pipe
				text = p.log.String()[before:]
				n := strings.Count(text, "wait in the spool")
				return n > 0 && n == strings.Count(text, "go out again"), text
			})
			if n := strings.Count(text, "wait in the spool"); n > 1 || n != strings.Count(text, "go out again") {
				t.Errorf("a change of state is not told once:\n%s", text)
			}
		})
	}
}

// An answer may contain results for some events. Those are done, and the others are sent again.
func TestAnswersThatSettleAPart(t *testing.T) {
	f := newFake(t)
	p := startProducer(t, setup{relay: f.URL, spool: spoolFolder(t)})
	part := func(status, most int, rest string) func(http.ResponseWriter, []string) {
		return func(w http.ResponseWriter, events []string) { f.take(w, status, events, min(most, len(events)), rest) }
	}
	tooLarge := func(w http.ResponseWriter, events []string) {
		if len(events) > 2 {
			answer(413, `{"error":{"reason":"body_too_large"}}`)(w, nil)
			return
		}
		f.take(w, 200, events, len(events), "")
	}
	for name, answers := range map[string][]func(http.ResponseWriter, []string){
		"503 after some":          {part(503, 3, `,"error":{"reason":"unavailable"}`)},
		"207 after some":          {part(207, 1, `,"error":{"reason":"too_many_events"}`), part(207, 2, `,"error":{"reason":"ratio"}`)},
		"200 with results missed": {part(200, 4, "")},
		"413":                     {tooLarge, tooLarge, tooLarge, tooLarge, tooLarge, tooLarge, tooLarge, tooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			busy := answer(503, "")
			before := p.count()
			f.script(append([]func(http.ResponseWriter, []string){busy, busy, busy}, answers...)...)
			p.do(command{"op": "log", "prefix": strings.ReplaceAll(name, " ", "-"), "count": 20, "tasks": 20})
			p.drained()
			if n := lost(t, p.acknowledged(), f.counts()); n > 0 || p.count() != before+20 || p.stat("rejected") != nil {
				t.Errorf("%d of %d events are lost; rejected: %v", n, p.count(), p.stat("rejected"))
			}
		})
	}
}

// An event that is refused even alone in a request is kept, and the next events continue.
func TestAnEventTooLargeForTheBody(t *testing.T) {
	tooLarge := answer(413, `{"error":{"reason":"body_too_large"}}`)
	f := newFake(t, tooLarge)
	s := setup{relay: f.URL, spool: spoolFolder(t)}
	p := startProducer(t, s)
	p.do(command{"op": "log", "prefix": "large", "count": 1})
	p.drained()
	p.do(command{"op": "log", "prefix": "e", "count": 3})
	p.drained()
	kept, err := filepath.Glob(filepath.Join(s.spool, "rejected", "*.body_too_large.json"))
	if err != nil || len(kept) != 1 || f.counts()["large-0"] != 0 || len(f.counts()) != 3 {
		t.Errorf("kept %v, taken %v, %v", kept, f.counts(), err)
	}
}

func TestRetryAfterIsHonoured(t *testing.T) {
	for name, header := range map[string]func() string{
		"seconds": func() string { return "1" },
		"date":    func() string { return time.Now().Add(2 * time.Second).UTC().Format(http.TimeFormat) }, // 1 to 2 from now
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, func(w http.ResponseWriter, _ []string) { answer(503, "", "Retry-After", header())(w, nil) })
			p := startProducer(t, setup{relay: f.URL, spool: spoolFolder(t)})
			p.do(command{"op": "log", "prefix": "e", "count": 1})
			p.drained()
			f.mu.Lock()
			defer f.mu.Unlock()
			if len(f.calls) != 2 || f.calls[1].Sub(f.calls[0]) < 700*time.Millisecond {
				t.Errorf("asked at %v", f.calls)
			}
		})
	}
}

// An idle connection that the relay closed is not logged as a failure.
func TestIdleConnection(t *testing.T) {
	f := newFake(t)
	p := startProducer(t, setup{relay: f.URL, spool: spoolFolder(t)})
	p.do(command{"op": "log", "prefix": "a", "count": 1})
	p.drained()
	f.CloseClientConnections()
	p.do(command{"op": "log", "prefix": "b", "count": 1})
	p.drained()
	if n := lost(t, p.acknowledged(), f.counts()); n > 0 || p.log.String() != "" {
		t.Errorf("%d events are lost; the log:\n%s", n, p.log)
	}
}

// Over TLS, events go only to a server that the logger trusts. Otherwise they wait.
func TestTLS(t *testing.T) {
	f := newFake(t)
	secure := httptest.NewUnstartedServer(f.Config.Handler)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // it logs the handshake that must fail
	secure.StartTLS()
	t.Cleanup(secure.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
	if err := os.WriteFile(ca, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	s := setup{relay: secure.URL, spool: spoolFolder(t), env: []string{"AUDITRELAY_DRAIN=0"}}
	p := startProducer(t, s)
	p.do(command{"op": "log", "prefix": "e", "count": 3})
	eventually(t, "a stall", func() (bool, string) {
		return p.stat("stalled") == "no answer: SSLCertVerificationError", p.log.String()
	})
	if len(f.counts()) > 0 {
		t.Error("events went to somebody who is not trusted")
	}
	p.exit()
	s.env = append(s.env, "AUDITRELAY_CA_FILE="+ca)
	again := startProducer(t, s)
	again.drained()
	if n := lost(t, p.acknowledged(), f.counts()); n > 0 || p.count() != 3 {
		t.Errorf("%d of %d events are lost", n, p.count())
	}
}

// A mistake in the variables causes an error at the import, when LiteLLM starts. The message
// contains no secret.
func TestSettings(t *testing.T) {
	open := spoolFolder(t)
	for name, tt := range map[string]struct {
		env  []string
		want string
	}{
		"no spool":      {[]string{"AUDITRELAY_SPOOL="}, "AUDITRELAY_SPOOL: set it to a directory"},
		"no address":    {[]string{"AUDITRELAY_URL=relay:8787"}, "AUDITRELAY_URL: expected an address"},
		"a password":    {[]string{"AUDITRELAY_URL=http://u:hidden@127.0.0.1"}, "give AUDITRELAY_TOKEN instead"},
		"in the clear":  {[]string{"AUDITRELAY_URL=http://relay.example", "AUDITRELAY_TOKEN=hidden"}, "in the clear"},
		"two tokens":    {[]string{"AUDITRELAY_TOKEN=hidden", "AUDITRELAY_TOKEN_FILE=/x"}, "both set"},
		"a line end":    {[]string{"AUDITRELAY_TOKEN=hidden\nx: y"}, "no token has"},
		"no number":     {[]string{"AUDITRELAY_SPOOL_BYTES=much"}, "AUDITRELAY_SPOOL_BYTES: expected a number"},
		"nan":           {[]string{"AUDITRELAY_DRAIN=nan"}, "AUDITRELAY_DRAIN: expected a number"},
		"out of bounds": {[]string{"AUDITRELAY_TIMEOUT=0"}, "AUDITRELAY_TIMEOUT: expected a number from"},
		"no port":       {[]string{"AUDITRELAY_URL=http://127.0.0.1:x"}, "AUDITRELAY_URL: expected an address"},
		"others write":  {[]string{"AUDITRELAY_SPOOL=/tmp"}, "others can write to"},
		"no ca":         {[]string{"AUDITRELAY_URL=https://127.0.0.1", "AUDITRELAY_CA_FILE=/nonexistent"}, "AUDITRELAY_CA_FILE, "},
	} {
		t.Run(name, func(t *testing.T) {
			p := spawnProducer(t, setup{relay: "http://127.0.0.1:1", spool: open, env: tt.env})
			<-p.exited
			if text := p.log.String(); p.cmd.ProcessState.Success() || !strings.Contains(text, tt.want) || strings.Contains(text, "hidden") {
				t.Errorf("got %s\n%s\nwant %q", p.cmd.ProcessState, text, tt.want)
			}
		})
	}
}
