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

// masked reports whether every value in a header of cookies was masked already.
func masked(text []byte) bool {
	if lineOfCookies(text) < len(text) {
		return false // nobody looks at what is behind it
	}
	for pair := range bytes.SplitSeq(text, []byte(";")) {
		name, value, _ := bytes.Cut(bytes.TrimSpace(pair), []byte("="))
		if len(bytes.Trim(value, "*")) > 0 && !cookieAttribute(name) && !Pseudonym(value) && !encrypted(value) {
			return false
		}
	}
	return true
}

// cookieAttribute reports whether a name says something of the cookie before it.
func cookieAttribute(name []byte) bool {
	for _, attribute := range []string{"path", "domain", "expires", "max-age", "samesite"} {
		if len(name) == len(attribute) && bytes.EqualFold(name, []byte(attribute)) {
			return true
		}
	}
	return false
}

// lineOfCookies is where the header's line or its quotes end.
func lineOfCookies(text []byte) int {
	if end := bytes.IndexAny(text, "\"'`\r\n\\"); end >= 0 {
		return end
	}
	return len(text)
}

// cookieSpan returns how much of text is cookies, to the end of the header's line or its
// quotes; 0 where there is none.
func cookieSpan(text []byte) int {
	if !cookie(text) {
		return 0
	}
	return lineOfCookies(text)
}
