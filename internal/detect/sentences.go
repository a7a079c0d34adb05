package detect

import "bytes"

// Values in sentences, by the words before them.

// sayingWords are what stands between a name and its value where people tell it, in the
// larger languages.
var sayingWords = []string{" is ", " was ", " ist ", " war ", " lautet ", " lautet nun ", " ist nun ", " ist jetzt ", " is now ", " are ", " est ", " es ", " \xc3\xa9 ", " \xc3\xa8 ", "\xe6\x98\xaf", "\xe4\xb8\xba", "\xe3\x81\xaf", "\xef\xbc\x9a", "\xef\xbc\x9d"}

// follows looks at "password value", as SQL, netrc files and people have it.
func (n *named) follows(text []byte, at int) (Finding, bool) { return n.told(text, at, at) }

var ascii = charsetOf("!-~")

// told looks at a value behind text[at], whose name ends at end.
func (n *named) told(text []byte, end, at int) (Finding, bool) {
	if end <= 0 {
		return Finding{}, false
	}
	start := at + 1
	for start < len(text) && start < at+betweenBytes && (text[start] == ' ' || opening[text[start]]) {
		start++
	}
	if start+2 < len(text) && classOf[text[start]] == digit && text[start+1] == ' ' {
		start += 2 // how the value is written, as network devices have it
	}
	value := text[start : start+valueSpan(text[:min(len(text), start+valueJudged)], start)]
	if text[at] >= 0x80 { // no space ends it there
		value = value[:ascii.span(value)]
	}
	value = bytes.TrimRight(value, ".!?")
	if seen, _ := classes(value); seen&digit == 0 || len(value) < 8 || path(value) {
		return Finding{}, false
	}
	kinds := n.names.tells(text[nameStart(text[:end]):end])
	detector := n.judge(kinds, value, written_)
	return Finding{Start: start, End: start + len(value), Detector: detector}, detector != ""
}

// path reports whether a word is the path of a file.
func path(word []byte) bool {
	i := bytes.IndexByte(word, '/')
	return i == 0 && bytes.IndexByte(word[1:], '/') > 0 || i == 1 && (word[0] == '.' || word[0] == '~')
}

// becomes looks at "password set to value", "password changed to value".
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

// was looks at "password changed from value".
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

// changing looks at "set the password to value": a name before end, before which a verb
// says that it changes.
func (n *named) changing(text []byte, end, at int) (Finding, bool) {
	before := text[max(0, end-tagBytes/4):max(end, 0)]
	for _, verb := range []string{"set ", "hange ", "hanged ", "eset ", "pdate ", "pdated ", "otate ", "otated "} {
		if bytes.Contains(before, []byte(verb)) {
			return n.told(text, end, at)
		}
	}
	return Finding{}, false
}

// arrow looks at the value behind name: value -> value.
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
			kinds = n.names.tells(name)
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
			return n.told(text, end, at)
		}
	}
	return Finding{}, false
}
