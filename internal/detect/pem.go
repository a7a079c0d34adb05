package detect

import "bytes"

const (
	// pemLabel is how long the words between BEGIN and the dashes may be.
	pemLabel = 48
	// pemBody is how soon after them there is a line of the key.
	pemBody = 256
	// pemMost is how far behind its BEGIN a key's END is looked for.
	pemMost = 128 << 10
)

var (
	dashes    = []byte("-----")
	beginning = []byte("-----BEGIN ")
	ending    = []byte("-----END ")
	pemBytes  = charsetOf("A-Za-z0-9+/=\\%:,.()#|>*<_ \t\r\n-") // of a body that was cut short, and what stands between its lines
)

// privateKey finds PEM private keys of every kind (also PGP's) from BEGIN to END,
// or, where it was cut short, to where nothing looks like a key any more; and
// PuTTY's.
func privateKey() []anchor {
	label := []byte("PRIVATE KEY")
	lead := len(beginning)
	putty := "PuTTY-User-Key-File-"
	return []anchor{{
		pattern: literal(string(beginning)), back: lead, ahead: pemLabel + len(dashes) + pemBody,
		find: func(window []byte, at int) (Finding, bool) {
			start := at + 1 - lead
			if start < 0 || !bytes.HasPrefix(window[start:], beginning) {
				return Finding{}, false
			}
			words := window[at+1:]
			n := bytes.Index(words[:min(len(words), pemLabel+len(dashes))], dashes)
			if n < 0 || !bytes.Contains(words[:n], label) {
				return Finding{}, false
			}
			end := at + 1 + n + len(dashes)
			return Finding{Start: start, End: end}, hasKeyLine(window[end:])
		},
		extend: extendPEM,
	}, {
		pattern: literal(putty), back: len(putty), ahead: 1,
		find: func(_ []byte, at int) (Finding, bool) {
			return Finding{Start: at + 1 - len(putty), End: at + 1}, at+1 >= len(putty)
		},
		extend: extendPEM,
	}}
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
		case c == '-' && bytes.HasPrefix(body[i:], dashes):
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
		n := bytes.Index(rest[at:], dashes)
		if n < 0 {
			break
		}
		at += n
		if bytes.HasPrefix(rest[at:], ending) {
			words := at + len(ending)
			if n := bytes.Index(rest[words:min(len(rest), words+pemLabel+len(dashes))], dashes); n >= 0 {
				return f.End + words + n + len(dashes)
			}
			return f.End + words
		}
		if bytes.HasPrefix(rest[at:], beginning) {
			rest = rest[:at]
			break
		}
		for at < len(rest) && rest[at] == '-' {
			at++ // of another kind
		}
	}
	return f.End + pemBytes.span(rest)
}
