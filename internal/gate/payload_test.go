package gate

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"auditrelay"
	"auditrelay/internal/detect"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

func gzipped(s string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(s))
	_ = w.Close()
	return b.Bytes()
}

func zstandard(t *testing.T, s string) []byte {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll([]byte(s), nil)
}

// TestEverythingDerivedIsLookedAt plants the secret in everything that a sink derives.
func TestEverythingDerivedIsLookedAt(t *testing.T) {
	records := []auditrelay.Record{{Sequence: 1, ID: "a", Data: []byte(`{"a":1}`)}, {Sequence: 2, ID: "b", Data: []byte(`{"b":1}`)}}
	const clean = "{\"a\":1}\n{\"b\":1}\n"
	line := `{"envelope":"` + secret + `"}` + "\n"
	for name, p := range map[string]auditrelay.Payload{
		"key":                     {Key: "audit_logs/" + secret + ".json", Body: []byte(clean)},
		"key, escaped":            {Key: "audit_logs/s3cr3t%2Dv4lue.json", Body: []byte(clean)},
		"header":                  {Headers: map[string]string{"X-Tag": "a=" + secret}, Body: []byte(clean)},
		"header, escaped":         {Headers: map[string]string{"X-Tag": "s3cr3t%2dv4lue"}, Body: []byte(clean)},
		"header, long":            {Headers: map[string]string{"X-Tag": strings.Repeat("x", 100) + secret}, Body: []byte(clean)},
		"a line":                  {Body: []byte("{\"a\":1}\n" + line)},
		"a line too many":         {Body: []byte(clean + line)},
		"without a line feed":     {Body: []byte("{\"a\":1}\n" + strings.TrimSpace(line))},
		"gzip":                    {Body: gzipped("{\"a\":1}\n" + line)},
		"gzip, in two":            {Body: append(gzipped(clean), gzipped(line)...)},
		"zstd":                    {Body: zstandard(t, "{\"a\":1}\n"+line)},
		"zstd, in two":            {Body: append(zstandard(t, clean), zstandard(t, line)...)},
		"escaped":                 {Body: []byte("{\"a\":1}\n{\"b\":\"\\u00733cr3t-v4lue\"}\n")},
		"a record in an envelope": {Body: []byte("{\"a\":1}\n{\"event\":\"{\\\"b\\\":\\\"\\\\u00733cr3t-v4lue\\\"}\"}\n")},
		"an array":                {Body: []byte(`[{"a":1},{"b":"\u00733cr3t-v4lue"}]`)},
		"an array over lines":     {Body: []byte("[\n{\"a\":1},\n{\"b\":\"\\u00733cr3t-v4lue\"}\n]")},
		"one after the other":     {Body: []byte(`{"event":{"a":1}}{"event":{"b":"\u00733cr3t-v4lue"}}`)},
		"pretty":                  {Body: []byte("{\n \"events\": [\n  \"\\u00733cr3t-v4lue\"\n ]\n}\n")},
		"text":                    {Body: []byte("CEF:0|" + secret + "|\nCEF:0|b|\n")},
	} {
		t.Run(name, func(t *testing.T) {
			leak(t, looking(t, literal{text: secret}).Payload(&p, records), "detector literal")
		})
	}
	for name, body := range map[string][]byte{"plain": []byte(clean), "gzip": gzipped(clean), "zstd": zstandard(t, clean), "text": []byte("CEF:0|a\r\nCEF:0|b\r\n"), "none": nil} {
		if err := looking(t, literal{text: secret}).Payload(&auditrelay.Payload{Key: "k", Body: body}, records); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := looking(t, nil, "**.~password").Payload(&auditrelay.Payload{Body: []byte("{\"a\":1}\n{\"event\":{\"passWord\":\"x\"}}\n")}, records); err == nil {
		t.Error("a path that an envelope leads to passed")
	}
}

// TestWhatARecordHoldsIsNotLookedAtTwice: it has passed Document.
func TestWhatARecordHoldsIsNotLookedAtTwice(t *testing.T) {
	records := []auditrelay.Record{{Sequence: 1, Data: []byte(`{"a":1}`)}, {Sequence: 2, Data: []byte(`{"b":"` + secret + `"}`)}}
	p := auditrelay.Payload{Body: []byte("{\"a\":1}\n" + string(records[1].Data) + "\n")}
	if err := looking(t, literal{text: secret}).Payload(&p, records); err != nil {
		t.Errorf("got %v", err)
	}
	p.Body = []byte(string(records[1].Data) + "\n{\"a\":1}\n") // a record in another's place is checked again
	leak(t, looking(t, literal{text: secret}).Payload(&p, records), "detector literal")
}

func TestWhatIsUnreadableDoesNotLeave(t *testing.T) {
	sealed := gzipped("{}\n")
	for name, body := range map[string][]byte{
		"binary":         {1, 2, 3},
		"no UTF-8":       []byte("a\xff"),
		"damaged":        append([]byte(nil), sealed[:len(sealed)-3]...),
		"more behind":    append(append([]byte(nil), sealed...), 'x'),
		"gzip in gzip":   gzipped(string(sealed)),
		"half of a JSON": []byte(`{"a":"x`),
		"no JSON":        []byte(`{"a":"b"} and more, "\u00733cr3t-v4lue"`),
		"duplicate keys": []byte(`{"a":1,"a":"\u00733cr3t-v4lue"}`),
	} {
		err := looking(t, literal{text: secret}).Payload(&auditrelay.Payload{Body: body}, nil)
		if _, ok := errors.AsType[*UnreadableError](err); !ok || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestNamesAreLookedAtBeforeTheyAreEscaped: replacing a slash by an underscore hides nothing,
// and an omitted name does not count.
func TestNamesAreLookedAtBeforeTheyAreEscaped(t *testing.T) {
	id := "user/pass@host"
	r := []auditrelay.Record{{Sequence: 1, ID: id, Data: []byte(`{}`)}}
	i := looking(t, literal{text: "user/pass@"})
	leak(t, i.Payload(&auditrelay.Payload{Key: "audit_logs/user_pass_host.json", Body: []byte(`{}`)}, r), "detector literal")
	leak(t, i.Payload(&auditrelay.Payload{Headers: map[string]string{"X": "user-pass"}, Body: []byte(`{}`)}, r), "detector literal")
	if err := i.Payload(&auditrelay.Payload{Key: "dt=2026-01-01/1-2.ndjson", Body: []byte(`{}`)}, r); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestThePayloadsOwnDigestIsNoSecret(t *testing.T) {
	body := []byte("{}\n")
	sum := sha256.Sum256(body)
	i := looking(t, literal{text: base64.StdEncoding.EncodeToString(sum[:])})
	p := auditrelay.Payload{Key: "k", Body: body, Headers: map[string]string{"X-Amz-Checksum-Sha256": base64.StdEncoding.EncodeToString(sum[:])}}
	if err := i.Payload(&p, nil); err != nil {
		t.Errorf("got %v", err)
	}
	p.Body = []byte("[]\n")
	leak(t, i.Payload(&p, nil), "detector literal")
	i = looking(t, literal{text: hex.EncodeToString(sum[:])})
	p = auditrelay.Payload{Key: "k", Body: body, Headers: map[string]string{"X-Digest": hex.EncodeToString(sum[:])}}
	if err := i.Payload(&p, nil); err != nil {
		t.Errorf("got %v", err)
	}
}

// TestBodiesOfSeveralRecords: bodies of HTTP sinks, arrays over several lines and envelopes,
// are read record by record. Checked records are not checked again, but everything beside them
// is.
func TestBodiesOfSeveralRecords(t *testing.T) {
	c, err := detect.NewCatalogue(detect.Options{Exceptions: []detect.Exception{{Path: "sample"}}})
	if err != nil {
		t.Fatal(err)
	}
	g, err := New(Options{Detectors: []string{"secrets"}, Catalogue: c})
	if err != nil {
		t.Fatal(err)
	}
	const key = "AKIAIOSFODNN7ABCDEFG"
	one, two := `{"sample":"`+key+`"}`, `{"a":[1,{"b":2}]}`
	records := []auditrelay.Record{{Sequence: 1, Data: []byte(one)}, {Sequence: 2, Data: []byte(two)}}
	for name, tt := range map[string]struct {
		body string
		leak bool
	}{
		"lines":                   {one + "\n" + two + "\n", false},
		"an array":                {"[" + one + ",\n" + two + "]", false},
		"an array on one line":    {"[" + two + "," + two + "]", false},
		"envelopes":               {`{"time":1,"event":` + one + "}\n" + `{"time":1,"event":` + two + "}", false},
		"an array of envelopes":   {`[{"x":1,"event":` + one + "},\n" + `{"x":1,"event":` + two + "}]", false},
		"an array of texts":       {`[{"message":"{\"a\":1}"},` + "\n" + `{"message":"{\"a\":2}"}]`, false},
		"a secret in an envelope": {`{"note":"` + key + `","event":` + one + "}\n" + `{"time":1,"event":` + two + "}", true},
		"a secret in an array":    {"[" + one + ",\n" + `{"a":"` + key + `"}]`, true},
		"a secret in a text":      {`[{"message":"{\"a\":1}"},` + "\n" + `{"message":"{\"a\":\"` + key + `\"}"}]`, true},
		"a record in a text":      {one + "\n" + `{"a":"{\"sample\":\"` + key + `\"}"}`, true},
		"an array that is none":   {"[" + one + ",\n" + `{"a":"x"`, true},
	} {
		err := g.Inspector().Payload(&auditrelay.Payload{Key: "k", Body: []byte(tt.body)}, records)
		if (err != nil) != tt.leak {
			t.Errorf("%s: %v", name, err)
		}
	}
}
