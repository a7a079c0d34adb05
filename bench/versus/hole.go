package main

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/twmb/franz-go/pkg/kfake"
)

// hole accepts everything and stores nothing, except its Kafka broker, which keeps records in
// memory. It answers according to each protocol.
type hole struct {
	server *httptest.Server
	stream net.Listener   // for lines over TCP
	kafka  *kfake.Cluster // topic has three partitions
	key    string         // a file with the key of a Google service account, whose tokens the hole issues
}

// topic is the Kafka topic.
const topic = "audit"

func newHole(dir string) (*hole, error) {
	stream, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	h := &hole{stream: stream}
	if h.kafka, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, topic)); err != nil {
		return nil, err
	}
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
		case r.URL.Path == "/v1/logs": // 200 without content
		case strings.HasSuffix(r.URL.Path, "/logs:import"):
			_, _ = io.WriteString(w, "{}")
		case strings.HasSuffix(r.URL.Path, "/token"):
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"access_token":"t","token_type":"Bearer","expires_in":3600}`)
		case r.Method == http.MethodPut:
			w.Header().Set("ETag", `"0123456789abcdef0123456789abcdef"`)
			if r.Header.Get("x-ms-blob-type") != "" {
				w.WriteHeader(http.StatusCreated)
			}
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	}))
	h.key = filepath.Join(dir, "service-account.json")
	return h, serviceAccount(h.key, h.server.URL+"/token")
}

func (h *hole) close() {
	h.server.Close()
	h.stream.Close()
	h.kafka.Close()
}

// serviceAccount writes a new key whose tokens come from the URL at.
func serviceAccount(file, at string) error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	text, err := json.Marshal(map[string]string{"type": "service_account", "client_email": "relay@p.iam.gserviceaccount.com", "private_key_id": "k", "token_uri": at,
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))})
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o600)
}

// bulk answers with a result for each item, like Elasticsearch.
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

// checksumOf finds the checksum announced by an upload to Cloud Storage.
var checksumOf = regexp.MustCompile(`"crc32c":"([^"]*)"`)

// upload answers like Cloud Storage, with the announced checksum.
func upload(w http.ResponseWriter, r *http.Request) {
	data, _ := io.ReadAll(r.Body)
	found := checksumOf.FindSubmatch(data[:min(len(data), 4096)])
	if found == nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	fmt.Fprintf(w, `{"name":"x","crc32c":"%s","generation":"1"}`, found[1])
}
