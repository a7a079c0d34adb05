package redact_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"

	"auditrelay/internal/test/vectors"
)

// encodings are encodings of a whole secret.
var encodings = map[string]func(s string) string{
	"base64":     func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
	"base64 url": func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) },
	"hex":        func(s string) string { return hex.EncodeToString([]byte(s)) },
	"HEX":        func(s string) string { return strings.ToUpper(hex.EncodeToString([]byte(s))) },
	"url":        url.QueryEscape,
	"every %":    func(s string) string { return each(s, "%%%02X") },
	"html":       html.EscapeString,
	"every &#":   func(s string) string { return each(s, "&#%d;") },
	"every &#x":  func(s string) string { return each(s, "&#x%x;") },
	`every \u`:   func(s string) string { return each(s, `\u%04x`) },
	`every \x`:   func(s string) string { return each(s, `\x%02x`) },
	`\u of signs`: func(s string) string {
		return strings.NewReplacer("-", `\u002d`, "_", `\u005f`, "=", `\u003d`, `"`, `\u0022`, ":", `\u003a`).Replace(s)
	},
}

// layered are nested encodings.
var layered = map[string]func(s string) string{
	"base64 twice":           func(s string) string { return encodings["base64"](encodings["base64"](s)) },
	"base64 of base64 url":   func(s string) string { return encodings["base64"](encodings["base64 url"](s)) },
	"base64 of hex":          func(s string) string { return encodings["base64"](encodings["hex"](s)) },
	"base64 of JSON":         func(s string) string { return encodings["base64"](`{"note": ` + jsonText(s) + `}`) },
	"base64 in JSON, base64": func(s string) string { return encodings["base64"](`{"data": "` + encodings["base64"](s) + `"}`) },
	"url twice":              func(s string) string { return url.QueryEscape(encodings["every %"](s)) },
	"url of base64":          func(s string) string { return encodings["every %"](encodings["base64"](s)) },
	"gzip":                   gzipped,
	"base64 of base64 gzip":  func(s string) string { return encodings["base64"](gzipped(s)) },
	"gzip of a longer text":  func(s string) string { return gzipped(strings.Repeat("nothing. ", 300) + s) },
	"gzip, cut short":        func(s string) string { g := gzipped(s + strings.Repeat(" and more", 40)); return g[:len(g)-12] },
}

func gzipped(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(s))
	_ = w.Close()
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

// TestLayers: the same for a secret that is encoded twice or compressed.
func TestLayers(t *testing.T) { testEncoded(t, layered) }

func each(s, format string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, format, s[i])
	}
	return b.String()
}

// TestEncodedSecrets: an encoded secret, as a value or in a sentence, does not pass filter and
// gate.
func TestEncodedSecrets(t *testing.T) { testEncoded(t, encodings) }

func testEncoded(t *testing.T, encodings map[string]func(s string) string) {
	filter := open(t, policy(t, `{preset: litellm}`))
	inspector := secretsGate(t)
	random := rand.New(rand.NewPCG(21, 2026))
	total, passed := 0, 0
	for _, form := range vectors.Encodable {
		for name, encode := range encodings {
			for place, context := range map[string]string{"leaf": "%s", "sentence": "Ann put %s there, yesterday."} {
				encoded := encode(vectors.Grow(random, form))
				event, err := json.Marshal(map[string]any{"updated_values": map[string]any{"x": fmt.Sprintf(context, encoded)}})
				if err != nil {
					t.Fatal(err)
				}
				total++
				out, _ := filter.apply(t, event)
				if string(out) != string(event) {
					continue
				}
				inspector.Forget()
				if inspector.Document(out) == nil {
					passed++
					t.Logf("passes, %s, %s: %.120s", name, place, event)
				}
			}
		}
	}
	if t.Logf("%d of %d pass", passed, total); passed*50 > total {
		t.Error("more than one in fifty")
	}
}
