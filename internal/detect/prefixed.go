package detect

const (
	// prefixBytes is the maximum length of the words before a token's random part.
	// prefixedJudged is the number of bytes checked of the token.
	prefixBytes    = 40
	prefixedJudged = 120

	// wordLeast is the minimum length of a prefix that does not mean a secret. Two letters may
	// precede a dash by chance, as in the identifier of a shared document.
	wordLeast = 3

	// Minimum length of the random part, without and with a word that means a secret.
	prefixedLeast = 32
	tellingLeast  = 20

	// hexLeast is the minimum number of hexadecimal digits after a word that does not mean a
	// secret. UUIDs and MD5 sums have 32.
	hexLeast = 40

	// rowLeast is the minimum number of letters and digits in a row. A UUID has 12.
	rowLeast = 13
)

// prefixed finds tokens of services without a rule: one or more words, as vendors put before
// their tokens, then _ or - and a long random row: apify_api_..., nango_sk_... Identifiers look
// similar. So prefixed requires more characters than identifiers have, and knows the words of
// common identifiers.
func prefixed() anchor {
	identifiers := wordSet(`resp response msg message call tool toolu file batch run thread asst assistant chatcmpl cmpl completion req request gen vs step evt event
		rs fc ws ig ci mcp mcpl mcpr conv item trace span id sha sha1 sha224 sha256 sha384 sha512 md5 rev commit build main master img image cs seti in pi cus sub prod
		price user usr org team proj project acct account session object obj doc document chunk node pod job task item upload part etag cache hash digest integrity
		ftjob ft ckpt model embd embedding blob layer snapshot ver version litellm azure bedrock vertex google gcp aws amazon`)
	things := wordSet(`hashed git ref block tx txn transaction receipt sum checksum fingerprint content data name path dir archive bundle package pkg lib src asset media photo video audio icon font avatar thumb thumbnail
		container volume network vol net host cluster instance device machine worker agent app application service svc function lambda stack resource
		customer client member tenant workspace account invoice order payment charge refund product plan coupon card bank cart address contact lead deal ticket issue comment post page email mail template campaign
		query index shard partition stream topic queue offset record row table column schema migration dataset datasource report export import backup log event audit alert metric test suite case feature flag experiment variant segment`)
	telling := wordSet(`sk secret sec pat tok token key apikey priv private rk auth cred credential pass password pwd access refresh bearer live sandbox ak uak`)
	environments := wordSet(`test prod dev stg`)
	return anchor{
		pattern: pattern{alphanumeric, setOf("_-")}, back: prefixBytes + 2, ahead: prefixedJudged, least: tellingLeast,
		find: func(window []byte, at int) (Finding, bool) {
			if !vendorWord(wordBefore(window[:at])) {
				return Finding{}, false // as in most identifiers
			}
			rest := window[at+1:]
			row, total := longestRow(rest)
			if total < tellingLeast || !drawnRow(row, total, true, true, true) {
				return Finding{}, false
			}
			start := at
			for start > 0 && base64URL[window[start-1]] {
				start--
			}
			if start > 0 && window[start-1] == '\\' && start+1 < at {
				start++ // after an escape
			}
			if at-start > prefixBytes || start > 0 && (base64Std[window[start-1]] || window[start-1] == '.') && !begins(window, start) {
				return Finding{}, false
			}
			words, told, thing := true, false, false
			eachWord(window[start:at], func(word []byte, first bool) {
				words = words && vendorWord(word)
				var room [12]byte
				w := folded(room[:0], word)
				told = told || telling[string(w)] || !first && environments[string(w)] && window[at] == '_' && mixedRow(row)
				words = words && !(first && identifiers[string(w)])
				thing = thing || things[string(w)]
			})
			few := at-start == 2 && window[at] == '_' && len(row) == total && (len(row) >= hexLeast && hexadecimal(row) || classOf[window[start]] == lower && mixedRow(row) && (start == 0 || window[start-1] != '/'))
			if short := at-start < wordLeast && !few; !words || !told && short {
				return Finding{}, false
			}
			eachWord(rest[:min(total, prefixBytes)], func(word []byte, _ bool) { told = told || len(word) < 8 && telling[string(word)] })
			return Finding{Start: start, End: at + 1 + total}, drawnRow(row, total, told, window[at] == '_', !thing)
		},
		extend: func(text []byte, f Finding) int {
			end := f.End
			for {
				end += tokenBytes.span(text[end:])
				if end+1 >= len(text) || text[end] != '.' || alphanumeric.span(text[end+1:min(len(text), end+9)]) < 8 {
					return end
				}
				end++
			}
		},
	}
}

