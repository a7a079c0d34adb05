package detect

import "bytes"

// namedRule is a detector of values beside meaningful names.
type namedRule struct {
	detector string
	kinds    kind
	value    func(kinds kind, value []byte, how manner) bool
}

// manner is the way in which a value is written beside its name.
type manner uint8

const (
	held     manner = iota // in a member of that name
	written_               // in a text, after a colon or the like
	assigned               // in a text, after a sign of an assignment in a program
	schemed                // after a scheme, such as "Bearer"
)

// named is a list of rules in the order of their checks.
type named struct {
	rules []namedRule
	names *names
}

const (
	// valueLeast is the minimum length of a named value in bytes.
	valueLeast = 4
	// valueJudged is the number of bytes checked of a value within a text.
	valueJudged = 160
	// betweenBytes is the maximum number of quotes, escapes and brackets between a name and its
	// sign, and between the sign and its value. Spaces do not count.
	betweenBytes = 6
	// pseudonymName is how far before a sign the beginning of a pseudonym is searched.
	pseudonymName = 96
	// tagName is the maximum length of a tag after a word in bold.
	tagName = 10
	// tagBytes is the maximum length of an XML tag.
	tagBytes = 160
)

// under returns the whole text as a finding if it is a secret under such a name. Surrounding
// white space and the scheme of an authorization are not part of the finding.
func (n *named) under(kinds kind, text []byte) (Finding, bool) {
	if len(n.rules) == 0 {
		return Finding{}, false
	}
	start, end := 0, len(text)
	for start < end && white[text[start]] {
		start++
	}
	for start < end && white[text[end-1]] {
		end--
	}
	if kinds&jar != 0 && cookie(text[start:end]) {
		if masked(text[start:end]) {
			return Finding{}, false
		}
		return Finding{Start: start, End: end, Detector: n.first(kinds)}, true
	}
	how := held
	if scheme := schemeSpan(text[start:end]); scheme > 0 {
		start, how = start+scheme, schemed
	}
	detector := n.judge(kinds, text[start:end], how)
	return Finding{Start: start, End: end, Detector: detector}, detector != ""
}

// judge returns the detector that accepts value as a secret under a name of these kinds, or ""
// if none does.
func (n *named) judge(kinds kind, value []byte, how manner) string {
	if len(value) < valueLeast {
		return ""
	}
	for _, rule := range n.rules {
		if k := kinds & rule.kinds; k != 0 && rule.value(kinds, value, how) {
			return rule.detector
		}
	}
	return ""
}

// first returns the detector of the first rule for names of these kinds.
func (n *named) first(kinds kind) string {
	for _, rule := range n.rules {
		if kinds&rule.kinds != 0 {
			return rule.detector
		}
	}
	return ""
}

