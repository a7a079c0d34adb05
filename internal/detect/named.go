package detect

import "bytes"

// namedRule is a detector of values beside telling names.
type namedRule struct {
	detector string
	kinds    kind
	value    func(kind, []byte) bool
}

// named is rules in the order in which they are asked.
type named []namedRule

const (
	// named values have at least so many bytes.
	valueLeast = 8
	// valueJudged is how much of a value within a text is looked at.
	valueJudged = 160
	// betweenBytes is how much may be between a name and its sign, and between the
	// sign and its value: spaces, quotes and their escapes.
	betweenBytes = 6
	// pseudonymName is how far before a sign the beginning of a pseudonym is looked for.
	pseudonymName = 96
)

// under returns the whole text, but for white space around it, as a finding where
// it is a secret under that name.
func (n named) under(key, text []byte) (Finding, bool) {
	if len(n) == 0 || len(key) == 0 || len(text) < valueLeast {
		return Finding{}, false
	}
	kinds := tellingName(key)
	if kinds == 0 {
		return Finding{}, false
	}
	start, end := 0, len(text)
	for start < end && white[text[start]] {
		start++
	}
	for start < end && white[text[end-1]] {
		end--
	}
	detector := n.judge(kinds, text[start:end])
	return Finding{Start: start, End: end, Detector: detector}, detector != ""
}

// judge returns the detector that takes value for a secret under a name of these
// kinds, "" where none does.
func (n named) judge(kinds kind, value []byte) string {
	if len(value) < valueLeast {
		return ""
	}
	for _, rule := range n {
		if k := kinds & rule.kinds; k != 0 && rule.value(kinds, value) {
			return rule.detector
		}
	}
	return ""
}

// anchor finds name=value and name: value within a text, the one or the other
// perhaps in quotes, as configuration, query strings, and JSON cut short have them.
func (n named) anchor() anchor {
	return anchor{
		first: anyByte, second: ":=", back: betweenBytes + pseudonymName, ahead: betweenBytes + valueJudged,
		find: func(window []byte, at int) (Finding, bool) {
			end := at
			for end > 0 && end > at-betweenBytes && around[window[end-1]] {
				end--
			}
			name := nameStart(window[:end])
			kinds := tellingName(window[name:end])
			if kinds == 0 || name > 1 && window[at] == ':' && window[name-1] == ':' && classOf[window[name-2]] == digit { // an ARN's account is before it
				return Finding{}, false
			}
			start := at + 1
			for start < len(window) && start < at+betweenBytes && before[window[start]] {
				start++
			}
			f := Finding{Start: start, End: start + valueSpan(window, start)}
			value := window[start:f.End]
			if n := lowerHex.span(value); n == pseudonymDigits && start == at+1 && window[at] == ':' && pseudonym(window[max(0, bytes.LastIndex(window[:at], []byte("hmac:"))):start+n]) {
				return Finding{}, false // the name is that of a key
			}
			f.Detector = n.judge(kinds, value)
			return f, f.Detector != ""
		},
		extend: func(text []byte, f Finding) int { return f.End + valueSpan(text, f.Start) - (f.End - f.Start) },
	}
}

var (
	around  = charsetOf(" \"'`\\")
	before  = charsetOf(" \"'`\\=>:")
	quotes  = charsetOf("\"'`")
	bareEnd = charsetOf(" \t\r\n\"'`\\,;&)]}<>|")
)

// nameStart returns where in b the name begins that ends with b.
func nameStart(b []byte) int {
	start := len(b)
	for start > 0 && start > len(b)-nameBytes && (alphanumeric[b[start-1]] || b[start-1] == '_' || b[start-1] == '-' || b[start-1] == '.' || b[start-1] == ' ') {
		start--
	}
	return start
}

// valueSpan returns the length of the value that begins at b[start]: to the quote
// that was opened before it, or else to whatever ends a bare word.
func valueSpan(b []byte, start int) int {
	opened := byte(0)
	if start > 0 && quotes[b[start-1]] {
		opened = b[start-1]
	}
	for i, c := range b[start:] {
		switch {
		case opened == 0 && bareEnd[c],
			opened != 0 && (c == opened || c == '\\' && start+i+1 < len(b) && b[start+i+1] == opened || c == '\n'):
			return i
		}
	}
	return len(b) - start
}

// strong reports whether value is a secret under a telling name: one word; random
// where a machine made it, or else at least no plain word; and neither what stands in a secret's
// place nor an identifier.
func strong(kinds kind, value []byte) bool {
	if placeholder(value) || uuid(value) {
		return false
	}
	if kinds&digest != 0 && len(value) == 64 && lowerHex.all(value) {
		return false
	}
	head := value[:min(len(value), judged)]
	seen, printed := classes(head)
	switch {
	case seen&space != 0:
		return false
	case len(value) >= 16 && random(head):
		return true
	case kinds&password == 0:
		return false
	case seen&digit != 0 && seen&(lower|upper) != 0:
		return true
	}
	return printed >= 3 || printed == 2 && len(value) >= 20 && bytes.IndexByte(value, '@') < 0
}

// awsSecret reports whether value has the form of an AWS secret access key.
func awsSecret(_ kind, value []byte) bool {
	return len(value) == 40 && base64Std.all(value) && random(value)
}

// azureShared reports whether value has the form of a key that Azure shares: 32 or
// 64 bytes in base64.
func azureShared(_ kind, value []byte) bool {
	body := bytes.TrimRight(value, "=")
	return (len(value) == 44 || len(value) == 88) && len(body) < len(value) && base64Std.all(body) && random(value)
}

// azureSignature reports whether value has the form of a shared access signature:
// 32 bytes in base64, in a URL.
func azureSignature(_ kind, value []byte) bool {
	return len(value) >= 43 && random(value)
}
