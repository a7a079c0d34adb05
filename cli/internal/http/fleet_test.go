package http

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestSentOn: who a request comes from is taken from another relay of the fleet alone.
func TestSentOn(t *testing.T) {
	for _, test := range []struct {
		name, secret, given, peer, want string
	}{
		{"a relay of the fleet", "s3cr3t", "s3cr3t", "198.51.100.7", "198.51.100.7"},
		{"a relay of the fleet, for IPv6", "s3cr3t", "s3cr3t", "2001:db8::7", "2001:db8::7"},
		{"somebody who guesses", "s3cr3t", "guess", "198.51.100.7", "192.0.2.1"},
		{"somebody who names an address", "s3cr3t", "", "198.51.100.7", "192.0.2.1"},
		{"before the secret is known", "", "", "198.51.100.7", "192.0.2.1"},
		{"anybody else", "s3cr3t", "", "", "192.0.2.1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/v1/stats", nil)
			if test.given != "" {
				r.Header.Set(fleetHeader, test.given)
			}
			if test.peer != "" {
				r.Header.Set(peerHeader, test.peer)
			}
			var got string
			sentOn(func() string { return test.secret }, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				got = peerAddress(r)
				if r.Header.Get(fleetHeader)+r.Header.Get(peerHeader) != "" {
					t.Error("a header of the fleet goes on")
				}
			})).ServeHTTP(httptest.NewRecorder(), r)
			if got != test.want {
				t.Errorf("it comes from %s, want %s", got, test.want)
			}
		})
	}
}
