package detect

import (
	"bytes"
	"fmt"
	"testing"
)

// The time is linear whatever a text holds: twice the text is twice the work,
// counted in the bytes that a find is given to look at and an extend reads.
func TestWorkIsLinear(t *testing.T) {
	s, err := New(groups()...)
	if err != nil {
		t.Fatal(err)
	}
	work := 0
	for i := range s.anchors {
		a := &s.anchors[i]
		if a.back+a.ahead > 2048 {
			t.Errorf("an anchor of %s is given %d bytes at every pair", a.detector, a.back+a.ahead)
		}
		find, extend := a.find, a.extend
		a.find = func(window []byte, at int) (Finding, bool) {
			work += len(window)
			return find(window, at)
		}
		if extend != nil {
			a.extend = func(text []byte, f Finding) int {
				end := extend(text, f)
				if end < f.End {
					t.Errorf("%s: a finding was cut", a.detector)
				}
				work += end - f.End
				return end
			}
		}
	}
	of := func(text []byte) int {
		work = len(text)
		s.Append(nil, text, []byte("password"))
		return work
	}
	for _, unit := range hostileUnits {
		t.Run(fmt.Sprintf("%q", unit), func(t *testing.T) {
			one, two := of(bytes.Repeat([]byte(unit), 30_000/len(unit))), of(bytes.Repeat([]byte(unit), 60_000/len(unit)))
			if two > 2*one+two/10 {
				t.Errorf("%d bytes for the double of what took %d", two, one)
			}
		})
	}
}

// hostileUnits make texts, repeated, that set detectors off over and over.
var hostileUnits = []string{
	"sk-", "-sk-aaaaaaaaaaaaaaaaaaaa", "sk-a1B", "AKIA", "AIza", "ghp_", "xoxb-", "glpat-", "k.", "hooks.slack.com/services/", "8Q~",
	"eyJ", ".eyJ", "eyJhbGciOiJIUzI1NiJ9.", "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhdWRpdCJ9 ", "://", "a://a:a", "a://a:a@", "@", ":", "=", "token=", "token: ", "password=\"", "password:aaaaaaaa", "password=a1 ", "sig=",
	"-----BEGIN ", "-----BEGIN PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0", "-----END ", "bearer ", "basic YTpi", "hmac:", "\\u0020sk-", "%20eyJ",
	"a", "A", "1", "A1", "Zk9P", " ", "\x00", "\xff", "日本", "Zm9vYmFy0123+/==", "1.", "1.1.1.", "1:", "a@b.", "a@b.cd", "+1 ", "+1", "1-", "::", "2001:db8:", "DE89", " DE89", "4111-", " 411", "(212) ",
}

func BenchmarkHostile(b *testing.B) {
	for _, group := range groups() {
		s, err := New(group)
		if err != nil {
			b.Fatal(err)
		}
		for _, unit := range hostileUnits {
			text := bytes.Repeat([]byte(unit), 1<<20/len(unit))
			b.Run(fmt.Sprintf("%s/%q", group, unit), func(b *testing.B) {
				var found []Finding
				for b.Loop() {
					found = s.Append(found[:0], text, []byte("password"))
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(text)), "ns/byte")
			})
		}
	}
}
