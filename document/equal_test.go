package document_test

import (
	"testing"

	"auditrelay/document"
)

func TestEqual(t *testing.T) {
	for _, row := range []struct {
		name, a, b string
		want       bool
	}{
		{"the same bytes", `{"a":1}`, `{"a":1}`, true},
		{"other order", `{"a":1,"b":2}`, `{ "b":2, "a":1 }`, true},
		{"other order, deep", `{"x":[{"a":1,"b":2}]}`, `{"x":[{"b":2,"a":1}]}`, true},
		{"elements in other order", `{"x":[1,2]}`, `{"x":[2,1]}`, false},
		{"numbers by value", `{"a":[1,1.0,10,-0,0.5,12345678901234567890.10]}`, `{"a":[1.0,1e0,1E+1,0,5e-1,1.23456789012345678901e19]}`, true},
		{"numbers that floats cannot tell apart", `{"a":10000000000000001}`, `{"a":10000000000000000}`, false},
		{"exponents beyond use", `{"a":1e99999999999999999999}`, `{"a":1e99999999999999999998}`, false},
		{"escapes", `{"\u0061":"\u00e9\/"}`, `{"a":"é/"}`, true},
		{"a number is no string", `{"a":1}`, `{"a":"1"}`, false},
		{"null is absent", `{"a":1,"object_alias":null}`, `{"a":1}`, true},
		{"null is not absent in a value", `{"before_value":{"a":null}}`, `{"before_value":{}}`, false},
		{"empty is not absent", `{"changed_by":""}`, `{}`, false},
		{"text or object", `{"before_value":"{\"a\":1,\"b\":[true]}"}`, `{"before_value":{"b":[true],"a":1.0}}`, true},
		{"text or object, differing", `{"updated_values":"{\"a\":1}"}`, `{"updated_values":{"a":2}}`, false},
		{"text or scalar", `{"updated_values":"5"}`, `{"updated_values":5}`, true},
		{"text that is null", `{"before_value":"null"}`, `{}`, true},
		{"text elsewhere is text", `{"metadata":"{}"}`, `{"metadata":{}}`, false},
		{"unparsable texts by bytes", `{"before_value":"{'a': 1}"}`, `{"before_value":"{'a':1}"}`, false},
		{"duplicate keys do not parse", `{"before_value":"{\"a\":1,\"a\":1}"}`, `{"before_value":{"a":1}}`, false},
		{"time in another format", `{"updated_at":"2026-03-04T10:11:12+00:00"}`, `{"updated_at":"2026-03-04 10:11:12Z"}`, true},
		{"time without an offset", `{"updated_at":"2026-03-04T10:11:12.5"}`, `{"updated_at":"2026-03-04T12:11:12.500+02:00"}`, true},
		{"time as the database prints it", `{"updated_at":"2026-03-04T10:11:12.123456+00:00"}`, `{"updated_at":"2026-03-04 10:11:12.123+00"}`, true},
		{"time cut off", `{"updated_at":"2026-03-04T10:11:12.123999Z"}`, `{"updated_at":"2026-03-04T10:11:12.123Z"}`, true},
		{"time rounded", `{"updated_at":"2026-03-04T10:11:12.123999Z"}`, `{"updated_at":"2026-03-04T10:11:12.124Z"}`, true},
		{"another millisecond", `{"updated_at":"2026-03-04T10:11:12.123Z"}`, `{"updated_at":"2026-03-04T10:11:12.124Z"}`, false},
		{"no time", `{"updated_at":"yesterday"}`, `{"updated_at":"today"}`, false},
		{"no time at all", `{"updated_at":""}`, `{"updated_at":"2026-03-04T10:11:12Z"}`, false},
		{"an empty time is not absent", `{"updated_at":""}`, `{}`, false},
		{"an unknown field more", `{"a":1}`, `{"a":1,"x":1}`, false},
		{"a field more that the table lacks", `{"a":1,"object_alias":"x","changed_by_user_email":null}`, `{"a":1}`, true},
		{"such a field on both sides, the same", `{"a":1,"object_team_id":"\u0078"}`, `{"a":1,"object_team_id":"x"}`, true},
		{"such a field on both sides, differing", `{"a":1,"object_team_alias":"x"}`, `{"a":1,"object_team_alias":"y"}`, false},
		{"such fields, and another that differs", `{"a":1,"changed_by_key_alias":"x"}`, `{"a":2}`, false},
		{"no JSON", `{"a":1`, `{"a":1 `, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			if document.Equal([]byte(row.a), []byte(row.b)) != row.want || document.Equal([]byte(row.b), []byte(row.a)) != row.want {
				t.Errorf("not %v: %s and %s", row.want, row.a, row.b)
			}
		})
	}
	if !document.Equal([]byte(objectEvent), []byte(textEvent)) {
		t.Error("an event and itself with its values as text are not equal")
	}
}
