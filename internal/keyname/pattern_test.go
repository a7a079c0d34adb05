package keyname

import "testing"

// Keys are compared as people read them: invisible characters and the width of letters do not
// matter.
func TestKeysAsRead(t *testing.T) {
	for key, want := range map[string]string{
		"apiKey":                    "api_key",
		"API-KEY":                   "api_key",
		"\ufeffapi_key":             "api_key", // the first column of a CSV file
		"api_key\r":                 "api_key", // the last column
		"\tapi_key\n":               "api_key",
		"api\nkey":                  "api_key",
		"api_\u200bkey":             "api_key",
		"ap\u200di\u2060_ke\u00ady": "api_key",
		"\u202eapi_key\u202c":       "api_key",
		"api_key\ufe0f":             "api_key",
		"ａｐｉ＿ｋｅｙ":                   "api_key",
		"ＡｐｉＫｅｙ":                    "api_key",
		"api\x00key":                "api_key",
		"\u200b":                    "",
		"passé":                     "passÉ",
		"鍵":                         "鍵",
	} {
		if got := string(AppendSnake(nil, []byte(key))); got != want {
			t.Errorf("%q: %q, want %q", key, got, want)
		}
	}
}
