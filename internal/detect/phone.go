package detect

const (
	phoneLeast = 8
	phoneMost  = 15 // the limit of E.164
)

// phone finds telephone numbers marked by a sign.
func phone() []anchor {
	const area = "23456789"
	one := anchor{back: 2, ahead: len("212) 555-01234"), find: northAmerican}
	return append(one.at(append(behindEscape(area), pair(exceptAlphanumeric, area))...),
		anchor{pattern: pair("+", digits), back: 1 + escapeBytes, ahead: 2 * phoneMost, find: international})
}

var between = charsetOf(" .()-")

// international checks the first digit after a plus.
func international(window []byte, at int) (Finding, bool) {
	if window[at] == '0' || !begins(window, at-1) {
		return Finding{}, false
	}
	count, end := 0, at
	for i := at; i < len(window) && i-end <= 2; i++ { // at most two between two digits, as in ") "
		if classOf[window[i]] == digit {
			count++
			end = i + 1
		} else if !between[window[i]] {
			break
		}
	}
	if end < len(window) && alphanumeric[window[end]] {
		return Finding{}, false
	}
	return Finding{Start: at - 1, End: end}, phoneLeast <= count && count <= phoneMost
}

// northAmerican checks a number's first digit: three, three and four digits. The first two
// groups never begin with 0 or 1.
func northAmerican(window []byte, at int) (Finding, bool) {
	start := at
	pattern := "ddd-Ddd-dddd"
	if at > 0 {
		switch window[at-1] {
		case '(':
			start--
			pattern = "ddd) Ddd-dddd"
		case '-', '.', '_', '/', '+':
			return Finding{}, false
		}
	}
	rest := window[at:]
	if len(rest) < len(pattern) {
		return Finding{}, false
	}
	separator := byte('-')
	if rest[3] == '.' {
		separator = '.'
	}
	for i := range len(pattern) {
		c := rest[i]
		var ok bool
		switch pattern[i] {
		case 'd':
			ok = classOf[c] == digit
		case 'D':
			ok = '2' <= c && c <= '9'
		case '-':
			ok = c == separator || c == '-'
		default:
			ok = c == pattern[i]
		}
		if !ok {
			return Finding{}, false
		}
	}
	if len(rest) > len(pattern) && (alphanumeric[rest[len(pattern)]] || rest[len(pattern)] == '-' || rest[len(pattern)] == '_') {
		return Finding{}, false
	}
	return Finding{Start: start, End: at + len(pattern)}, true
}
