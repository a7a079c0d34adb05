package detect

import "bytes"

// labelMost is how long the label of a key may be: its name, a point and a version.
const labelMost = 64 + 1 + 6

// left reports whether a finding lies in what a policy left in the place of a value, a
// pseudonym or an encrypted value, which is longer than most windows. What is glued to it is
// not the policy's.
func left(text []byte, f Finding) bool {
	if leaves(text[f.Start:]) {
		return leftAt(text, f.Start, f.End)
	}
	// A window began within it, or a name was read to end within it.
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

// labelStart returns where the label of a key begins that ends at end.
func labelStart(text []byte, end int) int {
	at := end
	for at > 0 && at > end-labelMost && (keyNames[text[at-1]] || text[at-1] == '.') {
		at--
	}
	return at
}

// leftBefore is leftAt of what begins with the prefix before the label at text[at], if there
// is one, and nothing is glued to it.
func leftBefore(text []byte, at, end int) bool {
	for _, prefix := range []string{"enc:", "hmac:"} {
		start := at - len(prefix)
		if start >= 0 && string(text[start:at]) == prefix {
			return (start == 0 || before[text[start-1]]) && leftAt(text, start, end)
		}
	}
	return false
}

// leftAt reports whether what a policy left begins at text[start] and holds what ends at end.
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

// before is what may stand before what a policy left; stops, what may end a sentence behind it.
var (
	before = charsetOf(" \t\r\n\"'`(<[{,;=:>/|")
	stops  = charsetOf(".!?:")
)

func leaves(b []byte) bool {
	return bytes.HasPrefix(b, []byte("enc:")) || bytes.HasPrefix(b, []byte("hmac:"))
}
