package crashtest

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// mostMemory is the maximum memory of the program, at its peak.
const mostMemory = 256 << 20

// secret occurs in hostile requests and must not occur in any answer or log.
const secret = "s3cret-of-the-event"

// TestHostile sends hostile requests to one program. It answers clearly, accepts the valid
// events of the same request, releases all resources, and stays small.
func TestHostile(t *testing.T) {
	rounds(t, 1)
	t.Parallel()
	dir := t.TempDir()
	files := filepath.Join(dir, "files")
	config := filepath.Join(dir, "auditrelay.yaml")
	write(t, config, fmt.Sprintf(`
data_dir: %s
callbacks:
  - name: files
    sink: {file: {path: %s}}
    chunk: {age: 20ms}
`, filepath.Join(dir, "data"), filepath.Join(files, "events.ndjson")))
	h := &hostile{relay: startRelay(t, address(t), config), want: map[string]bool{}}
	h.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}}
	before := h.descriptors(t)

	t.Run("bodies", h.bodies)
	t.Run("fields", h.fields)
	t.Run("times", h.times)
	t.Run("heads", h.heads)
	t.Run("garbage", h.garbage)
	t.Run("broken off", h.brokenOff)
	t.Run("slowloris", h.slowloris)
	t.Run("large at once", h.largeAtOnce)

	h.client.CloseIdleConnections()
	h.eventually(t, 60*time.Second, "connections being released", func() (bool, string) {
		n := h.descriptors(t)
		return n <= before+3, fmt.Sprintf("%d descriptors, %d at the start", n, before)
	})
	h.settle(t, time.Minute)
	arrived := objects(t, files)
	for id := range h.want {
		if arrived[id] != 1 {
			t.Errorf("the good event %s arrived %d times", id, arrived[id])
		}
	}
	peak, now := h.memory(t, "VmHWM"), h.memory(t, "VmRSS")
	t.Logf("resident: %d MiB at the peak, %d MiB at the end", peak>>20, now>>20)
	if peak >= mostMemory {
		t.Errorf("%d MiB were resident at the peak", peak>>20)
	}
	h.kill() // only this process writes its log from here on
	if strings.Contains(h.log.String(), secret) || strings.Contains(h.log.String(), "panic") {
		t.Errorf("the log has event data or a panic:\n%s", h.log)
	}
}

type hostile struct {
	*relay
	client *http.Client
	mu     sync.Mutex
	n      int
	want   map[string]bool // ids of accepted events
}

// good returns an event that must be accepted.
func (h *hostile) good() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.n++
	id := fmt.Sprintf("good-%d", h.n)
	h.want[id] = true
	return `{"id":"` + id + `","action":"created"}`
}

// verdict returns the answer of POST /v1/events in short form: the status, then each result (ok
// or reason), then the reason for the whole.
func (h *hostile) verdict(t *testing.T, body io.Reader, head ...string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.url+"/v1/events", body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(head); i += 2 {
		req.Header.Set(head[i], head[i+1])
	}
	resp, err := h.client.Do(req)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	defer resp.Body.Close()
	return verdictOf(t, resp)
}

func verdictOf(t *testing.T, resp *http.Response) string {
	t.Helper()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	type fault struct{ Field, Reason, Message string }
	var answer struct {
		Results []struct {
			Index    int
			Sequence uint64
			Error    *fault
		}
		Error *fault
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Fatalf("the answer is no JSON: %v: %.200s", err, text)
	}
	if bytes.Contains(text, []byte(secret)) {
		t.Errorf("the answer has event data: %.500s", text)
	}
	words := []string{strconv.Itoa(resp.StatusCode)}
	for i, r := range answer.Results {
		switch {
		case r.Index != i:
			t.Errorf("result %d has index %d", i, r.Index)
		case r.Error == nil && r.Sequence > 0:
			words = append(words, "ok")
		case r.Error == nil || r.Error.Reason == "" || r.Error.Message == "":
			t.Errorf("result %d says nothing: %.500s", i, text)
		default:
			words = append(words, r.Error.Reason)
		}
	}
	if answer.Error != nil {
		words = append(words, answer.Error.Reason)
	}
	return strings.Join(words, " ")
}

