package gate

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"auditrelay"
	"auditrelay/document"
	"auditrelay/internal/detect"
	"auditrelay/internal/test/corpus"
)

// literal finds one text, and every value under one key.
type literal struct{ text, key string }

func (l literal) Append(dst []detect.Finding, text []byte, name detect.Name) []detect.Finding {
	if i := strings.Index(string(text), l.text); l.text != "" && i >= 0 {
		dst = append(dst, detect.Finding{Start: i, End: i + len(l.text), Detector: "literal"})
	}
	if l.key != "" && name.Tells() && string(text) != "" {
		dst = append(dst, detect.Finding{End: len(text), Detector: "neighbour"})
	}
	return dst
}

const secret = "s3cr3t-v4lue"

func looking(t *testing.T, f finder, paths ...string) *Inspector {
	t.Helper()
	g := &Gate{finder: f}
	for _, text := range paths {
		p, err := document.ParsePath(text)
		if err != nil {
			t.Fatal(err)
		}
		g.paths = append(g.paths, path{Path: p, text: text})
	}
	return g.Inspector()
}

// quoted returns s as a JSON string.
func quoted(s string) string { return fmt.Sprintf("%q", s) }

// leak checks that err is a leak of want, and that it contains no value.
func leak(t *testing.T, err error, rule string) {
	t.Helper()
	l, ok := errors.AsType[*Leak](err)
	if !ok || l.Rule != rule || l.Cause != auditrelay.CauseLeak {
		t.Fatalf("got %v, want a leak by %q", err, rule)
	}
	if strings.Contains(l.Error(), secret) {
		t.Errorf("the error tells the value: %v", l)
	}
}

// TestEveryLeafIsLookedAt plants the secret in every position that a document has.
func TestEveryLeafIsLookedAt(t *testing.T) {
	escaped := `s\u00333cr3t-v4lue` // not the secret: decoded it has a second 3
	for name, data := range map[string]string{
		"top level":                      `{"a":"x ` + secret + `"}`,
		"key":                            `{"x-` + secret + `":null}`,
		"key, escaped":                   `{"s\u0033cr3t-v4lue":1}`,
		"value, escaped":                 `{"a":"\u00733cr3t-v4lue"}`,
		"nested":                         `{"a":{"b":[{"c":"` + secret + `"}]}}`,
		"in an array":                    `{"a":[1,["` + secret + `"]]}`,
		"object_id":                      `{"object_id":"` + secret + `"}`,
		"changed_by_api_key":             `{"changed_by_api_key":"` + secret + `"}`,
		"in a JSON string":               `{"updated_values":` + quoted(`{"a":"`+secret+`"}`) + `}`,
		"key in a JSON string":           `{"updated_values":` + quoted(`{"`+secret+`":1}`) + `}`,
		"twice nested":                   `{"updated_values":` + quoted(`{"a":`+quoted(`["`+secret+`"]`)+`}`) + `}`,
		"escaped in a JSON string":       `{"updated_values":` + quoted(`{"a":"\u00733cr3t-v4lue"}`) + `}`,
		"in what is no JSON":             `{"updated_values":` + quoted(`{"a":"`+secret) + `}`,
		"escaped in what is no JSON":     `{"updated_values":` + quoted(`{"a":NaN,"b":"\u00733cr3t-v4lue"}`) + `}`,
		"twice escaped in what is none":  `{"updated_values":` + quoted(`{"a":NaN,"b":"{\"c\":\"\\u00733cr3t-v4lue\"}"}`) + `}`,
		"behind many":                    `{"a":[` + strings.Repeat(`1,`, 5000) + `"` + secret + `"]}`,
		"at depth":                       strings.Repeat(`{"a":`, 400) + `"` + secret + `"` + strings.Repeat(`}`, 400),
		"in a JSON string, white spaced": `{"a":` + quoted("\n [ \""+secret+"\" ] ") + `}`,
	} {
		t.Run(name, func(t *testing.T) {
			i := looking(t, literal{text: secret})
			leak(t, i.Document([]byte(data)), "detector literal")
		})
	}
	clean := looking(t, literal{text: secret})
	for _, data := range []string{`{}`, `{"a":"` + escaped + `","b":[1,true,null,{}]}`, `{"a":"s3cr3t","b":"-v4lue"}`} {
		if err := clean.Document([]byte(data)); err != nil {
			t.Errorf("%s: %v", data, err)
		}
	}
}

