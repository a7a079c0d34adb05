package faultproxy_test

import (
	"bytes"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"auditrelay/internal/test/faultproxy"
)

// TestStalled: the first connection accepts less than a request of 88 KiB, the next one all of
// it.
func TestStalled(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	defer server.Close()
	url := faultproxy.Stalled(t, server.URL)
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetWriteDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Write(bytes.Repeat([]byte("x"), 88<<10)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d bytes were taken (%v): it does not stall", n, err)
	}
	answer, err := http.Post(url, "text/plain", strings.NewReader("whole"))
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusNoContent {
		t.Errorf("the second connection: %s", answer.Status)
	}
}
