package postgres

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// unstorable reports whether LiteLLM's table cannot contain the event. LiteLLM's callbacks get
// an event before the database does, and jsonb rejects NaN, Infinity, the null character and
// half a surrogate pair. Text columns reject the null character.
func unstorable(data []byte) (is bool) {
	gjson.ParseBytes(data).ForEach(func(key, value gjson.Result) bool {
		switch name := key.Str; {
		case name == "before_value" || name == "updated_values":
			text := []byte(value.Raw)
			if value.Type == gjson.String {
				text = []byte(value.Str)
			}
			is = !json.Valid(text) || refusedEscape(text)
		case value.Type == gjson.String:
			is = strings.IndexByte(value.Str, 0) >= 0
		}
		return !is
	})
	return is
}

// refusedEscape reports whether valid JSON has an escape that jsonb rejects.
func refusedEscape(text []byte) bool {
	for {
		i := bytes.IndexByte(text, '\\')
		if i < 0 {
			return false
		}
		r := escaped(text[i:])
		switch {
		case r == 0, r >= 0xdc00 && r <= 0xdfff:
			return true
		case r >= 0xd800 && r <= 0xdbff:
			if low := escaped(text[i+6:]); low < 0xdc00 || low > 0xdfff {
				return true
			}
			i += 10
		}
		text = text[i+2:]
	}
}

// escaped returns the code unit of a \u escape at the start of text, or -1 if there is none.
func escaped(text []byte) int {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return -1
	}
	n, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return int(n)
}
