package detect

import "bytes"

// labelMost is the maximum length of a key's label: its name, a point and a version.
const labelMost = 64 + 1 + 6

// left reports whether a finding is part of a policy's replacement: a pseudonym or an encrypted
// value, which is longer than most windows. Text attached to a replacement does not belong to
// it.
func left(text []byte, f Finding) bool {
	if leaves(text[f.Start:]) {
		return leftAt(text, f.Start, f.End)
	}
	// A window began inside it, or a name ended inside it.
	at := labelStart(text, f.Start)
	if leftBefore(text, at, f.End) {
		return true
	}
	at = f.Start
	for at > 0 && lowerHex[text[at-1]] {
		at--
	}
	return at > 0 && text[at-1] == ':' && leftBefore(text, labelStart(text, at-1), f.End)
}

// labelStart returns the start of the key label that ends at end.
func labelStart(text []byte, end int) int {
	at := end
	for at > 0 && at > end-labelMost && (keyNames[text[at-1]] || text[at-1] == '.') {
		at--
	}
	return at
}

// leftBefore is leftAt for a replacement whose prefix precedes the label at text[at]. It is
// false if there is no prefix or if text is attached to it.
func leftBefore(text []byte, at, end int) bool {
	for _, prefix := range []string{"enc:", "hmac:"} {
		start := at - len(prefix)
		if start >= 0 && string(text[start:at]) == prefix {
			return (start == 0 || before[text[start-1]]) && leftAt(text, start, end)
		}
	}
	return false
}

// leftAt reports whether a policy's replacement begins at text[start] and contains the text
// that ends at end.
func leftAt(text []byte, start, end int) bool {
	label := start + bytes.IndexByte(text[start:], ':') + 1
	size := bytes.IndexByte(text[label:min(len(text), label+labelMost+1)], ':')
	if size < 1 {
		return false
	}
	stop := label + size + 1
	stop += lowerHex.span(text[stop:])
	behind := stop
	if behind < len(text) && stops[text[behind]] {
		behind++
	}
	return end <= behind && (behind == len(text) || bareEnd[text[behind]]) && (encrypted(text[start:stop]) || Pseudonym(text[start:stop]))
}

// before are the characters that may precede a replacement. stops may end a sentence after it.
var (
	before = charsetOf(" \t\r\n\"'`(<[{,;=:>/|")
	stops  = charsetOf(".!?:")
)

func leaves(b []byte) bool {
	return bytes.HasPrefix(b, []byte("enc:")) || bytes.HasPrefix(b, []byte("hmac:"))
}
