package litellm

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// server answers each connection as scripted and notes what it read.
type server struct {
	listener net.Listener

	mu      sync.Mutex
	script  []func(net.Conn, *http.Request)
	methods []string
	heads   []string
}

func serve(t *testing.T, script ...func(net.Conn, *http.Request)) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	s := &server{listener: l, script: script}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(conn.(*net.TCPConn))
		}
	}()
	return s
}

func (s *server) serve(conn *net.TCPConn) {
	defer conn.Close()
	_ = conn.SetReadBuffer(64 << 10)
	var head strings.Builder
	in := bufio.NewReaderSize(conn, 64<<10)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		head.WriteString(line)
		if line == "\r\n" {
			break
		}
	}
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(head.String())))
	if err != nil {
		return
	}
	r.Body = io.NopCloser(io.LimitReader(in, r.ContentLength))
	s.mu.Lock()
	s.methods, s.heads = append(s.methods, r.Method), append(s.heads, head.String())
	next := status(200, "")
	if len(s.script) > 0 {
		next, s.script = s.script[0], s.script[1:]
	}
	s.mu.Unlock()
	next(conn, r)
}

func (s *server) seen() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.methods, " ")
}

func status(code int, name string) func(net.Conn, *http.Request) {
	return func(conn net.Conn, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		body := "<Error><Code>" + name + "</Code></Error>"
		fmt.Fprintf(conn, "HTTP/1.1 %d x\r\nContent-Length: %d\r\n\r\n%s", code, len(body), body)
	}
}

func reset(conn net.Conn, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	_ = conn.(*net.TCPConn).SetLinger(0)
}

func resetAmid(conn net.Conn, _ *http.Request) { _ = conn.(*net.TCPConn).SetLinger(0) }

func closeAfter(_ net.Conn, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }

// closeAmid ends the connection in order though the client is still writing.
func closeAmid(conn net.Conn, _ *http.Request) {
	_ = conn.(*net.TCPConn).CloseWrite()
	time.Sleep(100 * time.Millisecond) // else the rest of the body is answered with a reset
}

func silence(conn net.Conn, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	_, _ = io.Copy(io.Discard, conn)
}

// rows reads one of the package comment's tables: a row's cells by the column's name.
func rows(t *testing.T, first string) map[string]map[string]string {
	t.Helper()
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	cells := regexp.MustCompile(`\s{2,}`)
	var columns []string
	all := map[string]map[string]string{}
	for line := range strings.Lines(string(text)) {
		line, table := strings.CutPrefix(strings.TrimRight(line, "\n"), "//\t")
		if !table {
			columns = nil
			continue
		}
		parts := cells.Split(line, -1)
		if parts[0] == first {
			columns = parts[1:]
			continue
		}
		if columns == nil {
			continue
		}
		all[parts[0]] = map[string]string{}
		for i, c := range columns {
			all[parts[0]][c] = parts[i+1]
		}
	}
	if len(all) == 0 {
		t.Fatalf("no table of %s", first)
	}
	return all
}

// TestBreaks holds the imitation's second tries against the table, on real connections.
func TestBreaks(t *testing.T) {
	const small, large = 100, 16 << 20
	breaks := map[string][]struct {
		do   func(net.Conn, *http.Request)
		size int
	}{
		"refused":                   {{nil, small}},
		"reset, also amid the body": {{reset, small}, {resetAmid, large}},
		"closed amid the body":      {{closeAmid, large}},
		"closed after the body":     {{closeAfter, small}},
		"timeout":                   {{silence, small}},
	}
	for name, row := range rows(t, "connection breaks") {
		if breaks[name] == nil {
			t.Errorf("%s is not tested", name)
		}
		for _, b := range breaks[name] {
			for _, transport := range Transports {
				for _, version := range Versions {
					t.Run(fmt.Sprintf("%s,%v,%v,%d", name, transport, version, b.size), func(t *testing.T) {
						s := serve(t)
						l := &Logger{Version: version, Transport: transport}
						want := "PUT"
						if b.do == nil {
							s.listener.Close()
							want = ""
						} else {
							s.script = append(s.script, b.do)
							if strings.HasPrefix(row[transport.String()], "POST") {
								want = "PUT POST"
							}
						}
						timeout := 5 * time.Second
						if name == "timeout" {
							timeout = 200 * time.Millisecond
						}
						methods, fate := runFor(t, l, s, b.size, timeout)
						end := map[Version]string{Seed: "lost", Summer: "lost", Present: "queued again"}[version]
						if want == "PUT POST" {
							end = "done"
						}
						if methods != want || fate != end {
							t.Errorf("sent %q, %s; want %q, %s", methods, fate, want, end)
						}
					})
				}
			}
		}
	}
	if len(breaks) != len(rows(t, "connection breaks")) {
		t.Error("the table has other rows")
	}
	for transport, want := range map[Transport]bool{AIOHTTP: true, HTTPX: true} { // refused: nothing is seen of it
		if transport.Again(Refused) != want {
			t.Errorf("%v: refused", transport)
		}
	}
}

// runFor sends one event in one flush and returns what was sent and what became of it.
func runFor(t *testing.T, l *Logger, s *server, size int, timeout time.Duration) (methods, fate string) {
	t.Helper()
	l.Endpoint, l.Bucket, l.AccessKeyID, l.Secret = "http://"+s.listener.Addr().String(), "audit", "AKID", "secret"
	l.Second, l.Timeout = time.Millisecond, timeout
	l.Log("a", `{"id":"a","action":"created","x":"`+strings.Repeat("x", size)+`"}`)
	l.Flush(t.Context())
	switch {
	case len(l.Done()) == 1:
		fate = "done"
	case len(l.Lost()) == 1:
		fate = "lost"
	case l.Waiting() == 1:
		fate = "queued again"
	}
	return s.seen(), fate
}