// anchors returns the anchors of names and values within a text.
func (n *named) anchors() []anchor {
	extend := func(text []byte, f Finding) int { return f.Start + valueSpan(text, f.Start) }
	anchors := []anchor{
		{pattern: pattern{setOf(":=|")}, findIn: n.sign, extend: extend},
		{pattern: pair(quoteBytes, ","), back: nameBytes + betweenBytes, ahead: valueJudged, find: n.argument, extend: extend},
		{pattern: pair("(", quoteBytes), back: nameBytes + 1, ahead: valueJudged, find: n.call, extend: extend},
		{pattern: literal("form-data; name="), back: 16, ahead: partBytes + valueJudged, find: n.part},
		{pattern: literal("--"), back: commandBytes, ahead: nameBytes + valueJudged, find: n.flag, extend: extendFlag},
		{pattern: literal(" ("), findIn: n.bracketed},
		{pattern: literal(" to "), findIn: n.becomes, extend: extend},
		{pattern: literal(" from "), findIn: n.was, extend: extend},
		{pattern: literal("-> "), findIn: n.arrow, extend: extend},
		{pattern: literal("\xe2\x86\x92 "), findIn: n.arrow, extend: extend},
		{pattern: pattern{setOf(">")}, back: tagBytes, ahead: valueJudged + 16, find: n.element},
		{pattern: literal("identified by "), back: 14, ahead: valueJudged + 4, find: n.identified, extend: extend},
		{pattern: literal("_password by "), back: 14, ahead: valueJudged + 4, find: n.identified, extend: extend},
		{pattern: literal("\";s:"), back: nameBytes + 4, ahead: valueJudged + 12, find: n.serialized, extend: extendSerialized},
		{pattern: literal(";p:"), back: tagBytes, ahead: valueJudged, find: n.wireless},
		{pattern: literal("wifi:p:"), back: tagBytes, ahead: valueJudged, find: n.wireless},
		{pattern: literal("htpasswd "), back: 9, ahead: commandBytes + valueJudged, find: n.third, extend: extendArgument},
		{pattern: literal("<td>"), findIn: n.tableCell},
		{pattern: literal("-u "), back: commandBytes, ahead: valueJudged, find: n.user},
		{pattern: literal(" /p:"), back: commandBytes, ahead: valueJudged, find: n.remote},
		{pattern: append(literal(" -u"), alphanumeric), back: commandBytes, ahead: valueJudged, find: n.gluedUser},
		{pattern: literal("-user "), back: 8, ahead: valueJudged, find: n.user},
		{pattern: pattern{setOf(" "), setOf("-"), setOf("pPawbkKAXNt")}, back: commandBytes, ahead: valueJudged, find: n.option},
		{pattern: literal("oracle:thin:"), back: 12, ahead: valueJudged, find: n.scott},
		{pattern: literal("sqlplus "), back: 8, ahead: valueJudged, find: n.scott},
		{pattern: literal("impdp "), back: 8, ahead: valueJudged, find: n.scott},
		{pattern: literal("expdp "), back: 8, ahead: valueJudged, find: n.scott},
		{pattern: literal("sqlldr "), back: 8, ahead: valueJudged, find: n.scott},
		{pattern: literal("@//"), back: valueJudged, ahead: 1, find: n.easyConnect},
	}
	anchors = append(anchors, n.pipeAnchors(extend)...)
	anchors = append(anchors, anchor{pattern: literal("values ("), findIn: n.inserted}, anchor{pattern: literal("values("), findIn: n.inserted})
	for _, w := range calling {
		anchors = append(anchors, anchor{pattern: literal(w), back: valueJudged, ahead: tagBytes / 2, find: n.called(len(w))})
	}
	for _, w := range sayingWords {
		anchors = append(anchors, anchor{pattern: literal(w), findIn: func(text []byte, at int) (Finding, bool) { return n.told(text, at+1-len(w), at) }, extend: extend})
	}
	anchors = append(anchors, n.changeAnchors(extend)...)
	for _, w := range followed {
		anchors = append(anchors, anchor{pattern: append(literal(w), setOf(" \t")), findIn: n.follows, extend: extend})
	}
	return anchors
}

const quoteBytes = "\"'`"

var (
	around  = charsetOf("\"'`\\])")
	opening = charsetOf("\"'`\\=>:(")
	quotes  = charsetOf(quoteBytes)
	bareEnd = charsetOf(" \t\r\n\"'`\\,;&)]}<>|")
	nameSet = func() *charset {
		set := charsetOf("A-Za-z0-9_.-")
		for c := 0x80; c < 256; c++ {
			set[c] = true
		}
		return set
	}()
)

