package kafka_test

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/builtin/kafka"
	"auditrelay/builtin/kafka/brokers"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
)

// A connection that cannot be used says what to look at, and loses nothing.
func TestUnusableConnections(t *testing.T) {
	web := httptest.NewTLSServer(http.NotFoundHandler())
	defer web.Close()
	page := httptest.NewServer(http.NotFoundHandler())
	defer page.Close()
	secured := []kfake.Opt{kfake.TLS(&tls.Config{Certificates: web.TLS.Certificates})}
	password := []kfake.Opt{kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-256", "relay", "the-right-one")}
	for name, tc := range map[string]struct {
		cluster []kfake.Opt // nil: the page
		set     func(o *kafka.Options)
		want    string
	}{
		"no password": {password, func(*kafka.Options) {}, "closed the connection at once: does it expect TLS, or a password (sasl)?"},
		"a wrong password": {password, func(o *kafka.Options) {
			o.SASL = brokers.SASL{Mechanism: "scram-sha-256", Username: "relay", Password: "wrong"}
		}, "are user, password and mechanism right (sasl)"},
		"TLS is expected":     {secured, func(*kafka.Options) {}, "does it expect TLS"},
		"an alert of TLS":     {nil, func(o *kafka.Options) { o.Brokers = []string{alerting(t)} }, "a broker expects TLS: remove plaintext"},
		"TLS is not expected": {[]kfake.Opt{}, func(o *kafka.Options) { o.Plaintext = false }, "no broker answered within request_timeout (1s): are the port, and TLS or plaintext, right?"},
		"an HTTP server":      {nil, func(*kafka.Options) {}, "an HTTP server answers there, and no broker"},
		"one without TLS":     {nil, func(o *kafka.Options) { o.Plaintext = false }, "a broker does not speak TLS"},
	} {
		t.Run(name, func(t *testing.T) {
			at := []string{strings.TrimPrefix(page.URL, "http://")}
			if tc.cluster != nil {
				at = cluster(t, tc.cluster...).ListenAddrs()[:1]
			}
			o := options(at...)
			o.RequestTimeout = time.Second
			tc.set(&o)
			err := deliver(t, newSink(t, o), chunk(`{}`))
			if auditrelay.KindOf(err) != auditrelay.Transient || err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want %q", err, tc.want)
			}
		})
	}
}

// alerting answers each connection as a server of TLS answers a foreign protocol.
func alerting(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				if _, err := conn.Read(make([]byte, 64)); err == nil {
					_, _ = conn.Write([]byte{21, 3, 3, 0, 2, 2, 70})
				}
			}()
		}
	}()
	return l.Addr().String()
}

// A topic that was made anew has another id. The next attempt asks for it: nothing is misconfigured.
func TestATopicThatWasMadeAnew(t *testing.T) {
	c := cluster(t)
	refuse(c, "event", kerr.UnknownTopicID.Code)
	if err := deliver(t, newSink(t, options(c.ListenAddrs()...)), chunk(`{"id":"event"}`)); err == nil || auditrelay.KindOf(err) != auditrelay.Transient {
		t.Error(err)
	}
}
