package detect

import (
	"bytes"
	"encoding/base64"
)

// jwtHeader is how much of a JWT's first part is looked at. Those with a chain of
// certificates are longer, and name their algorithm first as a rule.
const jwtHeader = 512

// jwtPart is the fewest characters of the second part.
const jwtPart = 8

// jwt finds JSON Web Tokens, signed or encrypted, by a header that decodes and
// names an algorithm; also those that were cut short in or behind the second part.
func jwt() anchor {
	set := charsetOf("A-Za-z0-9_.-")
	return anchor{
		pattern: literal("eyJ"), back: 2 + escapeBytes, ahead: jwtHeader + 1 + jwtPart,
		find: func(window []byte, at int) (Finding, bool) {
			start := at - 2
			if start < 0 || window[start] != 'e' || window[at] != 'J' || !begins(window, start) {
				return Finding{}, false
			}
			header := window[start:]
			n := base64URL.span(header)
			if n < jwtHeader && (n == len(header) || header[n] != '.' || base64URL.span(header[n+1:]) < jwtPart) {
				return Finding{}, false
			}
			var room [jwtHeader/4*3 + 3]byte
			decoded, _ := base64.RawURLEncoding.Decode(room[:], header[:min(n, jwtHeader)])
			return Finding{Start: start, End: start + n}, bytes.Contains(room[:decoded], []byte(`"alg"`))
		},
		extend: func(text []byte, f Finding) int { return f.End + set.span(text[f.End:]) },
	}
}
