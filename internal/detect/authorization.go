package detect

import (
	"bytes"
	"encoding/base64"
)

const (
	// bearerLeast is the minimum length of a token after "Bearer".
	bearerLeast = 16
	// bearerMost is the maximum length of a bare token.
	bearerMost = 1024
	// basicLeast is the minimum length of the decoded value after "Basic": user:pw.
	basicLeast = 8
)

// authorization finds credentials after "Bearer " and "Basic " (in any case): a random token,
// or base64 of printable characters that include a colon.
func authorization() []anchor {
	set := charsetOf("A-Za-z0-9._~+/=-")
	one := func(scheme string, secret func(token []byte) bool) anchor {
		return anchor{
			pattern: append(literal(scheme), white), back: len(scheme) + escapeBytes, ahead: 8 + 128,
			find: func(window []byte, at int) (Finding, bool) {
				if !begins(window, max(0, at-len(scheme))) {
					return Finding{}, false
				}
				start := at + 1
				for start < len(window) && start < at+8 && white[window[start]] {
					start++
				}
				token := window[start:]
				token = token[:set.span(token)]
				return Finding{Start: start, End: start + len(token)}, secret(token)
			},
			extend: func(text []byte, f Finding) int { return f.End + set.span(text[f.End:]) },
		}
	}
	return []anchor{
		one("bearer", func(t []byte) bool { return len(t) >= bearerLeast && random(t) }),
		{pattern: append(literal("bearer"), white), findIn: bearerAlone},
		one("basic", func(t []byte) bool { return len(t) >= basicLeast && userAndPassword(t) }),
	}
}

// bearerAlone finds the token of a text that consists of "Bearer " and one word. A header value
// has this form, and nobody writes one with a plain word.
func bearerAlone(text []byte, at int) (Finding, bool) {
	start := at + 1
	value := bytes.TrimSpace(text[start:])
	start += bytes.Index(text[start:], value)
	if len(bytes.TrimSpace(text[:at-len("bearer")])) > 0 || len(value) > bearerMost || !strong(token, value, schemed) {
		return Finding{}, false
	}
	return Finding{Start: start, End: start + len(value)}, true
}

func userAndPassword(token []byte) bool {
	var room [96]byte
	token = bytes.TrimRight(token, "=")
	n, _ := base64.RawStdEncoding.Decode(room[:], token[:min(len(token), 128)])
	for _, c := range room[:n] {
		if classOf[c] == space && c != ' ' {
			return false
		}
	}
	return bytes.IndexByte(room[:n], ':') > 0
}

// endsWith reports whether b ends with the lower-case word, in any case, as a separate word.
func endsWith(b []byte, word string) bool {
	start := len(b) - len(word)
	if start < 0 {
		return false
	}
	for i := range len(word) {
		if b[start+i]|0x20 != word[i] {
			return false
		}
	}
	return begins(b, start)
}
