package detect

// A check decides whether a text in a rule's form is what the rule looks for, by its check
// digits, a date in it, or the issued ranges. It gets the text unchanged.
type check func(text []byte) bool

// checks are the checks that a rule may name.
func checks() map[string]check {
	all := map[string]check{
		"luhn":          func(b []byte) bool { d, ok := numbersOf(new(room), b); return ok && luhn(d) },
		"iso7064-11-10": func(b []byte) bool { d, ok := numbersOf(new(room), b); return ok && iso11and10(d) },
		"ethereum":      ethereum,
		"base58check":   base58Check,
		"bech32":        bech32,
		"mac":           macAddress,
		"us-ssn":        usSSN,
		"us-itin":       usITIN,
		"us-routing":    usRouting,
	}
	for name, c := range europeanChecks() {
		all[name] = c
	}
	for name, c := range otherChecks() {
		all[name] = c
	}
	return all
}

// maxNumbers is the maximum number of digits that a check reads.
const maxNumbers = 32

// room is a buffer for a text's digits or letters.
type room [maxNumbers]byte

// numbersOf returns the values of the digits of b and ignores all other characters.
func numbersOf(lent *room, b []byte) (numbers []byte, ok bool) {
	numbers = lent[:0]
	for _, c := range b {
		if classOf[c] != digit {
			continue
		}
		if len(numbers) == maxNumbers {
			return nil, false
		}
		numbers = append(numbers, c-'0')
	}
	return numbers, len(numbers) > 0
}

// lettersOf returns b's letters and digits, in capitals.
func lettersOf(lent *room, b []byte) (letters []byte, ok bool) {
	letters = lent[:0]
	for _, c := range b {
		if !alphanumeric[c] {
			continue
		}
		if len(letters) == maxNumbers {
			return nil, false
		}
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		letters = append(letters, c)
	}
	return letters, len(letters) > 0
}

// weightedSum returns the sum of numbers times weights, up to the length of the shorter list.
func weightedSum(numbers []byte, weights ...int) int {
	sum := 0
	for i, w := range weights {
		if i < len(numbers) {
			sum += w * int(numbers[i])
		}
	}
	return sum
}

// number returns the value of digits.
func number(digits []byte) int {
	n := 0
	for _, d := range digits {
		n = n*10 + int(d)
	}
	return n
}

// twoOf returns the number formed by the two digits at i.
func twoOf(d []byte, i int) int { return int(d[i])*10 + int(d[i+1]) }

// dated reports whether month and day form a date.
func dated(month, day int) bool {
	const days = "\x1f\x1d\x1f\x1e\x1f\x1e\x1f\x1f\x1e\x1f\x1e\x1f"
	return month >= 1 && month <= 12 && day >= 1 && day <= int(days[month-1])
}

// plain reports whether all digits are equal.
func plain(d []byte) bool {
	for _, n := range d[1:] {
		if n != d[0] {
			return false
		}
	}
	return true
}

// iso11and10 is the check of ISO 7064, modulo 11 and 10.
func iso11and10(d []byte) bool {
	product := 10
	for _, n := range d[:len(d)-1] {
		sum := (int(n) + product) % 10
		if sum == 0 {
			sum = 10
		}
		product = sum * 2 % 11
	}
	return (11-product)%10 == int(d[len(d)-1])
}

func usSSN(b []byte) bool {
	d, ok := numbersOf(new(room), b)
	if !ok || len(d) != 9 {
		return false
	}
	area := number(d[:3])
	return area != 0 && area != 666 && area < 900 && twoOf(d, 3) != 0 && number(d[5:]) != 0 && !plain(d) && number(d) != 123456789
}

func usITIN(b []byte) bool {
	d, ok := numbersOf(new(room), b)
	if !ok || len(d) != 9 || d[0] != 9 {
		return false
	}
	group := twoOf(d, 3)
	return group >= 50 && group <= 65 || group >= 70 && group <= 88 || group >= 90 && group <= 92 || group >= 94
}

func usRouting(b []byte) bool {
	d, ok := numbersOf(new(room), b)
	if !ok || len(d) != 9 {
		return false
	}
	district := twoOf(d, 0)
	issued := district >= 1 && district <= 12 || district >= 21 && district <= 32 || district >= 61 && district <= 72 || district == 80
	return issued && weightedSum(d, 3, 7, 1, 3, 7, 1, 3, 7, 1)%10 == 0
}

// macAddress accepts device addresses, but no broadcast or empty ones.
func macAddress(b []byte) bool {
	zeros, ones := 0, 0
	for i := 0; i+1 < len(b); i += 3 {
		if i+2 < len(b) && b[i+2] != b[2] {
			return false
		}
		switch hexDigit(b[i])<<4 | hexDigit(b[i+1]) {
		case 0:
			zeros++
		case 0xff:
			ones++
		}
	}
	return len(b) == 17 && zeros < 6 && ones < 6
}
