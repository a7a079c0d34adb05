package detect

import "bytes"

// Values in sentences, recognised by the words before them.

// sayingWords are the words between a name and its value in sentences of the major languages.
var sayingWords = []string{" is ", " was ", " ist ", " war ", " lautet ", " lautet nun ", " ist nun ", " ist jetzt ", " is now ", "'s ", " are ", " est ", " es ", " \xc3\xa9 ", " \xc3\xa8 ", " is\n", " \xc3\xa4r ", " l\xc3\xa0 ", " jest ", "\xe3\x82\x92", "\xe3\x81\x8c", "\xeb\x8a\x94 ", "\xec\x9d\x80 ", "\xe6\x94\xb9\xe6\x88\x90", "\xe6\x98\xaf", "\xe4\xb8\xba", "\xe3\x81\xaf", "\xef\xbc\x9a", "\xef\xbc\x9d"}

// follows checks "password value", as in SQL, in netrc files and in what people write.
func (n *named) follows(text []byte, at int) (Finding, bool) { return n.told(text, at, at) }

var ascii = charsetOf("!-~")

// told checks a value after text[at] whose name ends at end.
func (n *named) told(text []byte, end, at int) (Finding, bool) {
	if end <= 0 {
		return Finding{}, false
	}
	start := at + 1 + markup(text[at+1:])
	for from := start; start < len(text) && start < from+betweenBytes-1 && (text[start] == ' ' || opening[text[start]]); {
		start++
	}
	if start+2 < len(text) && classOf[text[start]] == digit && text[start+1] == ' ' {
		start += 2 // the type of the value, as network devices write it
	}
	value := text[start : start+valueSpan(text[:min(len(text), start+valueJudged)], start)]
	if text[at] >= 0x80 { // no space ends it there
		value = value[:ascii.span(value)]
	}
	if size := curly(text[start:min(len(text), start+4)]); size > 0 {
		start += size
		for start < len(text) && (text[start] == ' ' || text[start] == 0xc2 || text[start] == 0xa0) {
			start++
		}
		value = text[start : start+valueSpan(text[:min(len(text), start+valueJudged)], start)]
		value = value[:ascii.span(value)]
	}
	value = bytes.TrimRight(value, ".!?")
	if seen, _ := classes(value); seen&digit == 0 || len(value) < 7 || path(value) {
		return Finding{}, false
	}
	name := text[nameStart(text[:end]):end]
	kinds := n.spoken(name)
	if kinds == 0 && mixedWord(value) {
		kinds = n.phrased(name)
	}
	detector := n.judge(kinds, value, written_)
	return Finding{Start: start, End: start + len(value), Detector: detector}, detector != ""
}

// spoken returns the meaning of a name in a sentence, perhaps with words about its place: "the
// password for the database".
func (n *named) spoken(name []byte) kind {
	if kinds := n.names.tells(name); kinds != 0 {
		return kinds
	}
	for _, of := range []string{" for ", " of ", " on "} {
		if i := bytes.LastIndex(name, []byte(of)); i > 0 {
			if kinds := n.names.tells(name[:i]); kinds != 0 && kinds&bare == 0 {
				return kinds
			}
		}
	}
	if len(name) > 0 && name[len(name)-1] >= 0x80 {
		for _, verb := range becoming {
			if before, ok := bytes.CutSuffix(name, []byte(verb)); ok {
				return n.names.tells(bytes.TrimSuffix(before, []byte("\xe5\xb7\xb2")))
			}
		}
	}
	return 0
}

// becoming are Chinese verbs between a name and its value.
var becoming = []string{"\xe9\x87\x8d\xe7\xbd\xae", "\xe4\xbf\xae\xe6\x94\xb9", "\xe6\x9b\xb4\xe6\x94\xb9", "\xe6\x9b\xb4\xe6\x96\xb0", "\xe5\x8f\x98\xe6\x9b\xb4", "\xe6\x94\xb9", "\xe8\xae\xbe\xe7\xbd\xae", "\xe8\xae\xbe"}

// curly returns the length of the quote outside ASCII at the beginning of b.
func curly(b []byte) int {
	switch {
	case len(b) > 3 && b[0] == 0xe2 && b[1] == 0x80 && (b[2] >= 0x98 && b[2] <= 0x9f || b[2] == 0xb9):
		return 3
	case len(b) > 3 && b[0] == 0xe3 && b[1] == 0x80 && (b[2] == 0x8c || b[2] == 0x8e), len(b) > 3 && string(b[:3]) == "\xef\xbc\x9a":
		return 3
	case len(b) > 2 && b[0] == 0xc2 && b[1] == 0xab:
		return 2
	}
	return 0
}

// advised reports whether a name with the word key is recommended to the reader: "use key".
// Elsewhere, key alone has no meaning.
func advised(name []byte) bool {
	word, name := lastWord(bytes.TrimRight(name, " "))
	if len(word) == 0 || len(word) > 8 {
		return false
	}
	word, _ = lastWord(bytes.TrimRight(name, " "))
	var room [8]byte
	switch string(folded(room[:0], word)) {
	case "use", "using", "with", "try", "enter", "my", "your", "set":
		return true
	}
	return false
}

// lastWord returns the last word of b, and the text before it.
func lastWord(b []byte) (word, before []byte) {
	i := bytes.LastIndexByte(b, ' ')
	return b[i+1:], b[:max(i, 0)]
}

// bracketed checks "the API key (value)", where the brackets contain only the value, and "value
// (password)".
func (n *named) bracketed(text []byte, at int) (Finding, bool) {
	if f, ok := n.told(text, at-1, at); ok && f.End < len(text) && text[f.End] == ')' {
		return f, true
	}
	return n.noted(text, at)
}

