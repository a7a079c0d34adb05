// Package shape recognises where events contain secrets: which text counts as JSON, which name
// a value belongs to, and where LiteLLM stores hashes. The filter, the gate and the guests'
// host functions share it, so they find the same values.
package shape

import "bytes"

// LooksLikeJSON reports whether a text that is no JSON was meant to be JSON: it begins with
// brackets followed by a quote, or with a bracket and contains a quoted name with a colon.
// Python's notation of a dictionary counts. "[SSO] Jane Doe" is plain text.
func LooksLikeJSON(text []byte) bool {
	if !Bracketed(text) {
		return false
	}
	if inner := bytes.TrimLeft(text, " \t\r\n[{"); len(inner) > 0 && (inner[0] == '"' || inner[0] == '\'' || inner[0] == '\\') {
		return true
	}
	for {
		i := bytes.IndexByte(text, ':')
		if i < 0 {
			return false
		}
		before := bytes.TrimRight(text[:i], " \t\r\n")
		if n := len(before); n > 0 && (before[n-1] == '"' || before[n-1] == '\'') {
			return true
		}
		text = text[i+1:]
	}
}

// Bracketed reports whether the first byte of text, apart from white space, is { or [.
func Bracketed(text []byte) bool {
	for _, c := range text {
		switch c {
		case ' ', '\t', '\r', '\n':
		default:
			return c == '{' || c == '['
		}
	}
	return false
}