// sign checks name=value and name: value, either of them perhaps in quotes, as in
// configuration, query strings and truncated JSON.
func (n *named) sign(text []byte, at int) (Finding, bool) {
	name, ok := n.nameBefore(text, at)
	if !ok {
		return Finding{}, false
	}
	kinds, told := n.names.tells(name), false
	if kinds == 0 {
		if kinds = n.otherwise(text, at, name); kinds == 0 {
			if kinds = n.remarked(text, at, name); kinds == 0 {
				return Finding{}, false
			}
			told = true
		}
	}
	if kinds&aKey != 0 && text[at] == '=' {
		switch before := at - len(name) - 1; {
		case advised(name):
			kinds = password | token
		case before >= 0 && (text[before] == '?' || text[before] == '&'):
			kinds &^= bare // in a query: a common name of parameters
		}
	}
	start := constructed(text, valueStart(text, at))
	if size := parameters(name, text[start:min(len(text), start+headerBytes)]); size > 0 {
		return Finding{Start: start, End: start + size, Detector: n.first(kinds)}, true
	}
	if kinds&jar != 0 {
		if size := cookieSpan(text[start:min(len(text), start+cookieBytes)]); size > 0 {
			return Finding{Start: start, End: start + size, Detector: n.first(kinds)}, !masked(text[start : start+size])
		}
	}
	scheme := schemeSpan(text[start:min(len(text), start+valueJudged)])
	start += scheme
	if bytes.HasPrefix(text[start:], []byte("enc:")) && encrypted(text[start:start+valueSpan(text, start)]) {
		return Finding{}, false
	}
	end := min(len(text), start+valueJudged)
	value := text[start : start+valueSpan(text[:end], start)]
	if text[at] == '|' && len(value) < 16 && variableName.all(value) {
		return Finding{}, false // of a table, or a pipe
	}
	if told && !mixedWord(value) || assignment(text, start, value) {
		return Finding{}, false
	}
	if before := text[max(0, at-pseudonymName):at]; lowerHex.span(value) == pseudonymDigits && start == at+1 && text[at] == ':' {
		if from := bytes.LastIndex(before, []byte("hmac:")); from >= 0 && Pseudonym(text[at-len(before)+from:start+pseudonymDigits]) {
			return Finding{}, false // the name is that of a key
		}
	}
	if before := text[max(0, at-pseudonymName):at]; start == at+1 && text[at] == ':' && lowerHex[text[min(start, len(text)-1)]] {
		if from := bytes.LastIndex(before, []byte("enc:")); from >= 0 {
			digits := start + lowerHex.span(text[start:])
			if encrypted(text[at-len(before)+from : digits]) {
				return Finding{}, false
			}
		}
	}
	how := written_
	name = bytes.TrimLeft(name, " -")
	oneWord := bytes.IndexByte(name, ' ') < 0
	switch {
	case scheme > 0 && text[at] == ':':
		how = schemed
	case text[at] == '|':
	case start > 0 && quotes[text[start-1]],
		text[at] == '=' && (!white[text[at-1]] || oneWord),
		text[at] == ':' && oneWord && (bytes.IndexAny(name, "-_") > 0 || ofLines(text, at-len(name), start+len(value))):
		how = assigned // as in programs
	}
	if kinds&token != 0 && !path(value) && (exported(text, at, name, start+len(value)) || queried(text, at, name, value)) {
		kinds |= password // people choose such values too
	}
	detector := n.judge(kinds, value, how)
	if slash := start + len(value); detector == "" && bytes.HasPrefix(text[slash:], []byte(" / ")) { // creds: user / value
		start = slash + len(" / ")
		value = text[start : start+valueSpan(text[:min(len(text), start+valueJudged)], start)]
		detector = n.judge(kinds, value, written_)
	}
	return Finding{Start: start, End: start + len(value), Detector: detector}, detector != ""
}

// ofLines reports whether text[start:end], perhaps after spaces or the dash of a list, is a
// whole line among others, as in YAML.
func ofLines(text []byte, start, end int) bool {
	for start > 0 && (text[start-1] == ' ' || text[start-1] == '\t' || text[start-1] == '-') {
		start--
	}
	if end < len(text) && text[end] == '\r' {
		end++
	}
	first, last := start == 0, end == len(text)
	return (first || text[start-1] == '\n') && (last || text[end] == '\n') && !(first && last)
}

