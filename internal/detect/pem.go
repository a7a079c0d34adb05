package detect

import "bytes"

const (
	// pemLabel is how long the words between BEGIN and the dashes may be.
	pemLabel = 64
	// pemBody is how soon after them there is a line of the key.
	pemBody = 256
	// pemMost is how far behind its BEGIN a key's END is looked for.
	pemMost = 128 << 10
	// pemMark is how many dashes and spaces may stand before BEGIN and END.
	pemMark = 16
)

// pemBytes are those of a body that was cut short, and what stands between its lines.
var pemBytes = charsetOf("A-Za-z0-9+/=\\%:,.()#|>*<_ \t\r\n-")

// privateKey finds PEM private keys of every kind (also PGP's, SSH2's and OpenVPN's static
// ones) from BEGIN to END, or, where they were cut short, to where nothing looks like a key
// any more; and PuTTY's. Marks may be in small letters, with other dashes and spaces.
func privateKey() []anchor {
	var anchors []anchor
	for _, mark := range []string{"--begin", "-- begin"} {
		anchors = append(anchors, anchor{pattern: literal(mark), back: len(mark) + pemMark, ahead: pemLabel + pemMark + pemBody, find: findPEM(len(mark)), extend: extendPEM})
	}
	putty := "PuTTY-User-Key-File-"
	return append(anchors, anchor{
		pattern: literal(putty), back: len(putty), ahead: 1,
		find: func(_ []byte, at int) (Finding, bool) {
			return Finding{Start: at + 1 - len(putty), End: at + 1}, at+1 >= len(putty)
		},
		extend: extendPPK,
	})
}

func findPEM(mark int) func(window []byte, at int) (Finding, bool) {
	return func(window []byte, at int) (Finding, bool) {
		start := at + 1 - mark
		for start > 0 && window[start-1] == '-' {
			start--
		}
		label := window[at+1:]
		n := bytes.Index(label[:min(len(label), pemLabel+2)], []byte("--"))
		if n < 0 || !ofPrivateKey(label[:n]) {
			return Finding{}, false
		}
		end := at + 1 + n
		for end < len(window) && window[end] == '-' {
			end++
		}
		return Finding{Start: start, End: end}, hasKeyLine(window[end:])
	}
}

// ofPrivateKey reports whether a label says that a private key follows, whatever stands
// between its words.
func ofPrivateKey(label []byte) bool {
	var room [pemLabel]byte
	letters := room[:0]
	for _, c := range label {
		if classOf[c]&(lower|upper) != 0 {
			letters = append(letters, fold(c))
		}
	}
	return bytes.Contains(letters, []byte("privatekey")) || bytes.Contains(letters, []byte("statickey"))
}

// hasKeyLine reports whether sixteen characters of base64 in a row come before the
// next dashes, whatever else does.
func hasKeyLine(body []byte) bool {
	row := 0
	for i, c := range body {
		switch {
		case base64Std[c]:
			if row++; row >= 16 {
				return true
			}
		case c == '-' && bytes.HasPrefix(body[i:], []byte("----")):
			return false
		default:
			row = 0
		}
	}
	return false
}

// extendPEM goes on to the END that comes before any BEGIN, whatever lies between;
// without one, to where nothing looks like a key.
func extendPEM(text []byte, f Finding) int {
	rest := text[f.End:min(len(text), f.End+pemMost)]
	for at := 0; ; {
		n := bytes.Index(rest[at:], []byte("--"))
		if n < 0 {
			break
		}
		at += n
		mark := at
		for at < len(rest) && rest[at] == '-' {
			at++
		}
		word := at
		for word < len(rest) && word < at+2 && rest[word] == ' ' {
			word++
		}
		switch {
		case hasWord(rest[word:], "end"):
			words := word + len("end")
			n := bytes.Index(rest[words:min(len(rest), words+pemLabel+2)], []byte("--"))
			if n < 0 {
				return f.End + words
			}
			for words += n; words < len(rest) && rest[words] == '-'; words++ {
			}
			return f.End + words
		case hasWord(rest[word:], "begin"):
			return f.End + pemBytes.span(rest[:mark])
		}
	}
	return f.End + pemBytes.span(rest)
}

// hasWord reports whether b begins with a word of small letters, in any case.
func hasWord(b []byte, word string) bool {
	return len(b) >= len(word) && bytes.EqualFold(b[:len(word)], []byte(word))
}

// extendPPK goes on to the end of the line that a PuTTY key ends with; without that, to where
// nothing looks like a key behind its private lines.
func extendPPK(text []byte, f Finding) int {
	rest := text[f.End:min(len(text), f.End+pemMost)]
	for _, last := range []string{"Private-MAC:", "Private-Hash:"} {
		if i := bytes.Index(rest, []byte(last)); i >= 0 {
			end := i + len(last)
			end += blank.span(rest[end:])
			return f.End + end + hexAny.span(rest[end:])
		}
	}
	from := max(0, bytes.Index(rest, []byte("Private-Lines:")))
	return f.End + from + pemBytes.span(rest[from:])
}
