package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// rounds is how often each row of the sink-hole's table runs, in turns.
const rounds = 3

// hole takes everything and keeps nothing. It answers as each protocol wants it.
type hole struct {
	server *httptest.Server
	stream net.Listener // for lines over TCP
}

func newHole() (*hole, error) {
	stream, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	h := &hole{stream: stream}
	go func() {
		for {
			conn, err := stream.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(io.Discard, conn) }()
		}
	}()
	h.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/_bulk"):
			bulk(w, r)
			return
		case strings.HasPrefix(r.URL.Path, "/upload/storage/"):
			upload(w, r)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		switch {
		case r.URL.Path == "/services/collector/event":
			_, _ = io.WriteString(w, `{"text":"Success","code":0}`)
		case r.URL.Path == "/api/v2/logs":
			w.WriteHeader(http.StatusAccepted)
			_, _ = io.WriteString(w, "{}")
		case r.URL.Path == "/v1/logs": // 200 with nothing
		case r.Method == http.MethodPut:
			w.Header().Set("ETag", `"0123456789abcdef0123456789abcdef"`)
			if r.Header.Get("x-ms-blob-type") != "" {
				w.WriteHeader(http.StatusCreated)
			}
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	}))
	return h, nil
}

func (h *hole) close() {
	h.server.Close()
	h.stream.Close()
}

// bulk answers with a result for each item, as Elasticsearch does.
func bulk(w http.ResponseWriter, r *http.Request) {
	var body io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		body = z
	}
	data, _ := io.ReadAll(body)
	n := bytes.Count(data, []byte("\n")) / 2
	_, _ = io.WriteString(w, `{"errors":false,"items":[`+strings.TrimSuffix(strings.Repeat(`{"create":{"status":201}},`, n), ",")+"]}")
}

// checksumOf finds the checksum that an upload to Cloud Storage announces.
var checksumOf = regexp.MustCompile(`"crc32c":"([^"]*)"`)

// upload answers as Cloud Storage does, with the checksum that it was told.
func upload(w http.ResponseWriter, r *http.Request) {
	data, _ := io.ReadAll(r.Body)
	found := checksumOf.FindSubmatch(data[:min(len(data), 4096)])
	if found == nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	fmt.Fprintf(w, `{"name":"x","crc32c":"%s","generation":"1"}`, found[1])
}

// sinkRow is one sink of one system.
type sinkRow struct {
	name string
	make func(dir string) (*system, error)
	ours bool
	base int // the row without a sink

	rate, cpu []float64 // events a second; us an event
}

// sinkHoles measures each sink against a local sink-hole.
func sinkHoles(dir, ours, peer string, n int) error {
	h, err := newHole()
	if err != nil {
		return err
	}
	defer h.close()
	url := h.server.URL
	guard := `http: {allow_networks: [loopback], proxy: none}`
	mine := func(name, sink string) *sinkRow {
		return &sinkRow{name: "auditrelay, " + name, ours: true, make: func(dir string) (*system, error) { return relayTo(ours, dir, sink) }}
	}
	theirs := func(name, output string) *sinkRow {
		return &sinkRow{name: "Benthos, " + name, base: 1, make: func(dir string) (*system, error) { return benthosTo(peer, dir, output) }}
	}
	httpClient := func(path, archive, mapping string) string {
		return fmt.Sprintf(`http_client: {url: %q, verb: POST, max_in_flight: 4, batch_as_multipart: false, batching: {count: 1000, period: 1s, processors: [%s{archive: {format: %s}}]}}`,
			url+path, mapping, archive)
	}
	rows := []*sinkRow{
		mine("no sink", ""),
		theirs("no sink (drop)", "drop: {}"),
		mine("webhook, array", fmt.Sprintf(`webhook: {url: %q, body: array, %s}`, url+"/hook", guard)),
		theirs("http_client, json_array", httpClient("/hook", "json_array", "")),
		mine("datadog", fmt.Sprintf(`datadog: {url: %q, api_key: k, %s}`, url, guard)),
		theirs("http_client, as Datadog wants it", httpClient("/api/v2/logs", "json_array", `{mapping: 'root = {"ddsource": "b", "message": content().string()}'}, `)),
		mine("splunk", fmt.Sprintf(`splunk: {url: %q, token: t, %s}`, url, guard)),
		theirs("http_client, as HEC wants it", httpClient("/services/collector/event", "lines", `{mapping: 'root = {"event": this, "sourcetype": "_json"}'}, `)),
		mine("s3", fmt.Sprintf(`s3: {bucket: audit, endpoint: %q, region: us-east-1, addressing: path, credentials: {access_key_id: a, secret_access_key: s}}`, url)),
		mine("elastic", fmt.Sprintf(`elastic: {url: %q, index: audit, %s}`, url, guard)),
		theirs("http_client, as the bulk API wants it", httpClient("/audit/_bulk", "lines", `{mapping: 'root = "{\"create\":{}}\n" + content().string()'}, `)),
		mine("otlp", fmt.Sprintf(`otlp: {url: %q, %s}`, url, guard)),
		theirs("http_client, OTLP in JSON", fmt.Sprintf(`http_client: {url: %q, verb: POST, max_in_flight: 4, batch_as_multipart: false, batching: {count: 1000, period: 1s, processors: [{mapping: 'root = {"body": {"stringValue": content().string()}}'}, {archive: {format: json_array}}, {mapping: 'root = {"resourceLogs": [{"scopeLogs": [{"logRecords": this}]}]}'}]}}`, url+"/v1/logs")),
		mine("syslog, TCP", fmt.Sprintf(`syslog: {address: %q, plaintext: true, allow_networks: [loopback]}`, h.stream.Addr())),
		theirs("socket, lines over TCP", fmt.Sprintf(`socket: {network: tcp, address: %q, codec: lines}`, h.stream.Addr())),
		mine("gcs", fmt.Sprintf(`gcs: {bucket: audit, url: %q, anonymous: true, %s}`, url, guard)),
		mine("azure_blob", fmt.Sprintf(`azure_blob: {account_url: %q, container: audit, account_key: "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==", %s}`, url+"/devstoreaccount1", guard)),
		mine("file", `file: {path: out/audit.ndjson}`),
		theirs("file", "file: {path: DIR/audit.ndjson, codec: lines}"),
	}
	for round := range rounds {
		for i, r := range rows {
			at := filepath.Join(dir, fmt.Sprintf("hole-%d-%d", round, i))
			if err := r.measure(at, n); err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
			if err := os.RemoveAll(at); err != nil {
				return err
			}
		}
	}
	fmt.Printf("\nSinks against a sink-hole on this machine, %d events, medians of %d runs in turns\n\n", n, rounds)
	fmt.Println("| | events/s | CPU an event, us | of it the sink's |\n|---|---|---|---|")
	for i, r := range rows {
		own := "-"
		if i > 1 {
			own = fmt.Sprintf("%.1f", middle(r.cpu)-middle(rows[r.base].cpu))
		}
		fmt.Printf("| %s | %.0f (%.0f to %.0f) | %.1f (%.1f to %.1f) | %s |\n", r.name, middle(r.rate), slices.Min(r.rate), slices.Max(r.rate),
			middle(r.cpu), slices.Min(r.cpu), slices.Max(r.cpu), own)
	}
	return nil
}