var tokenBytes = charsetOf("A-Za-z0-9_+/=-")

// wordBefore returns the letters and digits at the end of b, without the letter of an escape
// before them.
func wordBefore(b []byte) []byte {
	start := len(b)
	for start > 0 && start+prefixBytes > len(b) && alphanumeric[b[start-1]] {
		start--
	}
	if start > 0 && b[start-1] == '\\' && start+1 < len(b) {
		start++
	}
	return b[start:]
}

// eachWord calls f for each part of b between underscores and dashes.
func eachWord(b []byte, f func(word []byte, first bool)) {
	first := true
	for len(b) > 0 {
		n := alphanumeric.span(b)
		f(b[:n], first)
		b, first = b[min(len(b), n+1):], false
	}
}

// vendorWord reports whether a vendor could put this word before its tokens: letters of one
// case, perhaps followed by digits.
func vendorWord(word []byte) bool {
	letters := 0
	for letters < len(word) && classOf[word[letters]]&(lower|upper) != 0 {
		letters++
	}
	if letters == 0 || len(word) > 12 {
		return false
	}
	seen, _ := classes(word[:letters])
	for _, c := range word[letters:] {
		if classOf[c] != digit {
			return false
		}
	}
	return seen == lower || seen == upper
}

// longestRow returns the longest row of letters and digits at the beginning of b, and the total
// length of all rows. Rows may be joined by _ and -.
func longestRow(b []byte) (row []byte, total int) {
	begin, end := 0, 0
	from := 0
	for ; total < len(b) && base64URL[b[total]]; total++ {
		if b[total] == '-' || b[total] == '_' {
			from = total + 1
		} else if total+1-from > end-begin {
			begin, end = from, total+1
		}
	}
	return b[begin:min(end, begin+judged)], total
}

// drawnRow reports whether a row is random and it, or the total characters around it, are
// longer than identifiers. told: a word means a secret. vendor: no word names a thing that has
// a hash.
func drawnRow(row []byte, total int, told, underscore, vendor bool) bool {
	if len(row) < rowLeast {
		return false
	}
	seen, _ := classes(row)
	changes := 0
	for i := 1; i < len(row); i++ {
		if classOf[row[i]] != classOf[row[i-1]] {
			changes++
		}
	}
	least := prefixedLeast
	if told {
		least = tellingLeast
	}
	switch {
	case total < least || seen&digit == 0:
		return false
	case seen == lower|upper|digit:
		return changes*3 >= len(row)
	case hexadecimal(row):
		return (told || vendor && underscore && len(row) >= hexLeast || vendor && total > hexLeast && total < judged && len(row) == total && total != 56) && len(row) >= prefixedLeast && seen != digit
	}
	return (underscore || told) && seen != digit && len(row) >= min(least, 24) && changes*4 >= len(row)
}

// mixedRow reports whether a row has letters of both cases and digits, like most new tokens of
// vendors.
func mixedRow(row []byte) bool {
	seen, _ := classes(row)
	return seen&alnumClasses == alnumClasses
}

// longWord is longer than the letters of any word.
const longWord = 16

// oneRow reports whether b begins with a row of letters or digits that is too long for a word.
func oneRow(b []byte) bool { return alphanumeric.span(b[:min(len(b), longWord)]) == longWord }
