package detect

import "bytes"

const (
	// pemLabel is how long the words between BEGIN and the dashes may be.
	pemLabel = 48
	// pemBody is how soon after them there is a line of the key.
	pemBody = 256
)

var (
	dashes   = []byte("-----")
	pemBytes = charsetOf("A-Za-z0-9+/=\\%:,.() \t\r\n") // of a body, its headers, and line ends that are escaped
)

// privateKey finds PEM private keys of every kind (also PGP's) from BEGIN to END,
// or, where it was cut short, to where nothing looks like a key any more.
func privateKey() anchor {
	begin, label := []byte("-----BEGIN "), []byte("PRIVATE KEY")
	const lead = len("-----")
	return anchor{
		first: "-", second: "B", back: lead, ahead: len("BEGIN ") + pemLabel + len("-----") + pemBody,
		find: func(window []byte, at int) (Finding, bool) {
			if at != lead || !bytes.HasPrefix(window, begin) {
				return Finding{}, false
			}
			words := window[len(begin):]
			n := bytes.Index(words[:min(len(words), pemLabel+len(dashes))], dashes)
			if n < 0 || !bytes.Contains(words[:n], label) {
				return Finding{}, false
			}
			end := len(begin) + n + len(dashes)
			return Finding{End: end}, hasKeyLine(window[end:])
		},
		extend: extendPEM,
	}
}

// hasKeyLine reports whether sixteen characters of base64 in a row come before
// whatever cannot be in a PEM body.
func hasKeyLine(body []byte) bool {
	row := 0
	for i, c := range body {
		switch {
		case base64Std[c]:
			if row++; row >= 16 {
				return true
			}
		case pemBytes[c] || c == '-' && !bytes.HasPrefix(body[i:], dashes):
			row = 0
		default:
			return false
		}
	}
	return false
}

func extendPEM(text []byte, f Finding) int {
	for i := f.End; i < len(text); i++ {
		switch rest := text[i:]; {
		case pemBytes[text[i]] || text[i] == '-' && !bytes.HasPrefix(rest, dashes):
		case bytes.HasPrefix(rest, []byte("-----END ")):
			const words = len("-----END ")
			if n := bytes.Index(rest[words:min(len(rest), words+pemLabel+len(dashes))], dashes); n >= 0 {
				return i + words + n + len(dashes)
			}
			return i + words
		default:
			return i
		}
	}
	return len(text)
}
