package redact_test

import (
	"strings"
	"testing"
)

// changed_fields names the changed members, compared before masking, and contains no secret.
func TestChangedFields(t *testing.T) {
	r := open(t, policy(t, `{preset: litellm, changed_fields: true}`))
	for in, want := range map[string]string{
		`{"before_value":{"password":"aaaaaa11","alias":"x"},"updated_values":{"password":"bbbbbb22","alias":"x","new":1}}`: `"changed_fields":["new","password"]`,
		`{"before_value":"{\"a\":1,\"b\":[1]}","updated_values":"{\"a\":1,\"b\":[2]}"}`:                                     `"changed_fields":["b"]`,
		`{"before_value":{"a":1},"updated_values":{"a":1},"changed_fields":["everything"]}`:                                 `"changed_fields":[]`,
		`{"before_value":{},"updated_values":{"sk-abcdefghijklmnopqrstuv12":1}}`:                                            `"changed_fields":["***"]`,
	} {
		out, _ := r.apply(t, []byte(in))
		if !strings.Contains(string(out), want) || strings.Contains(string(out), "everything") {
			t.Errorf("%s became %s, want %s", in, out, want)
		}
	}
	// A secret that is also a member's name is redacted there, and in the list too.
	const secret = "Tr0ub4dor-x9Qz77"
	for _, value := range []string{`{"password":"` + secret + `","` + secret + `":1}`, `{"password":"` + secret + `","a ` + secret + `":1}`} {
		out, _ := r.apply(t, []byte(`{"before_value":{},"updated_values":`+value+`}`))
		if strings.Contains(string(out), secret) || !strings.Contains(string(out), `"password"]`) {
			t.Errorf("%s", out)
		}
	}
	for _, in := range []string{`{"before_value":null,"updated_values":{"a":1}}`, `{"updated_values":{"a":1}}`, `{"before_value":"x","updated_values":{"a":1}}`} {
		if out, _ := r.apply(t, []byte(in)); strings.Contains(string(out), "changed_fields") {
			t.Errorf("%s became %s", in, out)
		}
	}
	plain := open(t, policy(t, `{preset: litellm}`))
	if out, _ := plain.apply(t, []byte(`{"before_value":{"a":1},"updated_values":{"a":2}}`)); strings.Contains(string(out), "changed_fields") {
		t.Errorf("without the option: %s", out)
	}
}
