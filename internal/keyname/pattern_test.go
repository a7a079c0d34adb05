package keyname

import "testing"

// Keys are compared as people read them: invisible characters and the width of letters do not
// matter.
func TestKeysAsRead(t *testing.T) {
	for key, want := range map[string]string{
		"apiKey":                               "api_key",
		"API-KEY":                              "api_key",
		"\ufeffapi_key":                        "api_key", // the first column of a CSV file
		"api_key\r":                            "api_key", // the last column
		"\tapi_key\n":                          "api_key",
		"api\nkey":                             "api_key",
		"api_\u200bkey":                        "api_key",
		"ap\u200di\u2060_ke\u00ady":            "api_key",
		"\u202eapi_key\u202c":                  "api_key",
		"api_key\ufe0f":                        "api_key",
		"ａｐｉ＿ｋｅｙ":                              "api_key",
		"ＡｐｉＫｅｙ":                               "api_key",
		"api\x00key":                           "api_key",
		"\u200b":                               "",
		"p\u0430ssw\u043erd":                   "password", // Cyrillic letters
		"P\u0410SSW\u041eRD":                   "password",
		"\u0440assword":                        "password",
		"user_t\u03bfken":                      "user_token", // a Greek letter
		"\u0410PI-k\u0435y":                    "api_key",
		"passwо\u0433d":                        "password",
		"\u0441\u0435\u043a\u0440\u0435\u0442": "\u0421\u0415\u041a\u0420\u0415\u0422", // a word of one script
		"my_\u0441\u0435\u043a\u0440\u0435\u0442":      "my_\u0421\u0415\u041a\u0420\u0415\u0422",
		"my\u043f\u0430\u0440\u043e\u043b\u044c":       "my\u041f\u0410\u0420\u041e\u041b\u042c",
		"ap\u03b9_key":                                 "api_key",
		"\U0001d429\U0001d41a\U0001d42c\U0001d42cword": "password", // in bold
		"passé": "passÉ",
		"鍵":     "鍵",
	} {
		if got := string(AppendSnake(nil, []byte(key))); got != want {
			t.Errorf("%q: %q, want %q", key, got, want)
		}
	}
}
