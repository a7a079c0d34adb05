package detect

import "bytes"

const (
	// pemLabel is the maximum length of the words between BEGIN and the dashes.
	pemLabel = 64
	// pemBody is the distance after them within which a line of the key must occur.
	pemBody = 256
	// pemMost is how far after BEGIN the END of a key is searched.
	pemMost = 128 << 10
	// pemMark is the maximum number of dashes and spaces before BEGIN and END.
	pemMark = 16
)

// pemBytes is the set of bytes in a truncated body and between its lines.
var pemBytes = charsetOf("A-Za-z0-9+/=\\%:,.()#|>*<_ \t\r\n-")

// privateKey finds PEM private keys of every kind (also those of PGP, SSH2 and OpenVPN) from
// BEGIN to END, and PuTTY's keys. A truncated key extends as far as the text looks like a key.
// Marks may be in lower case, with other dashes and spaces.
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

// ofPrivateKey reports whether a label announces a private key, with any characters between its
// words.
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

// hasKeyLine reports whether sixteen characters of base64 in a row occur before the next
// dashes.
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

// extendPEM extends a finding to the END that comes before the next BEGIN, whatever is between.
// Without an END, it extends as far as the text looks like a key.
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

// hasWord reports whether b begins with a lower-case word, in any case.
func hasWord(b []byte, word string) bool {
	return len(b) >= len(word) && bytes.EqualFold(b[:len(word)], []byte(word))
}

// extendPPK extends a finding to the end of the last line of a PuTTY key. Without that line, it
// extends as far as the text after its private lines looks like a key.
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
