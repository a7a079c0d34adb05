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
		{"the same millisecond three ways", `{"updated_at":"2026-01-01T00:00:00+00:00"}`, `{"updated_at":"2026-01-01T00:00:00.000Z"}`, true},
		{"as isoformat and as a timestamp(3) prints it", `{"updated_at":"2026-01-01T00:00:00+00:00"}`, `{"updated_at":"2026-01-01 00:00:00"}`, true},
		{"as a timestamp(3) prints tenths", `{"updated_at":"2026-01-01T00:00:00.120000+00:00"}`, `{"updated_at":"2026-01-01 00:00:00.12"}`, true},
		{"in small letters", `{"updated_at":"2026-01-01t00:00:00z"}`, `{"updated_at":"2026-01-01T00:00:00Z"}`, true},
		{"without seconds", `{"updated_at":"2026-01-01T00:00Z"}`, `{"updated_at":"2026-01-01T00:00:00Z"}`, true},
		{"an offset with seconds", `{"updated_at":"1890-06-01T02:00:00+00:19:32"}`, `{"updated_at":"1890-06-01T01:40:28Z"}`, true},
		{"digits beyond nanoseconds", `{"updated_at":"2026-01-01T00:00:00.12345678901Z"}`, `{"updated_at":"2026-01-01T00:00:00.123Z"}`, true},
		{"an hour apart", `{"updated_at":"2026-01-01T00:00:00+01:00"}`, `{"updated_at":"2026-01-01T00:00:00Z"}`, false},
		{"a time and null", `{"updated_at":"2026-01-01T00:00:00Z"}`, `{"updated_at":null}`, false},
		{"time null and absent", `{"updated_at":null}`, `{}`, true},
		{"NaN in both texts", `{"before_value":"{\"a\": NaN}"}`, `{"before_value":"{\"a\": N\u0061N}"}`, true},
		{"NaN in texts of other form", `{"before_value":"{\"a\": NaN}"}`, `{"before_value":"{\"a\":NaN}"}`, false},
		{"NaN and Infinity", `{"before_value":"[NaN]"}`, `{"before_value":"[Infinity]"}`, false},
		{"NaN in a text, null in a value", `{"before_value":"{\"a\": NaN}"}`, `{"before_value":{"a":null}}`, false},
		{"a text with space around", `{"before_value":" {\"a\": 1}\n"}`, `{"before_value":{"a":1}}`, true},
		{"a text of text", `{"before_value":"\"abc\""}`, `{"before_value":"abc"}`, true},
		{"numbers in text and value", `{"updated_values":"{\"spend\": 1.50, \"n\": 1e2, \"z\": -0.0}"}`, `{"updated_values":{"n":100,"spend":1.5,"z":0}}`, true},
		{"escapes in text and value", `{"updated_values":"{\"n\": \"\\u00e9\"}"}`, `{"updated_values":{"n":"é"}}`, true},
		{"a text that is cut", `{"updated_values":"{\"a\": 1"}`, `{"updated_values":{"a":1}}`, false},
		{"an empty text is not null", `{"updated_values":""}`, `{"updated_values":null}`, false},
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

// AppendCanonical omits the time, for callers that compare it with SameTime. An invalid time
// cannot be compared so, and is included with its bytes.
func TestAppendCanonicalOfTimes(t *testing.T) {
	for _, row := range []struct {
		a, b string
		want bool
	}{
		{"2026-01-01T00:00:00Z", "2027-01-01T00:00:00+00:00", true},
		{"yesterday", "today", false},
		{"yesterday", `yester\u0064ay`, true},
		{"", "2026-01-01T00:00:00Z", false},
	} {
		of := func(s string) string {
			text, ok := document.AppendCanonical(nil, []byte(`{"id":"a","updated_at":"`+s+`"}`))
			if !ok {
				t.Fatal(s)
			}
			return string(text)
		}
		if (of(row.a) == of(row.b)) != row.want {
			t.Errorf("not %v: %s and %s", row.want, of(row.a), of(row.b))
		}
	}
}