// exported reports whether name=value, or name: value on its own line, has the form of an
// environment variable: API_KEY=value.
func exported(text []byte, at int, name []byte, end int) bool {
	word, _ := lastWord(name)
	return bytes.IndexByte(word, '_') > 0 && environment.all(word) &&
		(text[at] == '=' && !white[text[at-1]] || text[at] == ':' && ofLines(text, at-len(name), end))
}

// queried reports whether name=value is a parameter of a URL's query or fragment, and value has
// the form of a token, however short: six bytes or more with letters and digits.
func queried(text []byte, at int, name, value []byte) bool {
	before := at - len(name) - 1
	if text[at] != '=' || before < 0 || text[before] != '?' && text[before] != '&' && text[before] != '#' {
		return false
	}
	seen, _ := classes(value)
	return len(value) >= 6 && seen&digit != 0 && seen&(lower|upper) != 0 && !versioned(value)
}

var environment = charsetOf("A-Z0-9_")

// nameBefore returns the name that ends before the sign at text[at].
func (n *named) nameBefore(text []byte, at int) ([]byte, bool) {
	end, marks := at, 0
	for end > 0 && (white[text[end-1]] || marks < betweenBytes && (around[text[end-1]] || text[at] == ':' && (text[end-1] == '*' || text[end-1] == '?'))) {
		if end--; !white[text[end]] {
			if text[end] != '\\' || end+1 == at || text[end+1] != '\\' || at-end > nameBytes {
				marks++ // a row of escapes counts once
			}
		} else if text[end] == '\n' {
			return nil, false
		}
	}
	if end > 0 && text[end-1] == '>' && text[at] == ':' { // <b>name</b>:
		if open := bytes.LastIndex(text[max(0, end-tagName):end], []byte("</")); open >= 0 {
			end -= min(end, tagName) - open
		}
	}
	start := nameStart(text[:end])
	if start == end || start > 1 && text[at] == ':' && text[start-1] == ':' && classOf[text[start-2]] == digit { // preceded by an ARN's account
		return nil, false
	}
	return text[start:end], true
}

// nameStart returns the start of the name at the end of b.
func nameStart(b []byte) int {
	start := len(b)
	for start > 0 && start > len(b)-nameBytes && (nameSet[b[start-1]] || b[start-1] == ' ' || b[start-1] == '\'' && start > 1 && start < len(b) && b[start-2] == 'd' && b[start] != ' ') {
		start--
	}
	return start
}

// valueStart returns the start of the value after the sign at text[at]: after spaces, quotes,
// the rest of a longer sign, and a line's end, as in YAML.
func valueStart(text []byte, at int) int {
	start, marks := at+1+markup(text[at+1:]), 0
	for start < len(text) && (text[start] == ' ' || text[start] == '\t' || marks < betweenBytes && (opening[text[start]] || text[at] == '|' && text[start] == '|')) {
		if text[start] != ' ' && text[start] != '\t' && (text[start] != '\\' || text[start-1] != '\\' || start-at > nameBytes) {
			marks++
		}
		start++
	}
	if text[at] == ':' && marks == 0 {
		if size := markup(text[start:]); size > 0 {
			start += size
			for start < len(text) && (text[start] == ' ' || quotes[text[start]]) {
				start++
			}
			return start
		}
	}
	if start+1 < len(text) && classOf[text[start]]&(lower|upper) != 0 && quotes[text[start+1]] && text[start+1] != '`' {
		return start + 2 // N'...' in SQL, and prefixes in programs
	}
	if text[at] != ':' {
		return start + tripled(text, start)
	}
	if marks == 0 && start+1 < len(text) && (text[start] == '!' || text[start] == '&' && start > at+1) { // a tag or anchor in YAML
		if n := exceptBlank.span(text[start:min(len(text), start+nameBytes)]); start+n < len(text) && text[start+n] == ' ' {
			for start += n; start < len(text) && (text[start] == ' ' || quotes[text[start]]); start++ {
			}
			return start
		}
	}
	line := at + 1 + blank.span(text[at+1:])
	if marks > 0 && (line == len(text) || text[line] != '>') {
		return start
	}
	for line < len(text) && line < start+2 && (text[line] == '|' || text[line] == '>' || text[line] == '-' || text[line] == '+') {
		line++
	}
	if line < len(text) && text[line] == '\r' {
		line++
	}
	if line == len(text) || text[line] != '\n' {
		return start
	}
	begin := line + 1
	for range 2 { // empty lines
		if rest := text[begin:]; bytes.HasPrefix(rest, []byte("\n")) || bytes.HasPrefix(rest, []byte("\r\n")) {
			begin += bytes.IndexByte(rest, '\n') + 1
			line = begin - 1
		}
	}
	for begin < len(text) && (text[begin] == ' ' || text[begin] == '\t') {
		begin++
	}
	if begin == line+1 && !oneWordLine(text[begin:]) {
		return start // start of the next name
	}
	if begin+1 < len(text) && text[begin] == '-' && text[begin+1] == ' ' {
		begin += 2
	}
	if begin < len(text) && quotes[text[begin]] {
		begin++
	}
	return begin
}

