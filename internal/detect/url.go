package detect

import (
	"bytes"
	"hash/crc32"
)

// userinfo is the number of bytes scanned of a URL before its host.
const userinfo = 1024

// basicAuthURL finds the password in scheme://user:password@host. Without a password, it finds
// the user if that is random, as in https://TOKEN@host.
func basicAuthURL() anchor {
	ends := charsetOf(" \t\r\n/?#\"'`\\|")
	return anchor{
		pattern: literal("://"), back: 3, ahead: userinfo,
		find: func(window []byte, at int) (Finding, bool) {
			if at < 3 || !alphanumeric[window[at-3]] {
				return Finding{}, false
			}
			start := at + 1
			colon, host := -1, -1
			for i := start; i < len(window); i++ { // ends at the latest at a slash, for instance of the next URL
				c := window[i]
				switch {
				case c == ':' && colon < 0 && host < 0:
					colon = i
				case c == '@':
					host = i
				}
				if ends[c] && (c != '/' || colon < 0 || host >= 0 || window[i-1] == '/' || port(window[colon+1:i])) {
					break
				}
			}
			switch {
			case host < 0:
				return Finding{}, false
			case colon >= 0 && string(window[colon+1:host]) == "x-oauth-basic": // GitHub: the user is the token
				return Finding{Start: start, End: colon}, colon-start >= valueLeast && !placeholder(window[start:colon])
			case colon >= 0 && host > colon+1:
				return Finding{Start: colon + 1, End: host}, !placeholder(window[colon+1 : host])
			case colon == host-1:
				host = colon
			}
			user := window[start:host]
			return Finding{Start: start, End: host}, len(user) >= 16 && random(user) && !uuid(user)
		},
	}
}

// port reports whether the text after a host's colon is its port, or empty.
func port(b []byte) bool {
	for _, c := range b {
		if classOf[c] != digit {
			return false
		}
	}
	return true
}

// bareUserinfo finds the password in user:password@tcp(host), the notation of Go's MySQL
// driver, and in user:password@host:port.
func bareUserinfo() anchor {
	host := charsetOf("A-Za-z0-9._-")
	return anchor{
		pattern: literal("@"), back: 128, ahead: 72,
		find: func(window []byte, at int) (Finding, bool) {
			start := at
			for start > 0 && classOf[window[start-1]] != space && !quotes[window[start-1]] && window[start-1] != ',' && window[start-1] != '(' {
				start--
			}
			colon := bytes.IndexByte(window[start:at], ':')
			if colon < 1 || port(window[start:start+colon]) || start == 0 && at == 128 || bytes.HasPrefix(window[start+colon:], []byte("://")) {
				return Finding{}, false
			}
			secret := Finding{Start: start + colon + 1, End: at}
			if secret.End-secret.Start < valueLeast || placeholder(window[secret.Start:secret.End]) {
				return Finding{}, false
			}
			rest := window[at+1:]
			for _, network := range []string{"tcp(", "unix(", "udp("} {
				if bytes.HasPrefix(rest, []byte(network)) {
					return secret, true
				}
			}
			n := host.span(rest)
			if size, _, ok := parseIPv4(rest); ok && size == n {
				return secret, bytes.IndexByte(window[start:secret.Start], '/') < 0
			}
			return secret, n > 0 && n+1 < len(rest) && rest[n] == ':' && classOf[rest[n+1]] == digit
		},
	}
}

// placeholder reports whether b marks a removed secret or refers to one elsewhere: only
// asterisks, a name in brackets, a reference in the notation of the relay's configuration, an
// AWS resource, or a pseudonym.
func placeholder(b []byte) bool {
	if len(bytes.Trim(b, "*")) == 0 || Pseudonym(b) || encrypted(b) {
		return true
	}
	for _, prefix := range []string{"os.environ/", "${", "file:/", "arn:"} {
		if bytes.HasPrefix(b, []byte(prefix)) {
			return true
		}
	}
	first, last := b[0], b[len(b)-1]
	return first == '{' && last == '}' || first == '<' && last == '>' || first == '[' && last == ']'
}

// pseudonymDigits is the number of digits at the end of a pseudonym.
const pseudonymDigits = 32

