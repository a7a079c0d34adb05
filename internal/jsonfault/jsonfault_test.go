package jsonfault_test

import (
	"encoding/json"
	"strings"
	"testing"

	"auditrelay/internal/jsonfault"
)

func TestExplain(t *testing.T) {
	for text, want := range map[string]string{
		`[1]`:                     "found array, expected an object",
		`{"name": 1}`:             "name: found number, expected a string",
		`{"on": "x"}`:             "on: found string, expected true or false",
		`{"count": -1}`:           "count: found number, expected a whole number from 0",
		`{"count": 1.5}`:          "count: found number, expected a whole number from 0",
		`{"rate": "fast"}`:        "rate: found string, expected a number",
		`{"size": true}`:          "size: found bool, expected a whole number",
		`{"list": {}}`:            "list: found object, expected a list",
		`{"list": [{"name":[]}]}`: "list.name: found array, expected a string",
		`{"other": 1}`:            `unknown field "other"`,
		`{"list": [`:              "not JSON: it ends too early",
		``:                        "not JSON: it ends too early",
		`{]`:                      "invalid character ']' looking for beginning of object key string",
	} {
		var into struct {
			Name  string  `json:"name"`
			On    bool    `json:"on"`
			Count uint64  `json:"count"`
			Size  int     `json:"size"`
			Rate  float64 `json:"rate"`
			List  []struct {
				Name string `json:"name"`
			} `json:"list"`
		}
		d := json.NewDecoder(strings.NewReader(text))
		d.DisallowUnknownFields()
		if err := jsonfault.Explain(d.Decode(&into)); err.Error() != want {
			t.Errorf("%s: %q, want %q", text, err, want)
		}
	}
}