// TestAnswers holds what becomes of an event after each answer against the table: to the
// PUT, and to the POST.
func TestAnswers(t *testing.T) {
	table := rows(t, "answer")
	for code := 200; code < 600; code++ {
		if code >= 300 && code < 400 || code > 210 && code < 300 || code > 420 && code < 425 || code > 432 && code < 500 || code > 506 {
			continue
		}
		name := "any other"
		switch code {
		case 500, 503, 403:
			name = "500, 503, 403"
		default:
			if code < 300 {
				name = "2xx"
			}
		}
		for _, version := range Versions {
			for _, post := range []bool{false, true} {
				s := serve(t)
				puts := 1
				if name == "500, 503, 403" && version == Present {
					puts = 3
				}
				want := strings.TrimSuffix(strings.Repeat("PUT ", puts), " ")
				if post {
					want = strings.TrimSuffix(strings.Repeat("PUT POST ", puts), " ")
				}
				for range puts {
					if post {
						s.script = append(s.script, reset)
					}
					s.script = append(s.script, status(code, "Some"))
				}
				methods, fate := runFor(t, &Logger{Version: version}, s, 10, 5*time.Second)
				cell := table[name][version.String()]
				if methods != want || !strings.HasSuffix(cell, fate) {
					t.Errorf("%v, %d, to a POST: %v: sent %q, %s; want %q, %s", version, code, post, methods, fate, want, cell)
				}
			}
		}
	}
	for broken, script := range map[string]func(net.Conn, *http.Request){"timeout": silence, "connection broke": closeAfter} {
		for _, version := range Versions {
			_, fate := runFor(t, &Logger{Version: version}, serve(t, script), 10, 200*time.Millisecond)
			if want := table[broken][version.String()]; fate != want {
				t.Errorf("%s, %v: %s, want %s", broken, version, fate, want)
			}
		}
	}
}

// TestTerminalAnswers: dropped only where another event of the flush got through.
func TestTerminalAnswers(t *testing.T) {
	for _, alone := range []bool{true, false} {
		s := serve(t)
		s.script = append(s.script, status(400, "InvalidRequest"))
		l := &Logger{Version: Present, DropTerminal: true}
		if !alone {
			l.Log("first", `{"id":"first"}`)
		}
		_, _ = runFor(t, l, s, 10, 5*time.Second)
		if lost := len(l.Lost()) == 1; lost == alone {
			t.Errorf("alone: %v, lost %v, waiting %d", alone, l.Lost(), l.Waiting())
		}
	}
}

// TestRequests: the form of what is sent, header by header; the POST is the PUT but for
// the method, the next flush is signed anew, and a batch has another name there.
func TestRequests(t *testing.T) {
	s := serve(t, reset, status(500, ""), status(404, ""))
	l := &Logger{Version: Present, Prefix: "p"}
	_, _ = runFor(t, l, s, 10, 5*time.Second)
	if s.seen() != "PUT POST PUT" {
		t.Fatal(s.seen())
	}
	s.mu.Lock()
	heads := slices.Clone(s.heads)
	s.mu.Unlock()
	if strings.TrimPrefix(heads[0], "PUT") != strings.TrimPrefix(heads[1], "POST") {
		t.Errorf("the POST differs:\n%s\n%s", heads[0], heads[1])
	}
	form := regexp.MustCompile(`^PUT /audit/p/audit_logs/\d{4}-\d\d-\d\d/\d\d-\d\d-\d\d_a\.json HTTP/1\.1\r
Host: [^\r]+\r
Accept: \*/\*\r
Accept-Encoding: gzip, deflate\r
Connection: keep-alive\r
User-Agent: litellm/[^\r]+\r
Content-Type: application/json\r
Content-MD5: [A-Za-z0-9+/]{22}==\r
Content-Language: en\r
Content-Disposition: inline; filename="audit-a\.json"\r
Cache-Control: private, immutable, max-age=31536000, s-maxage=0\r
X-Amz-Date: \d{8}T\d{6}Z\r
X-Amz-Content-SHA256: [0-9a-f]{64}\r
Authorization: AWS4-HMAC-SHA256 Credential=AKID/\d{8}/us-east-1/s3/aws4_request, SignedHeaders=cache-control;content-disposition;content-language;content-md5;content-type;host;x-amz-content-sha256;x-amz-date, Signature=[0-9a-f]{64}\r
Content-Length: \d+\r
\r
$`)
	if !form.MatchString(heads[0]) {
		t.Errorf("the request's head:\n%s", heads[0])
	}

	s = serve(t, status(404, ""))
	l = &Logger{Version: Present, Batch: true}
	_, _ = runFor(t, l, s, 10, 5*time.Second)
	l.Flush(context.Background())
	s.mu.Lock()
	defer s.mu.Unlock()
	name := regexp.MustCompile(`batch_\d\d-\d\d-\d\d_[0-9a-f]{32}\.jsonl`)
	first, second := name.FindString(s.heads[0]), name.FindString(s.heads[1])
	if first == "" || second == "" || first == second || !strings.Contains(s.heads[0], "application/x-ndjson") {
		t.Errorf("batches %q, %q", first, second)
	}
}
