package detect_test

import (
	"bytes"
	"strings"
	"testing"

	"auditrelay/internal/corpus"
	"auditrelay/internal/detect"
)

// BenchmarkEvents is all the leaves of ordinary events; the bytes are the events'.
func BenchmarkEvents(b *testing.B) {
	g := corpus.New(1)
	var all []leaf
	size := 0
	for range 200 {
		data := g.Next().Data
		size += len(data)
		all = leaves(all, data, false)
	}
	for _, group := range []string{"secrets"} {
		b.Run(group, func(b *testing.B) {
			s := newSet(b, group)
			var found []detect.Finding
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				found = found[:0]
				for _, l := range all {
					found = s.Append(found, l.text, l.key)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(size), "ns/byte")
			b.ReportMetric(float64(len(all))/200, "leaves/event")
		})
	}
}

// BenchmarkHostile is texts of 1 MB made to be slow.
func BenchmarkHostile(b *testing.B) {
	s := newSet(b, "secrets")
	for name, text := range hostile(1 << 20) {
		b.Run(name, func(b *testing.B) {
			var found []detect.Finding
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				found = s.Append(found[:0], text, []byte("password"))
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(text)), "ns/byte")
		})
	}
}

// hostile returns texts of n bytes that repeat what sets detectors off.
func hostile(n int) map[string][]byte {
	texts := make(map[string][]byte)
	for _, unit := range []string{
		"sk-", "-sk-aaaaaaaaaaaaaaaaaaaa", "AKIA", "AIza", "ghp_", "xoxb-", "glpat-", "k.", "hooks.slack.com/services/", "8Q~",
		"eyJ", ".eyJ", "eyJhbGciOiJIUzI1NiJ9.", "://", "a://a:a", "@", ":", "=", "token=", "token: ", "password=\"", "password:aaaaaaaa", "sig=",
		"-----BEGIN ", "-----BEGIN PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0", "-----END ", "bearer ", "basic YTpi", "hmac:", "\\u0020sk-", "%20eyJ",
		"a", "A", "1", "A1", "Zk9P", " ", "\x00", "\xff", "日本", "1.", "1:", "a@b.", "+1 ", "1-", "::", "DE89",
	} {
		texts[unit] = bytes.Repeat([]byte(unit), n/len(unit))
	}
	texts["base64"] = []byte(strings.Repeat("Zm9vYmFy0123+/==", n/16))
	return texts
}
