package detect

// ibanMost is the maximum length of an IBAN that the standard allows. The longest ones in use
// have 31 (Malta) and 32 (Saint Lucia) characters.
const ibanMost = 34

func iban() anchor {
	lengths := ibanLengths()
	return anchor{
		pattern: pair("ABCDEFGHIJKLMNOPQRSTUVWXYZ", digits), back: 2 + escapeBytes, ahead: ibanMost + ibanMost/4,
		find: func(window []byte, at int) (Finding, bool) {
			start := at - 2
			if start < 0 || classOf[window[start]] != upper || !begins(window, start) {
				return Finding{}, false
			}
			length := lengths[[2]byte{window[start], window[start+1]}]
			end, ok := ibanEnd(window, start, length)
			return Finding{Start: start, End: end}, ok
		},
	}
}

// ibanEnd reads length capitals and digits at b[start] and checks them modulo 97.
func ibanEnd(b []byte, start, length int) (end int, ok bool) {
	if length == 0 {
		return 0, false
	}
	var separator byte
	var number [ibanMost]byte
	count := 0
	for end = start; end < len(b) && count < length; end++ {
		c := b[end]
		if count%4 == 0 && count > 0 && (c == ' ' || c == '-') && (separator == c || separator == 0 && count == 4) {
			separator = c
			continue
		}
		if !upperDigits[c] {
			return 0, false
		}
		number[count] = c
		count++
	}
	if count < length || end < len(b) && alphanumeric[b[end]] {
		return 0, false
	}
	rest := 0
	for i := range count {
		c := number[(i+4)%count] // the country and its digits last
		if classOf[c] == digit {
			rest = (rest*10 + int(c-'0')) % 97
		} else {
			rest = (rest*100 + int(c-'A') + 10) % 97
		}
	}
	return end, rest == 1
}

// ibanLengths returns the lengths in the register, by country.
func ibanLengths() map[[2]byte]int {
	lengths := make(map[[2]byte]int)
	for length, countries := range map[int]string{
		15: "NO", 16: "BE", 18: "DKFIFOGLNLFKSD", 19: "MKSI", 20: "ATBAEEKZLTLUXKMN", 21: "CHHRLILV",
		22: "BGBHCRDEGBGEIEMERSVA", 23: "AEILGIIQTLOMSO", 24: "ADCZESMDPKROSASESKTNVG", 25: "LYPTST",
		26: "ISTR", 27: "BIDJFRGRITMCMRSM", 28: "ALAZBYCYDOGTHNHULBPLSVNI", 29: "BREGPSQAUA", 30: "JOKWMUYE",
		31: "MTSC", 32: "LC", 33: "RU",
	} {
		for i := 0; i < len(countries); i += 2 {
			lengths[[2]byte{countries[i], countries[i+1]}] = length
		}
	}
	return lengths
}
