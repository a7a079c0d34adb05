package detect

import (
	"bytes"
	"strings"
	"time"
)

// cookieBytes is the maximum number of bytes scanned of a cookie header.
const cookieBytes = 4096

// cookieName is the set of characters in a cookie's name.
var cookieName = charsetOf("A-Za-z0-9_.!#$%&*+^|~-")

// cookie reports whether a text has the form of a cookie header: name=value.
func cookie(text []byte) bool {
	n := cookieName.span(text)
	return n > 0 && n+1 < len(text) && text[n] == '=' && text[n+1] > ' ' && text[n+1] != ';'
}

// masked reports whether every value in a cookie header is already masked.
func masked(text []byte) bool {
	if lineOfCookies(text) < len(text) {
		return false // the rest is not scanned
	}
	first := true
	for pair := range bytes.SplitSeq(text, []byte(";")) {
		name, value, _ := bytes.Cut(bytes.TrimSpace(pair), []byte("="))
		if len(bytes.Trim(value, "*")) > 0 && (first || !cookieAttribute(name, value)) && !Pseudonym(value) && !encrypted(value) {
			return false
		}
		first = false
	}
	return true
}

// cookieAttribute reports whether a pair is an attribute of the preceding cookie with a valid
// value (RFC 6265, section 4.1.1). Any other pair is a cookie of that name.
func cookieAttribute(name, value []byte) bool {
	switch string(bytes.ToLower(name)) {
	case "path":
		return value[0] == '/'
	case "domain":
		return bytes.IndexByte(value, '.') >= 0 && hostname.span(value) == len(value)
	case "expires":
		_, err := time.Parse("Mon, 02 Jan 2006 15:04:05 GMT", strings.ReplaceAll(string(value), "-", " "))
		return err == nil
	case "max-age":
		return len(value) <= len("-2147483648") && len(bytes.Trim(value, "-0123456789")) == 0
	case "samesite":
		return bytes.EqualFold(value, []byte("lax")) || bytes.EqualFold(value, []byte("strict")) || bytes.EqualFold(value, []byte("none"))
	}
	return false
}

var hostname = charsetOf("A-Za-z0-9.-")

// lineOfCookies returns the end of the header's line or of its quotes.
func lineOfCookies(text []byte) int {
	if end := bytes.IndexAny(text, "\"'`\r\n\\"); end >= 0 {
		return end
	}
	return len(text)
}

// cookieSpan returns the length of the cookies in text, up to the end of the header's line or
// its quotes. It returns 0 if there are none.
func cookieSpan(text []byte) int {
	if !cookie(text) {
		return 0
	}
	return lineOfCookies(text)
}
