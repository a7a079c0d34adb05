package detect

import "bytes"

const (
	localPart = 64  // the limit of RFC 5321
	mailHost  = 255 // the limit of RFC 5321
)

func email() anchor {
	local := charsetOf("A-Za-z0-9._%+~!$-") // RFC 5322 allows more characters, but texts use them to separate addresses
	for c := 0x80; c < 256; c++ {
		local[c] = true // UTF-8 (RFC 6531)
	}
	host := charsetOf("A-Za-z0-9.-")
	for c := 0x80; c < 256; c++ {
		host[c] = true
	}
	return anchor{
		pattern: pair(exceptWhite, "@"), back: localPart, ahead: mailHost,
		find: func(window []byte, at int) (Finding, bool) {
			start := at
			for start > 0 && local[window[start-1]] {
				start--
			}
			for start < at && classOf[window[start]]&alnumClasses == 0 && window[start] != '_' && window[start] < 0x80 {
				start++ // a list item: - anna@example.com
			}
			name := window[at+1:]
			name = name[:host.span(name)]
			for len(name) > 0 && (name[len(name)-1] == '.' || name[len(name)-1] == '-') {
				name = name[:len(name)-1] // the end of a sentence
			}
			return Finding{Start: start, End: at + 1 + len(name)}, start < at && mailHostName(name)
		},
	}
}

// mailHostName reports whether b has two or more labels, the last of at least two letters or
// with characters outside ASCII.
func mailHostName(b []byte) bool {
	label, labels := 0, 1
	for i, c := range b {
		if c == '.' {
			if i == label {
				return false
			}
			label = i + 1
			labels++
		}
	}
	if bytes.HasPrefix(b[label:], []byte("xn--")) { // an internationalised domain in ASCII
		return labels > 1 && len(b)-label > len("xn--")
	}
	for _, c := range b[label:] {
		if classOf[c]&(lower|upper) == 0 && c < 0x80 {
			return false
		}
	}
	return labels > 1 && len(b)-label >= 2
}
