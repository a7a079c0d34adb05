package detect

import "bytes"

// Values in formats that do not write name, sign and value.

// constructors are calls around an assigned value in programs.
var constructors = []string{"String::from(", "SecretString::from(", "SecretString::new(", "Secret::new(", "SecretStr(", "Secret(", "new String(", "String(", "str(", "bytes(", "std::string(", "Some(", "<<"}

// constructed returns the start of the value inside such a call, or after the type and length
// in the output of PHP's var_dump. It returns start if there is none.
func constructed(text []byte, start int) int {
	rest := text[start:]
	for _, c := range constructors {
		if size := len(c); len(rest) > size && quotes[rest[size]] && string(rest[:size]) == c {
			return start + size + 1
		}
	}
	if bytes.HasPrefix(rest, []byte("\n")) && start > 1 && text[start-1] == '>' {
		size := 1 + blank.span(rest[1:])
		rest, start = rest[size:], start+size // PHP's, on the next line
	}
	if dumped := []byte("string("); bytes.HasPrefix(rest, dumped) {
		size := len(dumped) + digitSet.span(rest[len(dumped):])
		if bytes.HasPrefix(rest[size:], []byte(") \"")) {
			return start + size + 3
		}
	}
	return start
}

// serialized checks PHP's serialize: s:8:"password";s:6:"secret".
func (n *named) serialized(window []byte, at int) (Finding, bool) {
	end := at - 3
	start := bytes.LastIndexByte(window[:max(end, 0)], '"') + 1
	if start == 0 {
		return Finding{}, false
	}
	kinds := n.names.tells(window[start:end])
	size := digitSet.span(window[at+1:])
	from := at + 1 + size + 2
	if kinds == 0 || size == 0 || from >= len(window) || window[from-1] != '"' {
		return Finding{}, false
	}
	return n.phrase(kinds, window, from, extendSerialized(window, Finding{Start: from, End: from}))
}

// extendSerialized returns the end of a value in PHP's serialize. If a quote follows at the
// stated length, the value ends there. Otherwise the text was re-encoded, and the value ends at
// the last quote before that length.
func extendSerialized(text []byte, f Finding) int {
	const most = 12
	digits := text[max(0, f.Start-2-most):max(0, f.Start-2)]
	length := 0
	for _, c := range digits[len(digits)-digitsBefore(digits):] {
		length = length*10 + int(c-'0')
	}
	if end := f.Start + length; end < len(text) && text[end] == '"' {
		return end
	}
	near := text[f.Start:min(len(text), f.Start+min(length, valueJudged)+1)]
	return f.Start + max(valueSpan(text, f.Start), bytes.LastIndex(near, []byte("\";")))
}

// digitsBefore returns the number of digits at the end of b.
func digitsBefore(b []byte) (n int) {
	for n < len(b) && digitSet[b[len(b)-1-n]] {
		n++
	}
	return n
}

// wireless checks the password in the text of a network code: WIFI:T:WPA;S:name;P:password;; in
// which a backslash precedes a semicolon of a value.
func (n *named) wireless(window []byte, at int) (Finding, bool) {
	end := at + 1
	for end < len(window) && window[end] != '\n' && (window[end] != ';' || window[end-1] == '\\') {
		end++
	}
	if !bytes.Contains(window[:at], []byte("WIFI:")) {
		return Finding{}, false
	}
	return n.phrase(password, window, at+1, end)
}

// phrase checks a value with delimiters, which may contain spaces. It is a secret if it were
// one without the spaces.
func (n *named) phrase(kinds kind, window []byte, start, end int) (Finding, bool) {
	var room [valueJudged]byte
	joined := room[:0]
	for _, c := range window[start:min(end, start+valueJudged)] {
		if !white[c] {
			joined = append(joined, c)
		}
	}
	if placeholder(window[start:end]) {
		return Finding{}, false
	}
	detector := n.judge(kinds, joined, assigned)
	return Finding{Start: start, End: end, Detector: detector}, detector != ""
}

// third checks the password of htpasswd -b FILE USER PASSWORD, and of htpasswd -n -b USER
// PASSWORD, which prints its result.
func (n *named) third(window []byte, at int) (Finding, bool) {
	start, batch, before := at+1, false, 2
	for start < len(window) {
		start += blank.span(window[start:])
		begin, end, next := argument(window, start)
		word := window[begin:end]
		switch {
		case next == start: // the line's end
			return Finding{}, false
		case before == 0:
			if !batch {
				return Finding{}, false
			}
			return n.phrase(password, window, begin, end)
		case len(word) > 1 && word[0] == '-':
			batch = batch || bytes.IndexByte(word, 'b') > 0
			if bytes.IndexByte(word, 'n') > 0 {
				before-- // no file argument
			}
			if last := word[len(word)-1]; last == 'C' || last == 'r' { // a number follows
				next += blank.span(window[next:])
				next += exceptBlank.span(window[next:])
			}
		default:
			before--
		}
		start = next
	}
	return Finding{}, false
}

