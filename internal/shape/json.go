// Package shape knows where events keep secrets: which text counts as JSON, which name a
// value has, and where LiteLLM stores hashes. The filter, the gate and the guests' host
// functions share it, so that they find the same values.
package shape

import "bytes"

// LooksLikeJSON reports whether a text that holds no JSON was meant to: it begins
// with brackets that a quote follows, or with a bracket and has a quoted name with a
// colon in it. Python's way of writing a dictionary counts. "[SSO] Jane Doe" is a
// text.
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

// Bracketed reports whether a text's first byte, white space aside, is { or [.
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