// tripled returns the length of the line's end and of the spaces after it, if they are between
// three quotes before text[start] and the quoted text.
func tripled(text []byte, start int) int {
	if start < 3 || start == len(text) || text[start] != '\n' && text[start] != '\r' || !quotes[text[start-1]] || text[start-2] != text[start-1] || text[start-3] != text[start-1] {
		return 0
	}
	return white.span(text[start:min(len(text), start+nameBytes)])
}

var (
	blank       = charsetOf(" \t")
	exceptBlank = setOf(bytesBut(white))
)

// oneWordLine reports whether text begins with a line of one word that is no name.
func oneWordLine(text []byte) bool {
	word := text[:exceptBlank.span(text[:min(len(text), valueJudged)])]
	rest := text[len(word):]
	return len(word) >= valueLeast && (len(rest) == 0 || rest[0] == '\r' || rest[0] == '\n') && !bytes.ContainsAny(word, ":=<>|#") && word[0] != '-'
}

// schemeSpan returns the length of the word before a token in an authorization, including the
// spaces after it. It returns 0 if there is none.
func schemeSpan(value []byte) int {
	n := schemeSet.span(value[:min(len(value), 16)])
	end := n
	for end < len(value) && value[end] == ' ' {
		end++
	}
	if end == n || end == len(value) {
		return 0
	}
	var room [16]byte
	word := room[:n]
	for i := range word {
		word[i] = fold(value[i])
	}
	switch string(word) {
	case "bearer", "basic", "token", "apikey", "key", "bot", "splunk", "jwt", "oauth", "negotiate", "geniekey", "pat", "secret", "ssws", "digest", "dpop", "apitoken", "accesskey", "sso-key", "privatetoken", "hmac", "sharedkey", "klaviyo-api-key", "zoho-oauthtoken":
		return end
	}
	return 0
}

// valueSpan returns the length of the value at b[start]: up to the closing quote if one was
// opened before it, or else to the end of a bare word.
func valueSpan(b []byte, start int) int {
	opened := byte(0)
	if start > 0 && quotes[b[start-1]] {
		opened = b[start-1]
	}
	for i, c := range b[start:] {
		switch {
		case opened == 0 && bareEnd[c],
			opened != 0 && (c == opened || c == '\\' && start+i+1 < len(b) && b[start+i+1] == opened || c == '\n'):
			return i
		}
	}
	return len(b) - start
}

// identified checks SQL's IDENTIFIED BY 'value'.
func (n *named) identified(window []byte, at int) (Finding, bool) {
	start := at + 1
	if start >= len(window) {
		return Finding{}, false
	}
	how := written_ // Oracle allows it without quotes
	if quotes[window[start]] {
		how = assigned
		start++
	}
	value := window[start : start+valueSpan(window, start)]
	if how == written_ && !mixedWord(value) {
		return Finding{}, false
	}
	detector := n.judge(password, value, how)
	return Finding{Start: start, End: start + len(value), Detector: detector}, detector != ""
}
