package webhook_test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/builtin/internal/httpsink"
	"auditrelay/builtin/webhook"
	"auditrelay/internal/test/child"
)

// Standard Webhooks' own library accepts the sink's signatures, and rejects those of another
// secret. Compressed requests are excluded: the library verifies the received body, and the
// sink signs the uncompressed one.
func TestTheOfficialVerifier(t *testing.T) {
	program := filepath.Join(os.Getenv("AUDITRELAY_TEST_BIN"), "webhook-receiver")
	if _, err := os.Stat(program); err != nil || os.Getenv("AUDITRELAY_TEST_BIN") == "" {
		const missing = "webhook-receiver is not built: AUDITRELAY_TEST_BIN names the folder that make builds it into"
		if os.Getenv("CI") == "true" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	receiver := exec.Command(program, address)
	receiver.Env = []string{"WEBHOOK_SECRET=" + secretOf(2)}
	if _, err := child.Start(t, receiver); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		secrets []auditrelay.Secret
		want    bool
	}{
		{[]auditrelay.Secret{auditrelay.Secret(secretOf(2))}, true},
		{[]auditrelay.Secret{auditrelay.Secret(secretOf(1)), auditrelay.Secret(secretOf(2))}, true},
		{[]auditrelay.Secret{auditrelay.Secret(secretOf(1))}, false},
		{nil, false},
	} {
		for _, body := range []string{webhook.BodyEvent, webhook.BodyArray, webhook.BodyNDJSON} {
			o := options("http://" + address)
			o.Secrets, o.Body, o.HTTP.Compression = tt.secrets, body, httpsink.CompressionNone
			s := newSink(t, o)
			_, err := s.Deliver(t.Context(), render(t, s, 3)[0])
			if (err == nil) != tt.want {
				t.Errorf("%d secrets, %s: %v", len(tt.secrets), body, err)
			}
		}
	}
}
