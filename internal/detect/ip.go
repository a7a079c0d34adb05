package detect

const (
	ipv4Bytes = 15
	ipv6Bytes = 45 // ends in an IPv4 address
)

func ipv4() anchor {
	const context = len("version") + 3
	return anchor{
		pattern: pair(digits, "."), back: 3 + context + escapeBytes, ahead: ipv4Bytes + 2,
		find: func(window []byte, at int) (Finding, bool) {
			start := at
			for start > 0 && classOf[window[start-1]] == digit {
				start--
			}
			start = afterEscape(window, start, at)
			n, octets, ok := parseIPv4(window[start:])
			if !ok || !escaped(window, start) && versionBefore(window[:start]) {
				return Finding{}, false
			}
			end := start + n
			if end < len(window) {
				c := window[end]
				if alphanumeric[c] || c == '-' || c == '_' || c == '.' && end+1 < len(window) && classOf[window[end+1]]&alnumClasses != 0 {
					return Finding{}, false
				}
			}
			somebody := octets[0] != 0 && octets[0] != 127 && octets != [4]byte{255, 255, 255, 255}
			return Finding{Start: start, End: end}, somebody
		},
	}
}

// parseIPv4 reads four decimal octets without leading zeros.
func parseIPv4(b []byte) (n int, octets [4]byte, ok bool) {
	for i := range octets {
		if i > 0 {
			if n >= len(b) || b[n] != '.' {
				return 0, octets, false
			}
			n++
		}
		value, first := 0, n
		for n < len(b) && n < first+3 && classOf[b[n]] == digit {
			value = value*10 + int(b[n]-'0')
			n++
		}
		if n == first || value > 255 || b[first] == '0' && n > first+1 {
			return 0, octets, false
		}
		octets[i] = byte(value)
	}
	return n, octets, true
}

// versionBefore reports whether the text before four numbers makes them a version, or the end
// of something longer.
func versionBefore(b []byte) bool {
	end := len(b)
	if end == 0 {
		return false
	}
	switch c := b[end-1]; {
	case alphanumeric[c], c == '.', c == '-', c == '_':
		return true
	case c == '/':
		return end > 1 && alphanumeric[b[end-2]]
	}
	for end > 0 && end > len(b)-3 && classOf[b[end-1]]&alnumClasses == 0 {
		end--
	}
	return endsWith(b[:end], "version")
}

func ipv6() anchor {
	hex := "0123456789abcdefABCDEF"
	return anchor{
		pattern: pair(hex, ":"), back: 6 + escapeBytes, ahead: ipv6Bytes,
		find: func(window []byte, at int) (Finding, bool) {
			start := at
			for start > 0 && at-start < 5+escapeBytes && classOf[window[start-1]]&alnumClasses != 0 {
				start--
			}
			if at-start > 4 { // the digits of an escape precede it
				start = afterEscape(window, start, at)
			}
			if start > 0 && !escaped(window, start) && (window[start-1] == ':' || window[start-1] == '.' || alphanumeric[window[start-1]]) {
				return Finding{}, false
			}
			n, ok := parseIPv6(window[start:])
			return Finding{Start: start, End: start + n}, ok
		},
	}
}

// parseIPv6 reads an address that begins with a group of four digits, as all matches do.
func parseIPv6(b []byte) (n int, ok bool) {
	groups, first, elided := 0, 0, false
	for groups < 8 {
		value, from := 0, n
		for n < len(b) && n < from+4 {
			d := hexDigit(b[n])
			if d < 0 {
				break
			}
			value = value<<4 | d
			n++
		}
		if n == from {
			break // after ::
		}
		if n < len(b) && b[n] == '.' && n+1 < len(b) && classOf[b[n+1]] == digit {
			size, _, ok := parseIPv4(b[from:])
			if !ok {
				return 0, false
			}
			n = from + size
			groups += 2
			break
		}
		if groups == 0 {
			if n != 4 {
				return 0, false
			}
			first = value
		}
		groups++
		if n+1 >= len(b) || b[n] != ':' || b[n+1] != ':' && hexDigit(b[n+1]) < 0 {
			break
		}
		n++
		if b[n] == ':' {
			if elided {
				return 0, false
			}
			elided = true
			n++
		}
	}
	if n < len(b) && (alphanumeric[b[n]] || b[n] == ':' && n+1 < len(b) && alphanumeric[b[n+1]]) {
		return 0, false
	}
	known := first>>13 == 1 || first>>9 == 0xfc>>1 || first>>6 == 0xfe80>>6
	return n, known && (elided && groups < 8 || !elided && groups == 8)
}

// hexDigit returns the value of c, or -1 if c is no hexadecimal digit.
func hexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}
