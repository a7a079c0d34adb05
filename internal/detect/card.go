package detect

const (
	cardLeast = 13
	cardMost  = 19
)

func card() []anchor {
	one := anchor{
		back: 2, ahead: cardMost + 4 + 2,
		find: func(window []byte, at int) (Finding, bool) {
			if at > 0 && (window[at-1] == '.' || window[at-1] == '-' || window[at-1] == '_') {
				return Finding{}, false
			}
			var number [cardMost]byte
			count, end, ok := cardDigits(&number, window[at:])
			end += at
			if !ok || end < len(window) && (alphanumeric[window[end]] || window[end] == '_' ||
				(window[end] == '.' || window[end] == '-') && end+1 < len(window) && alphanumeric[window[end+1]]) {
				return Finding{}, false
			}
			return Finding{Start: at, End: end}, issued(number[:count]) && luhn(number[:count])
		},
	}
	return one.at(append(behindEscape("23456"), pair(exceptAlphanumeric, "23456"))...)
}

// at returns the anchor at each of several patterns.
func (a anchor) at(patterns ...pattern) []anchor {
	var all []anchor
	for _, p := range patterns {
		a.pattern = p
		all = append(all, a)
	}
	return all
}

// cardDigits reads digits without separators, in groups of four, or in groups of four, six and
// the rest. The separator is the same space or dash throughout.
func cardDigits(number *[cardMost]byte, b []byte) (count, end int, ok bool) {
	var separator byte
	var groups [6]int
	group := 0
	for end < len(b) {
		c := b[end]
		switch {
		case classOf[c] == digit:
			if count == cardMost {
				return 0, 0, false
			}
			number[count] = c - '0'
			count++
			groups[group]++
		case (c == ' ' || c == '-') && (separator == 0 && groups[0] == 4 || separator == c) && end+1 < len(b) && classOf[b[end+1]] == digit:
			separator = c
			if group++; group == len(groups) {
				return 0, 0, false
			}
		default:
			return count, end, count >= cardLeast && printedGroups(groups, group)
		}
		end++
	}
	return count, end, count >= cardLeast && printedGroups(groups, group)
}

func printedGroups(groups [6]int, last int) bool {
	if last == 0 {
		return true
	}
	if last == 2 && groups[1] == 6 {
		return groups[2] == 4 || groups[2] == 5 // Diners Club, American Express
	}
	for _, n := range groups[:last] {
		if n != 4 {
			return false
		}
	}
	return last >= 3 && groups[last] <= 4
}

// issued reports whether a known network issues numbers with this beginning and length.
func issued(number []byte) bool {
	first := 0 // the first four digits
	for _, d := range number[:4] {
		first = first*10 + int(d)
	}
	in := func(low, high int) bool { return low <= first && first <= high }
	n := len(number)
	switch {
	case in(4000, 4999): // Visa
		return n == 13 || n == 16 || n == 19
	case in(5100, 5599), in(2221, 2720): // Mastercard
		return n == 16
	case in(3400, 3499), in(3700, 3799): // American Express
		return n == 15
	case in(3000, 3059), in(3600, 3699), in(3800, 3999): // Diners Club
		return n == 14
	case in(3528, 3589), in(6011, 6011), in(6440, 6599): // JCB, Discover
		return n == 16 || n == 19
	case in(6200, 6299): // UnionPay
		return n >= 16
	case first == 5018, first == 5020, first == 5038, first == 5893, first == 6304, first == 6759, in(6761, 6763): // Maestro
		return true
	}
	return false
}

func luhn(number []byte) bool {
	sum := 0
	for i, d := range number {
		n := int(d)
		if (len(number)-i)%2 == 0 {
			if n *= 2; n > 9 {
				n -= 9
			}
		}
		sum += n
	}
	return sum%10 == 0
}