func TestNumbersAndNeighbours(t *testing.T) {
	leak(t, looking(t, literal{text: "4111111111111111"}).Document([]byte(`{"a":{"n":4111111111111111}}`)), "detector literal")
	i := looking(t, literal{key: "token"})
	for _, data := range []string{`{"token":"x"}`, `{"a":{"token":1}}`, `{"t\u006fken":["x"]}`, `{"a":` + quoted(`{"token":["x"]}`) + `}`} {
		leak(t, i.Document([]byte(data)), "detector neighbour")
	}
	for _, data := range []string{`{"token":""}`, `{"token":null}`, `{"token":{"a":"x"}}`, `{"a":"token"}`} {
		if err := i.Document([]byte(data)); err != nil {
			t.Errorf("%s: %v", data, err)
		}
	}
}

func TestPathsMayHoldNothing(t *testing.T) {
	const pseudonym = `hmac:v1:56c18bd2ac6a5ef8c338f6203cadc0cf`
	for value, ok := range map[string]bool{
		`null`: true, `""`: true, `"***"`: true, `"` + pseudonym + `"`: true,
		`"****"`: false, `" "`: false, `"x"`: false, `0`: false, `false`: false, `true`: false, `{}`: false, `[]`: false, `[null]`: false,
		`"` + pseudonym + `0"`: false, `"hmac:v1:56C18BD2AC6A5EF8C338F6203CADC0CF"`: false, `"x` + pseudonym + `"`: false,
		`"hmac:a secret:56c18bd2ac6a5ef8c338f6203cadc0cf"`: false, `"hmac::56c18bd2ac6a5ef8c338f6203cadc0cf"`: false,
		`"hmac:team.2:56c18bd2ac6a5ef8c338f6203cadc0cf"`: true, `"hmac:team.999999:56c18bd2ac6a5ef8c338f6203cadc0cf"`: true,
		`"hmac:team.:56c18bd2ac6a5ef8c338f6203cadc0cf"`: false, `"hmac:team.0:56c18bd2ac6a5ef8c338f6203cadc0cf"`: false,
		`"hmac:team.1234567:56c18bd2ac6a5ef8c338f6203cadc0cf"`: false, `"hmac:team.1.2:56c18bd2ac6a5ef8c338f6203cadc0cf"`: false,
		`"hmac:team:68756e746572322d46616c6c2d32362d"`: false, `"hmac:team:68756e746572322d46616c6c2d783100"`: true, // 16 printable bytes, 15 printable bytes
		`"hmac:team.secret:56c18bd2ac6a5ef8c338f6203cadc0cf"`: false, `"hmac:.2:56c18bd2ac6a5ef8c338f6203cadc0cf"`: false,
	} {
		for _, form := range []string{`{"password":%s}`, `{"a":{"Pass_Word":%s}}`, `{"a":[{"password":null},{"passWord":%s}]}`} {
			data := fmt.Sprintf(form, value)
			inside := `{"updated_values":` + quoted(data) + `}`
			for _, d := range []string{data, inside} {
				err := looking(t, nil, "**.~pass_word", "**.~password").Document([]byte(d))
				if ok && err != nil {
					t.Errorf("%s: %v", d, err)
				}
				if l, is := errors.AsType[*Leak](err); !ok && (!is || !strings.HasPrefix(l.Rule, "path **.~")) {
					t.Errorf("%s: %v", d, err)
				}
			}
		}
	}
}