func (h *hostile) bodies(t *testing.T) {
	event := func(rest string) string {
		return `{"id":"` + secret + `","action":"created",` + rest + `}`
	}
	const lines, array = "application/x-ndjson", "application/json"
	around := func(bad string) string { return h.good() + "\n" + bad + "\n" + h.good() }
	zeros := zipped(io.LimitReader(zero{' '}, 1<<30))
	rows := []struct{ name, kind, encoding, body, want string }{
		{"truncated", array, "", event(`"x":1`)[:50], "400 syntax"},
		{"truncated among good ones", lines, "", around(event(`"x":1`)[:50]), "207 ok syntax ok"},
		{"array cut short", array, "", "[" + h.good() + "," + event(`"x":1`)[:50], "207 ok truncated"},
		{"invalid UTF-8", lines, "", around(event("\"x\":\"\xff\xfe\"")), "207 ok utf8 ok"},
		{"overlong UTF-8", lines, "", around(event("\"x\":\"\xc0\xaf\"")), "207 ok utf8 ok"},
		{"a surrogate in UTF-8", lines, "", around(event("\"x\":\"\xed\xa0\x80\"")), "207 ok utf8 ok"},
		{"a lone surrogate", lines, "", around(event(`"x":"\ud800"`)), "207 ok lone_surrogate ok"},
		{"duplicate keys", lines, "", around(event(`"x":{"` + secret[:3] + `":1,"` + secret[:3] + `":2}`)), "207 ok duplicate_key ok"},
		{"duplicate ids, escaped", lines, "", around(event(`"\u0069d":"other"`)), "207 ok duplicate_key ok"},
		{"deep objects", lines, "", around(event(`"x":` + strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000))), "207 ok too_deep ok"},
		{"deep arrays, open", lines, "", around(event(`"x":` + strings.Repeat("[", 10_000))), "207 ok too_deep ok"},
		{"deep arrays in an array", array, "", "[" + h.good() + "," + event(`"x":`+strings.Repeat("[", 10_000)+strings.Repeat("]", 10_000)) + "," + h.good() + "]", "207 ok too_deep ok"},
		{"a key of 1 MB", lines, "", around(event(`"` + strings.Repeat("k", 1_000_000) + `":1,"y":`)), "207 ok syntax ok"},
		{"an event of 2 MB", lines, "", around(event(`"x":"` + strings.Repeat(secret, 110_000) + `"`)), "207 ok too_large ok"},
		{"NUL bytes", lines, "", around("\x00\x00\x00"), "207 ok not_object ok"},
		{"numbers without end", lines, "", around(event(`"x":` + strings.Repeat("9", 500_000) + "e")), "207 ok syntax ok"},
		{"an array of 100,000", array, "", "[" + strings.Repeat("1,", 99_999) + "1]", "413" + strings.Repeat(" not_object", 10_000) + " too_many_events"},
		{"100,000 in an event", lines, "", around(event(`"x":[` + strings.Repeat("1,", 99_999) + "1" + "]" + `,"changed_by":7`)), "207 ok wrong_type ok"},
		{"1 GB of blanks, gzip", lines, "gzip", string(zeros), "413 ratio"},
		{"1 GB of blanks, twice gzip", lines, "gzip", string(zipped(bytes.NewReader(zeros))), "413 ratio"},
		{"gzip of a line of 1 GB", lines, "gzip", string(zipped(io.LimitReader(zero{'a'}, 1<<30))), "413 ratio"},
		{"no gzip", lines, "gzip", secret + secret, "400 compression"},
		{"gzip of gzips", lines, "gzip", strings.Repeat(string(zipped(strings.NewReader("{}\n"))), 20_000), "413" + strings.Repeat(" missing", 10_000) + " too_many_events"},
		{"many empty gzips", lines, "gzip", strings.Repeat(string(zipped(strings.NewReader(""))), 200_000), "400 no_events"},
		{"one form", "application/x-www-form-urlencoded", "", "a=" + secret, "415 media_type"},
		{"a type that is none", ";;;/" + secret, "", "{}", "415 media_type"},
		{"a multipart", "multipart/form-data; boundary=x", "", "--x", "415 media_type"},
		{"an encoding that is none", array, "br, " + "gzip", "{}", "415 media_type"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			got := h.verdict(t, strings.NewReader(row.body), "Content-Type", row.kind, "Content-Encoding", row.encoding)
			if got != row.want {
				t.Errorf("got %.200s, want %.200s", got, row.want)
			}
		})
	}
}