func middle(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// relayTo is auditrelay with one callback without filters.
func relayTo(program, dir, sink string) (*system, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	s := &system{name: "auditrelay", program: program, events: "http://" + address + "/v1/events", ready: "http://" + address + "/readyz",
		account: "http://" + address + "/v1/callbacks/"}
	config := filepath.Join(dir, "auditrelay.yaml")
	s.args = []string{"serve", "--config", config, "--listen", address}
	callbacks := "callbacks: []\n"
	if sink != "" {
		callbacks = fmt.Sprintf("callbacks:\n  - {name: c, sink: {%s}}\n", strings.ReplaceAll(sink, "out/", dir+"/out/"))
	}
	return s, os.WriteFile(config, fmt.Appendf(nil, "data_dir: %s/data\njournal: {reserve: 0}\n%s", dir, callbacks), 0o600)
}

// benthosTo is Benthos with one output: it answers when that has the events.
func benthosTo(program, dir, output string) (*system, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	s := &system{name: "Benthos", program: program, events: "http://" + address + "/post", ready: "http://" + address + "/ready"}
	config := filepath.Join(dir, "benthos.yaml")
	s.args = []string{"run", config}
	return s, os.WriteFile(config, fmt.Appendf(nil, `
http: {enabled: true, address: %q}
logger: {level: ERROR}
input:
  http_server: {path: /post, timeout: 60s}
  processors: [{unarchive: {format: lines}}]
output: {%s}
`, address, strings.ReplaceAll(output, "DIR", dir)), 0o600)
}

// measure sends n events in requests of 1,000, eight at a time, and waits until all are
// delivered.
func (r *sinkRow) measure(dir string, n int) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	s, err := r.make(dir)
	if err != nil {
		return err
	}
	if err := s.start(); err != nil {
		return err
	}
	bodies := make(chan []byte, n/1000+1)
	for at := 0; at < n; at += 1000 {
		var body bytes.Buffer
		for i := at; i < min(at+1000, n); i++ {
			body.Write(append(event(i), '\n'))
		}
		bodies <- bytes.TrimSuffix(body.Bytes(), []byte("\n"))
	}
	close(bodies)
	begun := time.Now()
	failed := make(chan error, 8)
	for range cap(failed) {
		go func() {
			for body := range bodies {
				answer, err := http.Post(s.events, "application/x-ndjson", bytes.NewReader(body))
				if err == nil {
					answer.Body.Close()
					if answer.StatusCode/100 != 2 {
						err = fmt.Errorf("status %d", answer.StatusCode)
					}
				}
				if err != nil {
					failed <- err
					return
				}
			}
			failed <- nil
		}()
	}
	for range cap(failed) {
		if err := <-failed; err != nil {
			s.kill()
			return fmt.Errorf("send: %w: %.1000s", err, s.log.String())
		}
	}
	if r.ours && !strings.HasSuffix(r.name, "no sink") {
		if err := s.delivered("c", n); err != nil {
			s.kill()
			return err
		}
	}
	took := time.Since(begun)
	s.stop()
	r.rate = append(r.rate, float64(n)/took.Seconds())
	r.cpu = append(r.cpu, float64(s.cpu.Microseconds())/float64(n))
	return nil
}

// delivered waits until a callback has delivered n events.
func (s *system) delivered(callback string, n int) error {
	for deadline := time.Now().Add(5 * time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		answer, err := http.Get(s.account + callback)
		if err != nil {
			return err
		}
		var status struct {
			Account struct{ Delivered int } `json:"account"`
		}
		err = json.NewDecoder(answer.Body).Decode(&status)
		answer.Body.Close()
		if err != nil {
			return err
		}
		if status.Account.Delivered >= n {
			return nil
		}
	}
	return fmt.Errorf("%d events are not delivered after five minutes", n)
}