// Pseudonym reports whether b has the form that redaction.Pseudonymiser writes: "hmac:", a
// key's name with or without a version, ":" and 32 lower-case hexadecimal digits. A sender can
// write this form too. Therefore the label must have the form of a key's, and the digits must
// not encode a text. Pseudonym cannot tell whether a key of that name exists.
func Pseudonym(b []byte) bool {
	rest, ok := bytes.CutPrefix(b, []byte("hmac:"))
	sign := len(rest) - pseudonymDigits - 1
	return ok && sign >= 0 && rest[sign] == ':' && keyLabel(rest[:sign]) && lowerHex.all(rest[sign+1:]) && spelled(rest[sign+1:]) < pseudonymDigits/2
}

// keyLabel reports whether b could be the name of a key, perhaps with a point and a version.
func keyLabel(b []byte) bool {
	const nameMost, versionMost = 64, 6
	name, version, versioned := bytes.Cut(b, []byte("."))
	if len(name) == 0 || len(name) > nameMost || !keyNames.all(name) || name[0] == '-' || name[0] == '_' {
		return false
	}
	return !versioned || len(version) > 0 && len(version) <= versionMost && version[0] != '0' && digitSet.all(version)
}

var (
	keyNames = charsetOf("a-z0-9_-")
	digitSet = charsetOf("0-9")
)

// spelled returns the maximum number of successive printable bytes encoded by hexadecimal
// digits.
func spelled(digits []byte) int {
	longest, row := 0, 0
	for i := 0; i+1 < len(digits); i += 2 {
		if c := digitOf(digits[i])<<4 | digitOf(digits[i+1]); c < ' ' || c > '~' {
			row = 0
			continue
		}
		row++
		longest = max(longest, row)
	}
	return longest
}

// Spells reports whether an encrypted value, decoded from its digits, has more successive
// printable bytes than random bytes usually have. At most one in twenty random values has. Such
// a value is not accepted as encrypted, so a sender cannot hide a text in this form;
// redaction.Cipher encrypts again.
func Spells(sealed []byte) bool {
	row, most := 0, spelledMost(len(sealed))
	for _, c := range sealed {
		if c < ' ' || c > '~' {
			row = 0
		} else if row++; row > most {
			return true
		}
	}
	return false
}

// spelledMost returns the maximum number of successive printable bytes in an encrypted value of
// size bytes.
func spelledMost(size int) int {
	most := 6
	for m := 64; m < size; m *= 3 {
		most++
	}
	return most
}

// encryptedDigits is the minimum number of digits of an encrypted value, and encryptedBlock the
// step in which it grows. The last encryptedCheck digits are the CRC-32 of the other bytes. A
// value encrypted to a public key has two more blocks.
const (
	encryptedDigits = 2 * (12 + 16 + 16 + 4)
	encryptedBlock  = 2 * 16
	encryptedCheck  = 2 * 4
)

// encrypted reports whether b has the form that redaction.Cipher writes. A sender can write
// this form and the check sum too. Therefore the label must be a key's, and the digits must not
// encode a text.
func encrypted(b []byte) bool {
	rest, ok := bytes.CutPrefix(b, []byte("enc:"))
	sign := bytes.LastIndexByte(rest, ':')
	if !ok || sign < 1 {
		return false
	}
	digits := rest[sign+1:]
	if !keyLabel(rest[:sign]) || !lowerHex.all(digits) ||
		len(digits) < encryptedDigits || (len(digits)-encryptedDigits)%encryptedBlock != 0 || spelled(digits) > spelledMost(len(digits)/2) {
		return false
	}
	sum := uint32(0xffffffff)
	checked := len(digits) - encryptedCheck
	for i := 0; i < checked; i += 2 {
		sum = crc32.IEEETable[byte(sum)^(digitOf(digits[i])<<4|digitOf(digits[i+1]))] ^ sum>>8
	}
	sum = ^sum
	want := uint32(0)
	for _, c := range digits[checked:] {
		want = want<<4 | uint32(digitOf(c))
	}
	return sum == want
}

// uuid reports whether b is a UUID: 8, 4, 4, 4 and 12 hexadecimal digits.
func uuid(b []byte) bool {
	if len(b) != 36 {
		return false
	}
	for i, c := range b {
		if dash := i == 8 || i == 13 || i == 18 || i == 23; dash != (c == '-') || !dash && !lowerHex[c|0x20] {
			return false
		}
	}
	return true
}