// fields sends wrong types in every typed field.
func (h *hostile) fields(t *testing.T) {
	fields := []string{"id", "action", "updated_at", "changed_by", "changed_by_api_key", "table_name", "object_id",
		"object_alias", "object_team_id", "object_team_alias", "changed_by_user_email", "changed_by_key_alias"}
	var lines, want []string
	for _, field := range fields {
		for _, value := range []string{"7", "true", "[]", "{}", `["` + secret + `"]`, "1e999", "-0"} {
			e := map[string]json.RawMessage{"id": json.RawMessage(`"` + secret + `"`), "action": json.RawMessage(`"created"`)}
			e[field] = json.RawMessage(value)
			var members []string
			for k, v := range e { // by hand: package json would refuse 1e999
				members = append(members, fmt.Sprintf("%q:%s", k, v))
			}
			lines, want = append(lines, "{"+strings.Join(members, ",")+"}", h.good()), append(want, "wrong_type", "ok")
		}
	}
	got := h.verdict(t, strings.NewReader(strings.Join(lines, "\n")), "Content-Type", "application/x-ndjson")
	if got != "207 "+strings.Join(want, " ") {
		t.Errorf("got %s", got)
	}
}

// times sends event times within and beyond a thousand years.
func (h *hostile) times(t *testing.T) {
	var lines []string
	for year := 1500; year <= 2600; year += 7 {
		lines = append(lines, strings.TrimSuffix(h.good(), "}")+fmt.Sprintf(`,"updated_at":"%04d-06-01T23:59:59.999999+05:30"}`, year))
	}
	for _, at := range []string{"0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "0000-00-00T00:00:00Z", "-1-1-1", "99999999999999999999", strings.Repeat("9", 100_000)} {
		lines = append(lines, strings.TrimSuffix(h.good(), "}")+fmt.Sprintf(`,"updated_at":%q}`, at))
	}
	if got := h.verdict(t, strings.NewReader(strings.Join(lines, "\n"))); got != "200"+strings.Repeat(" ok", len(lines)) {
		t.Errorf("got %s", got)
	}
}

