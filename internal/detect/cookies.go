package detect

import "bytes"

// cookieBytes is how much of a header of cookies is looked at.
const cookieBytes = 4096

// cookieName is what a cookie's name is made of.
var cookieName = charsetOf("A-Za-z0-9_.!#$%&*+^|~-")

// cookie reports whether a text is what stands in a header of cookies: name=value.
func cookie(text []byte) bool {
	n := cookieName.span(text)
	return n > 0 && n+1 < len(text) && text[n] == '=' && text[n+1] > ' ' && text[n+1] != ';'
}

// cookieSpan returns how much of text is cookies, to the end of the header's line or its
// quotes; 0 where there is none.
func cookieSpan(text []byte) int {
	if !cookie(text) {
		return 0
	}
	if end := bytes.IndexAny(text, "\"'`\r\n\\"); end >= 0 {
		return end
	}
	return len(text)
}