// argument returns the position of a command's argument at b[start] without its quotes, and
// next, its end with them. At the end of b or of a line, next is start.
func argument(b []byte, start int) (begin, end, next int) {
	begin = start
	for begin < len(b) && begin < start+betweenBytes && b[begin] == '\\' {
		begin++ // of a text within a text
	}
	if begin == len(b) || !quotes[b[begin]] {
		next = start + exceptBlank.span(b[start:])
		return start, start + len(bytes.TrimRight(b[start:next], quoteBytes+"\\")), next
	}
	escapes := begin - start
	begin++
	end = begin + valueSpan(b, begin)
	next = end
	for next < len(b) && next < end+betweenBytes && b[next] == '\\' {
		next++
	}
	if next < len(b) && quotes[b[next]] {
		next++
	}
	for ; escapes > 1 && end > begin && b[end-1] == '\\'; escapes-- {
		end--
	}
	return begin, end, next
}

// extendArgument extends a finding to the end of an argument cut by the window.
func extendArgument(text []byte, f Finding) int {
	switch {
	case f.End == len(text) || quotes[text[f.End]] || text[f.End] == '\\':
		return f.End
	case f.Start > 0 && quotes[text[f.Start-1]]:
		return f.Start + valueSpan(text, f.Start)
	}
	_, end, _ := argument(text, f.Start)
	return end
}

// listedUnder returns the meaning of the key above an entry, as in YAML's lists of secrets by
// name: "passwords:", and below it " bob: secret".
func (n *named) listedUnder(text []byte, at int, name []byte) kind {
	if text[at] != ':' || at+1 < len(text) && !white[text[at+1]] {
		return 0
	}
	name = bytes.TrimLeft(name, " ")
	begin := at - len(name)
	indent := indentBefore(text, begin)
	if indent <= 0 || text[begin-indent-1] != '\n' {
		return 0
	}
	low := max(0, at-tagBytes)
	for end := begin - indent - 1; end > low; {
		start := low + bytes.LastIndexByte(text[low:end], '\n') + 1
		line := bytes.TrimRight(text[start:end], " \r")
		spaces := len(line) - len(bytes.TrimLeft(line, " "))
		if len(line) > 0 && spaces < indent {
			if line[len(line)-1] != ':' {
				return 0
			}
			parent := line[spaces : len(line)-1]
			if k := n.names.tells(parent); k&(password|token) != 0 && bytes.HasSuffix(parent, []byte("s")) {
				return k
			}
			return 0
		}
		end = start - 1
	}
	return 0
}

// indentBefore returns the number of spaces before text[at] on its line, or -1 if there are
// other characters.
func indentBefore(text []byte, at int) int {
	start := at
	for start > 0 && text[start-1] == ' ' && at-start < nameBytes {
		start--
	}
	if start == 0 || text[start-1] != '\n' {
		return -1
	}
	return at - start
}

// cellsMost is the maximum number of cells counted in a row of an HTML table.
const cellsMost = 16

// tableCell checks a cell of an HTML table with a meaningful heading.
func (n *named) tableCell(text []byte, at int) (Finding, bool) {
	const before = 1024
	window := text[max(0, at-before):at]
	row, column := len(window), -1 // number of cells before this one
	for !bytes.HasPrefix(window[row:], []byte("<tr")) {
		if bytes.HasPrefix(window[row:], []byte("<td")) {
			column++
		}
		if row = bytes.LastIndexByte(window[:row], '<'); row < 0 || column > cellsMost {
			return Finding{}, false
		}
	}
	head := bytes.Index(window[:row], []byte("<th"))
	if head < 0 || column < 0 || column > cellsMost {
		return Finding{}, false
	}
	heading := window[head:]
	for range column {
		next := bytes.Index(heading[1:], []byte("<th"))
		if next < 0 {
			return Finding{}, false
		}
		heading = heading[1+next:]
	}
	open := bytes.IndexByte(heading, '>')
	size := bytes.IndexByte(heading[open+1:], '<')
	if open < 0 || size < 0 {
		return Finding{}, false
	}
	kinds := n.names.tells(bytes.TrimSpace(heading[open+1 : open+1+size]))
	end := bytes.IndexByte(text[at+1:min(len(text), at+1+valueJudged)], '<')
	if kinds == 0 || end < 0 {
		return Finding{}, false
	}
	detector := n.judge(kinds, text[at+1:at+1+end], assigned)
	return Finding{Start: at + 1, End: at + 1 + end, Detector: detector}, detector != ""
}