// heads sends invalid headers over separate connections.
func (h *hostile) heads(t *testing.T) {
	const post = "POST /v1/events HTTP/1.1\r\nHost: localhost\r\n"
	rows := []struct{ name, sent, want string }{
		{"a huge header", post + "X: " + strings.Repeat("x", 100<<10) + "\r\n\r\n", "431"},
		{"many headers", post + strings.Repeat("X: y\r\n", 20_000) + "\r\n", "431"},
		{"a huge path", "GET /" + strings.Repeat("x", 100<<10) + " HTTP/1.1\r\nHost: localhost\r\n\r\n", "431"},
		{"a bad method", "EXPLODE /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n", "405"},
		{"no method", "\x00\x01\x02 / HTTP/1.1\r\n\r\n", "400"},
		{"TLS to a plain port", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "400"},
		{"another version", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "400 405 505"},
		{"no host", "POST /v1/events HTTP/1.1\r\n\r\n", "400"},
		{"two lengths", post + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", "400"},
		{"a length that is none", post + "Content-Length: -5\r\n\r\n", "400"},
		{"a length without end", post + "Content-Length: 99999999999999999999\r\n\r\n", "400"},
		{"a length beyond the bound", post + "Content-Length: 52428800\r\n\r\n", "413"},
		{"length and chunks", post + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"},
		{"another transfer encoding", post + "Transfer-Encoding: gzip\r\n\r\n", "400 501"},
		{"a chunk that is none", post + "Transfer-Encoding: chunked\r\n\r\nzz\r\n" + secret, "400"},
		{"a chunk without end", post + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n" + secret, "400"},
		{"a chunk's endless extension", post + "Transfer-Encoding: chunked\r\n\r\n1;" + strings.Repeat("x", 100<<10), "400"},
		{"a header broken over lines", post + "X: y\r\n z\r\nContent-Length: 0\r\n\r\n", "400"},
		{"a header without a name", post + ": y\r\n\r\n", "400"},
		{"a path that climbs", "GET /v1/../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", "404 301 307"},
		{"a deep path", "GET /v1/events/" + strings.Repeat("%2e%2e%2f", 1000) + " HTTP/1.1\r\nHost: localhost\r\n\r\n", "404"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			conn := h.dial(t)
			defer conn.Close()
			go io.WriteString(conn, row.sent) // the server may stop reading
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatalf("no answer: %v", err)
			}
			body, _ := io.ReadAll(resp.Body)
			if !strings.Contains(row.want, strconv.Itoa(resp.StatusCode)) || bytes.Contains(body, []byte(secret)) {
				t.Errorf("got %s, want %s: %.300s", resp.Status, row.want, body)
			}
		})
	}
}

// garbage sends invalid bytes after a valid request on the same connection.
func (h *hostile) garbage(t *testing.T) {
	conn := h.dial(t)
	defer conn.Close()
	body := h.good()
	fmt.Fprintf(conn, "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s%s", len(body), body, strings.Repeat("\x00garbage "+secret+"\r\n\r\n", 1000))
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := verdictOf(t, resp); got != "200 ok" {
		t.Errorf("the good one: %s", got)
	}
	if resp, err = http.ReadResponse(in, nil); err != nil || resp.StatusCode != http.StatusBadRequest {
		t.Errorf("the garbage: %v, %v", resp, err)
	}
}

// brokenOff ends requests in the middle. Complete events before the end stay accepted.
func (h *hostile) brokenOff(t *testing.T) {
	for range 64 {
		conn := h.dial(t)
		fmt.Fprintf(conn, "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nContent-Length: 100000\r\n\r\n%s\n{\"id\":\"%s", h.good(), secret)
		conn.(*net.TCPConn).CloseWrite()
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("no answer: %v", err)
		}
		if got := verdictOf(t, resp); !strings.HasPrefix(got, "207 ok ") {
			t.Errorf("got %s", got)
		}
		conn.Close()
	}
	for range 64 { // without waiting for an answer
		conn := h.dial(t)
		io.WriteString(conn, "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n{\"id\":")
		conn.Close()
	}
	if got := h.verdict(t, strings.NewReader(h.good())); got != "200 ok" {
		t.Errorf("afterwards: %s", got)
	}
}