// notedBytes is the maximum length of a name in brackets.
const notedBytes = 24

// noted checks a value before text[at], a bracket that contains only password or a word for it.
// Such a bracket may also describe how a user or a host logs in: "mail-7 (password)".
func (n *named) noted(text []byte, at int) (Finding, bool) {
	size := bytes.IndexByte(text[at+1:min(len(text), at+1+notedBytes)], ')')
	if size < 2 {
		return Finding{}, false
	}
	kinds := n.names.tells(text[at+1 : at+1+size])
	if kinds&password == 0 {
		return Finding{}, false
	}
	f, ok := n.before(text, at-1, kinds)
	if !ok {
		return Finding{}, false
	}
	value := text[f.Start:f.End]
	seen, _ := classes(value)
	drawn := seen&lower != 0 && seen&upper != 0 || len(value) >= 16 && random(value)
	return f, drawn && bytes.IndexByte(value, '@') < 0
}

// before checks the value that ends at end; the text after it names one of kinds.
func (n *named) before(text []byte, end int, kinds kind) (Finding, bool) {
	for end > 0 && quotes[text[end-1]] {
		end--
	}
	start := end
	for start > 0 && end-start < valueJudged && !spokenEnd[text[start-1]] {
		start--
	}
	value := text[start:end]
	if seen, _ := classes(value); seen&digit == 0 || len(value) < 8 || path(value) {
		return Finding{}, false
	}
	detector := n.judge(kinds, value, written_)
	return Finding{Start: start, End: end, Detector: detector}, detector != ""
}

// spokenEnd is the set of bytes before a value in a sentence.
var spokenEnd = charsetOf(" \t\r\n\"'`(<[{,;")

// calling are texts between a value and its name.
var calling = []string{" as ", " as the ", " as your ", " as my ", " as a ", " as an ", " is the ", " is my ", " is your ", " is our ", " is a ", " is his ", " is her "}

// phraseWords is the maximum number of words in such a name.
const phraseWords = 4

// called checks "use value as the password" and "value is the new password".
func (n *named) called(size int) func(window []byte, at int) (Finding, bool) {
	return func(window []byte, at int) (Finding, bool) {
		end := at + 1 - size
		if end <= 0 {
			return Finding{}, false
		}
		rest := window[at+1:]
		stop := bytes.IndexAny(rest, ".,;:!?()\n\"'")
		if stop < 0 {
			stop = len(rest)
		}
		phrase := rest[:stop]
		words := 0
		for i, c := range phrase {
			if c == ' ' {
				if words++; words == phraseWords {
					phrase = phrase[:i]
					break
				}
			}
		}
		for _, after := range []string{" for ", " of ", " on ", " in ", " to ", " and ", " at "} {
			if i := bytes.Index(phrase, []byte(after)); i > 0 {
				phrase = phrase[:i]
			}
		}
		kinds := n.names.tells(phrase)
		if kinds&(password|token) == 0 {
			return Finding{}, false
		}
		f, ok := n.before(window, end, kinds)
		if ok && size == len(" as ") && (window[end+1] != 'a' || columnName.all(window[f.Start:f.End])) {
			return f, false // a column of a query
		}
		return f, ok
	}
}

// columnName is the set of bytes in names of columns and in calls.
var columnName = charsetOf("a-z0-9_.()")

// path reports whether a word is the path of a file.
func path(word []byte) bool {
	i := bytes.IndexByte(word, '/')
	return i == 0 && bytes.IndexByte(word[1:], '/') > 0 || i == 1 && (word[0] == '.' || word[0] == '~')
}

// becomes checks "password set to value" and "password changed to value".
func (n *named) becomes(text []byte, at int) (Finding, bool) {
	end := at - len(" to")
	start := max(end, 0)
	for start > 0 && alphanumeric[text[start-1]] {
		start--
	}
	switch string(text[start:max(end, start)]) {
	case "set", "changed", "reset", "updated", "rotated", "modified":
		return n.told(text, start-1, at)
	}
	return n.changing(text, end, at)
}

// was checks "password changed from value".
func (n *named) was(text []byte, at int) (Finding, bool) {
	end := at - len(" from")
	start := max(end, 0)
	for start > 0 && alphanumeric[text[start-1]] {
		start--
	}
	switch string(text[start:max(end, start)]) {
	case "changed", "reset", "updated", "rotated", "modified":
		return n.told(text, start-1, at)
	}
	return n.changing(text, end, at)
}

// arrow checks the value after name: value -> value.
func (n *named) arrow(text []byte, at int) (Finding, bool) {
	before := text[max(0, at-tagBytes):at]
	if line := bytes.LastIndexByte(before, '\n'); line >= 0 {
		before = before[line+1:]
	}
	for i := len(before) - 1; i > 0; i-- {
		if before[i] != ':' && before[i] != '=' {
			continue
		}
		name, ok := n.nameBefore(before, i)
		kinds := kind(0)
		if ok {
			if kinds = n.names.tells(name); kinds == 0 {
				kinds = n.phrased(name)
			}
		}
		if kinds == 0 {
			continue
		}
		start := at + 1
		for start < len(text) && start < at+betweenBytes && (text[start] == ' ' || quotes[text[start]]) {
			start++
		}
		value := text[start : start+valueSpan(text[:min(len(text), start+valueJudged)], start)]
		detector := n.judge(kinds, value, assigned)
		return Finding{Start: start, End: start + len(value), Detector: detector}, detector != ""
	}
	for _, mark := range []string{" \xe2\x86\x92", " ->"} {
		if end := at - len(mark); end > 0 && bytes.HasSuffix(text[:at], []byte(mark)) {
			if quotes[text[end-1]] {
				end--
			}
			return n.told(text, end, at)
		}
	}
	return Finding{}, false
}
