package httpsink

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"auditrelay"
)

// Headers of some servers are long. Beyond the limit an answer says nothing, and a retry would
// not help: the callback stalls.
func TestLongHeadersOfAnAnswer(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n, _ := strconv.Atoi(r.URL.Path[1:])
			for i := range n / 1000 {
				w.Header().Set("X-Long-"+strconv.Itoa(i), strings.Repeat("x", 1000))
			}
		}))
		server.EnableHTTP2 = http2
		server.StartTLS()
		defer server.Close()
		for size, want := range map[int]string{150_000: "", 300_000: "the response's headers are over 256 KiB"} {
			c := client(t, Options{TLS: TLS{InsecureSkipVerify: true}}, server.URL+"/"+strconv.Itoa(size))
			a, err := c.Send(t.Context(), Request{Header: http.Header{}, Body: []byte("x")})
			if want == "" {
				if err != nil || c.Refusal(a) != nil {
					t.Errorf("HTTP/2 %v, %d bytes: %v, %v", http2, size, a.Status, err)
				}
				continue
			}
			err = c.Failure(t.Context(), err)
			if err == nil || !http2 && (auditrelay.KindOf(err) != auditrelay.Misconfigured || !strings.Contains(err.Error(), want)) {
				t.Errorf("HTTP/2 %v, %d bytes: %v", http2, size, err)
			}
		}
	}
}

// An answer whose body does not end is not said to be no answer.
func TestAnAnswerThatDoesNotEnd(t *testing.T) {
	done := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		select {
		case <-done:
		case <-r.Context().Done():
		}
	}))
	defer server.Close()
	defer close(done)
	c := client(t, Options{RequestTimeout: time.Second}, server.URL)
	_, err := c.Send(t.Context(), Request{Header: http.Header{}, Body: []byte("x")})
	err = c.Failure(t.Context(), err)
	if auditrelay.KindOf(err) != auditrelay.Transient || !strings.Contains(err.Error(), "status 200, but its body did not end within request_timeout (1s)") {
		t.Error(err)
	}
}