// TestWhatCannotBeReadIsShut: if a path must not leave, a text that resembles JSON but is
// invalid might contain the path, so it is refused.
func TestWhatCannotBeReadIsShut(t *testing.T) {
	i := looking(t, nil, "**.~password")
	for _, text := range []string{`{"password":"x"`, `{"password":nan}`, `{'password': 'x'}`, `[{"password" : "x"}`} {
		leak(t, i.Document([]byte(`{"updated_values":`+quoted(text)+`}`)), "paths")
	}
	for _, text := range []string{`{"password":NaN}`, `{"password":null,"password":"x"}`, `{"a":{"password":"x"},"a":1}`} { // readable as a whole
		leak(t, i.Document([]byte(`{"updated_values":`+quoted(text)+`}`)), "path **.~password")
	}
	for _, text := range []string{`{name}: hello`, `[info] it is 10:30`, `{`, `[`, `a {"b":1}`} {
		if err := i.Document([]byte(`{"reason":` + quoted(text) + `}`)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, data := range []string{``, `[]`, `{"a":1,"a":2}`, `{"a":`, `nonsense`} {
		if err := i.Document([]byte(data)); err == nil {
			t.Errorf("%q passed as a document", data)
		}
	}
}

type panicking struct{}

func (panicking) Append([]detect.Finding, []byte, detect.Name) []detect.Finding { panic(secret) }

func TestAGateThatPanicsIsShut(t *testing.T) {
	i := looking(t, panicking{})
	for _, err := range []error{i.Document([]byte(`{"a":"x"}`)), i.Text([]byte("x")), i.Payload(&auditrelay.Payload{Key: "k"}, nil)} {
		l, ok := errors.AsType[*Leak](err)
		if !ok || l.Cause != auditrelay.CausePanic || strings.Contains(l.Error(), secret) {
			t.Errorf("got %v", err)
		}
	}
}

func TestNothingAskedForIsNoGate(t *testing.T) {
	g, err := New(Options{})
	if g != nil || err != nil || g.Inspector() != nil {
		t.Errorf("got %v, %v", g, err)
	}
	if _, err := New(Options{Detectors: []string{"sekrets"}, Paths: []string{"a..b"}}); err == nil ||
		!strings.Contains(err.Error(), "sekrets") || !strings.Contains(err.Error(), "a..b") {
		t.Errorf("got %v", err)
	}
}

func TestInspectionAllocatesNothing(t *testing.T) {
	i := looking(t, literal{text: secret}, "**.~password")
	data := []byte(`{"id":"x","object_id":"y","updated_values":"{\"models\":[\"a\",\"b\"],\"n\":1.5}","before_value":{"a":{"b":"c\u00e9"}}}`)
	if n := testing.AllocsPerRun(100, func() {
		if err := i.Document(data); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations a document", n)
	}
}

func BenchmarkDocument(b *testing.B) {
	i := (&Gate{finder: literal{text: secret}}).Inspector()
	data := []byte(`{"id":"0d1a","updated_values":` + quoted(`{"models":["`+strings.Repeat("m", 700)+`"],"a":{"b":1,"c":"d"}}`) + `}`)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if err := i.Document(data); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzInspector(f *testing.F) {
	f.Add([]byte(`{"a":"{\"b\":[1,\"x\"]}"}`))
	f.Add([]byte(`{"a":"{\"b\":\"\\\\u0073\"`))
	f.Fuzz(func(t *testing.T, data []byte) {
		i := looking(t, literal{text: secret}, "**.~password", "a.*")
		check := func(err error) {
			if l, ok := errors.AsType[*Leak](err); ok && l.Cause == auditrelay.CausePanic {
				t.Error(err)
			}
		}
		check(i.Text(data))
		check(i.Document(data))
		check(i.Payload(&auditrelay.Payload{Body: data}, nil))
		if bytes.Contains(data, []byte(secret)) && i.Text(data) == nil {
			t.Errorf("%q passed", data)
		}
	})
}

// BenchmarkSecrets measures the gate's cost for one event of 0.9 KB.
func BenchmarkSecrets(b *testing.B) {
	g, err := New(Options{Detectors: []string{"secrets"}, Paths: []string{"**.~password"}})
	if err != nil {
		b.Fatal(err)
	}
	i, data := g.Inspector(), corpus.New(1).Next().Data
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if err := i.Document(data); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPayload measures the cost of checking 1000 records that the sink rendered as lines,
// compressed.
func BenchmarkPayload(b *testing.B) {
	g, err := New(Options{Detectors: []string{"secrets"}})
	if err != nil {
		b.Fatal(err)
	}
	var body []byte
	var records []auditrelay.Record
	events := corpus.New(1)
	for s := range 1000 {
		e := events.Next()
		records = append(records, auditrelay.Record{Sequence: uint64(s), ID: e.ID, Data: e.Data})
		body = append(append(body, e.Data...), '\n')
	}
	p := auditrelay.Payload{Key: "k", Body: gzipped(string(body))}
	i := g.Inspector()
	for b.Loop() {
		if err := i.Payload(&p, records); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(records)), "ns/record")
}