// slowloris keeps many connections open during headers and bodies. Other clients are served
// promptly, and the slow ones are disconnected.
func (h *hostile) slowloris(t *testing.T) {
	var slow []net.Conn
	for i := range 400 {
		conn := h.dial(t)
		defer conn.Close()
		head := "POST /v1/events HTTP/1.1\r\nHost: localhost\r\n"
		switch i % 4 {
		case 1:
			head += "Content-Length: 1000000\r\n\r\n{"
		case 2:
			head += "Transfer-Encoding: chunked\r\n\r\n5\r\n{\"id\"\r\n"
		case 3:
			head += "Content-Length: 100\r\n\r\n"
		}
		if _, err := io.WriteString(conn, head); err != nil {
			t.Fatal(err)
		}
		slow = append(slow, conn)
	}
	worst := time.Duration(0)
	for range 50 {
		start := time.Now()
		if got := h.verdict(t, strings.NewReader(h.good())); got != "200 ok" {
			t.Errorf("beside slow ones: %s", got)
		}
		worst = max(worst, time.Since(start))
	}
	t.Logf("beside %d slow connections the slowest of 50 requests took %s", len(slow), worst.Round(time.Millisecond))
	if worst > 2*time.Second {
		t.Errorf("a request beside slow ones took %s", worst)
	}
	for _, conn := range slow {
		conn.SetReadDeadline(time.Now().Add(40 * time.Second))
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal("a slow connection is still open")
		}
	}
}

// largeAtOnce sends bodies of 50 MB on 32 connections: of unknown length, compressed, and of a
// declared length, which is refused unread. A producer may be told to retry, or find the
// connection closed while it still sends.
func (h *hostile) largeAtOnce(t *testing.T) {
	line := `{"action":"created","x":"` + strings.Repeat(secret, 30_000) + "\"}\n" // some 570 KB, without an id
	whole := strings.Repeat(line, 50<<20/len(line)+1)
	squeezed := zipped(strings.NewReader(whole))
	var wg sync.WaitGroup
	for i := range 32 {
		good := h.good()
		wg.Go(func() {
			deadline := time.Now().Add(60 * time.Second)
			for status := 0; status == 0 || status == http.StatusServiceUnavailable; {
				if time.Now().After(deadline) {
					t.Errorf("no verdict within a minute, %d at last", status)
					return
				}
				encoding, body := "", io.Reader(strings.NewReader(whole))
				switch i % 4 {
				case 0, 1:
					body = io.MultiReader(body)
				case 2:
					encoding, body = "gzip", bytes.NewReader(squeezed)
				}
				status = h.large(t, body, encoding)
				if i%4 == 3 && status == 0 {
					break
				}
			}
			if got := h.verdict(t, strings.NewReader(good)); got != "200 ok" {
				t.Errorf("the good one: %s", got)
			}
		})
	}
	wg.Wait()
}

// large sends one large body and returns the answer's status, or 0 if the connection was closed
// before.
func (h *hostile) large(t *testing.T, body io.Reader, encoding string) int {
	transport := &http.Transport{DisableKeepAlives: true}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.url+"/v1/events", body)
	if err != nil {
		t.Error(err)
		return -1
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	req.Header.Set("Content-Encoding", encoding)
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	switch resp.StatusCode {
	case http.StatusRequestEntityTooLarge, http.StatusServiceUnavailable:
	default:
		t.Errorf("got %s: %.300s", resp.Status, text)
	}
	if bytes.Contains(text, []byte(secret)) {
		t.Error("the answer has event data")
	}
	return resp.StatusCode
}

func (h *hostile) dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	return conn
}

// memory returns one of the kernel's figures of the process in bytes.
func (r *relay) memory(t *testing.T, figure string) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, figure+":"); ok {
			n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n << 10
		}
	}
	t.Fatalf("no %s", figure)
	return 0
}

// descriptors returns the number of open files and connections of the process.
func (r *relay) descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", r.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range list {
		if to, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", r.cmd.Process.Pid, e.Name())); err == nil && strings.HasPrefix(to, "socket:") {
			n++
		}
	}
	return n
}

// zero reads as an endless row of one byte.
type zero struct{ b byte }

func (z zero) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = z.b
	}
	return len(p), nil
}

func zipped(r io.Reader) []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	io.Copy(w, r)
	w.Close()
	return b.Bytes()
}
