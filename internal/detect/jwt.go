package detect

import (
	"bytes"
	"encoding/base64"
)

// jwtHeader is the number of bytes scanned of a JWT's first part. Headers with a certificate
// chain are longer, and usually begin with the algorithm.
const jwtHeader = 512

// jwtPart is the minimum length of the second part.
const jwtPart = 8

// jwt finds signed and encrypted JSON Web Tokens: the header must decode and name an algorithm.
// Tokens truncated in or after the second part count too.
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
