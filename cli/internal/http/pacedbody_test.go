package http

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestALongAnswerIsNotCutOff: the limit for a body ends with the body, however long the answer
// takes.
func TestALongAnswerIsNotCutOff(t *testing.T) {
	s := &Server{patience: patience{body: 5 * time.Millisecond}}
	server := httptest.NewServer(s.paced(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err != nil {
			t.Error(err)
		}
		_, _ = r.Body.Read(make([]byte, 1))
		long := time.NewTimer(100 * time.Millisecond)
		defer long.Stop()
		select {
		case <-long.C:
		case <-r.Context().Done():
			t.Errorf("%s with %d bytes: %v", r.Method, r.ContentLength, r.Context().Err())
		}
	})))
	defer server.Close()
	if resp, err := server.Client().Get(server.URL); err != nil {
		t.Error(err)
	} else {
		resp.Body.Close()
	}
	for _, body := range []string{"", "x", strings.Repeat("x", 2*bodyBytesPerSec)} {
		resp, err := server.Client().Post(server.URL, "text/plain", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
}
