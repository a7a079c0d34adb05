package detect

import "bytes"

// namedRule is a detector of values beside telling names.
type namedRule struct {
	detector string
	kinds    kind
	value    func(kinds kind, value []byte, how manner) bool
}

// manner is how a value stands beside its name.
type manner uint8

const (
	held     manner = iota // in a member of that name
	written_               // in a text, behind a colon or the like
	assigned               // in a text, behind a sign by which programs read values
	schemed                // behind a scheme, as "Bearer"
)

// named is rules in the order in which they are asked.
type named struct {
	rules []namedRule
	names *names
}

const (
	// valueLeast is the fewest bytes of a named value.
	valueLeast = 4
	// valueJudged is how much of a value within a text is looked at.
	valueJudged = 160
	// betweenBytes is how many quotes, escapes and brackets may be between a name and
	// its sign, and between the sign and its value. Spaces do not count.
	betweenBytes = 6
	// pseudonymName is how far before a sign the beginning of a pseudonym is looked for.
	pseudonymName = 96
	// tagBytes is how long a tag of XML may be.
	tagBytes = 160
)

// under returns the whole text, but for white space around it and the scheme of an
// authorization before it, as a finding where it is a secret under such a name.
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
		return Finding{Start: start, End: end, Detector: n.first(kinds)}, true
	}
	how := held
	if scheme := schemeSpan(text[start:end]); scheme > 0 {
		start, how = start+scheme, schemed
	}
	detector := n.judge(kinds, text[start:end], how)
	return Finding{Start: start, End: end, Detector: detector}, detector != ""
}

// judge returns the detector that takes value for a secret under a name of these
// kinds, "" where none does.
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

// anchors find names and values within a text.
func (n *named) anchors() []anchor {
	extend := func(text []byte, f Finding) int { return f.Start + valueSpan(text, f.Start) }
	anchors := []anchor{
		{pattern: pattern{setOf(":=|")}, findIn: n.sign, extend: extend},
		{pattern: pair(quoteBytes, ","), back: nameBytes + betweenBytes, ahead: valueJudged, find: n.argument, extend: extend},
		{pattern: pair("(", quoteBytes), back: nameBytes + 1, ahead: valueJudged, find: n.call, extend: extend},
		{pattern: literal("form-data; name="), back: 16, ahead: partBytes + valueJudged, find: n.part},
		{pattern: literal("--"), back: nameBytes + 1, ahead: nameBytes + valueJudged, find: n.flag, extend: extend},
		{pattern: literal(" ("), findIn: n.bracketed},
		{pattern: literal(" to "), findIn: n.becomes, extend: extend},
		{pattern: literal(" from "), findIn: n.was, extend: extend},
		{pattern: literal("-> "), findIn: n.arrow, extend: extend},
		{pattern: literal("\xe2\x86\x92 "), findIn: n.arrow, extend: extend},
		{pattern: pattern{setOf(">")}, back: tagBytes, ahead: valueJudged + 16, find: n.element},
		{pattern: literal("identified by "), back: 14, ahead: valueJudged + 4, find: n.identified, extend: extend},
		{pattern: literal("-u "), back: commandBytes, ahead: valueJudged, find: n.user},
		{pattern: literal(" /p:"), back: commandBytes, ahead: valueJudged, find: n.remote},
		{pattern: literal("-user "), back: 8, ahead: valueJudged, find: n.user},
		{pattern: pattern{setOf(" "), setOf("-"), setOf("pPawbkKAX")}, back: commandBytes, ahead: valueJudged, find: n.option},
		{pattern: literal("oracle:thin:"), back: 12, ahead: valueJudged, find: n.scott},
		{pattern: literal("sqlplus "), back: 8, ahead: valueJudged, find: n.scott},
		{pattern: literal("@//"), back: valueJudged, ahead: 1, find: n.easyConnect},
	}
	anchors = append(anchors, n.pipeAnchors(extend)...)
	for _, w := range calling {
		anchors = append(anchors, anchor{pattern: literal(w), back: valueJudged, ahead: tagBytes / 2, find: n.called(len(w))})
	}
	for _, w := range sayingWords {
		anchors = append(anchors, anchor{pattern: literal(w), findIn: func(text []byte, at int) (Finding, bool) { return n.told(text, at+1-len(w), at) }, extend: extend})
	}
	for _, w := range []string{"password", "passwd", "secret", "token", "key", "pass", "auth", "pwd", "phrase"} {
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

// sign looks at name=value and name: value, the one or the other perhaps in quotes,
// as configuration, query strings, and JSON cut short have them.
func (n *named) sign(text []byte, at int) (Finding, bool) {
	name, ok := n.nameBefore(text, at)
	if !ok {
		return Finding{}, false
	}
	kinds := n.names.tells(name)
	if kinds == 0 {
		if kinds = n.annotated(text, at, name); kinds == 0 {
			if kinds = n.attribute(text, at, name); kinds == 0 {
				if kinds = partOfJWK(text, at, name); kinds == 0 {
					return Finding{}, false
				}
			}
		}
	}
	if kinds&aKey != 0 && text[at] == '=' && advised(name) {
		kinds = password | token
	}
	start := valueStart(text, at)
	if kinds&jar != 0 {
		if size := cookieSpan(text[start:min(len(text), start+cookieBytes)]); size > 0 {
			return Finding{Start: start, End: start + size, Detector: n.first(kinds)}, true
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
	if before := text[max(0, at-pseudonymName):at]; lowerHex.span(value) == pseudonymDigits && start == at+1 && text[at] == ':' {
		if from := bytes.LastIndex(before, []byte("hmac:")); from >= 0 && pseudonym(text[at-len(before)+from:start+pseudonymDigits]) {
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
		how = assigned // as programs do
	}
	detector := n.judge(kinds, value, how)
	return Finding{Start: start, End: start + len(value), Detector: detector}, detector != ""
}

// ofLines reports whether what begins at start, perhaps behind spaces or the dash of a
// list, and ends at end is a whole line among others, as in YAML.
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

// nameBefore returns the name that ends before the sign at text[at].
func (n *named) nameBefore(text []byte, at int) ([]byte, bool) {
	end, marks := at, 0
	for end > 0 && (white[text[end-1]] || marks < betweenBytes && around[text[end-1]]) {
		if end--; !white[text[end]] {
			marks++
		} else if text[end] == '\n' {
			return nil, false
		}
	}
	start := nameStart(text[:end])
	if start == end || start > 1 && text[at] == ':' && text[start-1] == ':' && classOf[text[start-2]] == digit { // an ARN's account is before it
		return nil, false
	}
	return text[start:end], true
}

// nameStart returns where in b the name begins that ends with b.
func nameStart(b []byte) int {
	start := len(b)
	for start > 0 && start > len(b)-nameBytes && (nameSet[b[start-1]] || b[start-1] == ' ') {
		start--
	}
	return start
}

// valueStart returns where the value begins behind the sign at text[at]: behind
// spaces, quotes, the rest of a longer sign, and, as YAML has it, a line's end.
func valueStart(text []byte, at int) int {
	start, marks := at+1, 0
	for start < len(text) && (text[start] == ' ' || text[start] == '\t' || marks < betweenBytes && (opening[text[start]] || text[at] == '|' && text[start] == '|')) {
		if text[start] != ' ' && text[start] != '\t' {
			marks++
		}
		start++
	}
	if start+1 < len(text) && classOf[text[start]]&(lower|upper) != 0 && quotes[text[start+1]] && text[start+1] != '`' {
		return start + 2 // N'...' of SQL, and prefixes that programs have
	}
	if text[at] != ':' {
		return start
	}
	if marks == 0 && start+1 < len(text) && (text[start] == '!' || text[start] == '&' && start > at+1) { // a tag or anchor of YAML
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
	for begin < len(text) && (text[begin] == ' ' || text[begin] == '\t') {
		begin++
	}
	if begin == line+1 && !oneWordLine(text[begin:]) {
		return start // of the next name
	}
	if begin+1 < len(text) && text[begin] == '-' && text[begin+1] == ' ' {
		begin += 2
	}
	return begin
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

// schemeSpan returns the length of the word before a token in an authorization, and
// of the spaces behind it, 0 where there is none.
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

// valueSpan returns the length of the value that begins at b[start]: to the quote
// that was opened before it, or else to whatever ends a bare word.
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

// identified looks at SQL's IDENTIFIED BY 'value'.
func (n *named) identified(window []byte, at int) (Finding, bool) {
	start := at + 1
	if start >= len(window) || !quotes[window[start]] {
		return Finding{}, false
	}
	start++
	value := window[start : start+valueSpan(window, start)]
	detector := n.judge(password, value, assigned)
	return Finding{Start: start, End: start + len(value), Detector: detector}, detector != ""
}

// element looks at <name>value</name>, <entry key="name">value, and at the value
// behind <key>name</key><string>.
func (n *named) element(window []byte, at int) (Finding, bool) {
	open := bytes.LastIndexByte(window[:at], '<')
	if open < 0 || open+1 == at {
		return Finding{}, false
	}
	tag := window[open+1 : at]
	if tag[0] == '/' || tag[0] == '?' || tag[0] == '!' || tag[len(tag)-1] == '/' {
		return Finding{}, false
	}
	size := bytes.IndexAny(tag, " \t\r\n")
	if size < 0 {
		size = len(tag)
	}
	name := tag[:size]
	if colon := bytes.LastIndexByte(name, ':'); colon >= 0 {
		name = name[colon+1:]
	}
	kinds := n.names.tells(name)
	if kinds == 0 && size < len(tag) {
		kinds = n.nameAttribute(tag[size:])
	}
	if kinds == 0 {
		kinds = n.elementBefore(name, bytes.TrimRight(window[:open], " \t\r\n"))
	}
	if kinds == 0 {
		return Finding{}, false
	}
	start := at + 1
	end := bytes.IndexByte(window[start:], '<')
	if cdata := []byte("<![CDATA["); end == 0 && bytes.HasPrefix(window[start:], cdata) {
		start += len(cdata)
		end = bytes.Index(window[start:], []byte("]]>"))
	}
	if end < 0 {
		return Finding{}, false
	}
	value := window[start : start+end]
	trimmed := bytes.TrimLeft(value, " \t\r\n")
	start += len(value) - len(trimmed)
	value = bytes.TrimRight(trimmed, " \t\r\n")
	detector := n.judge(kinds, value, assigned)
	return Finding{Start: start, End: start + len(value), Detector: detector}, detector != ""
}

// attribute returns what the attribute beside value="..." tells, where name is that
// of such a value: <add key="ApiToken" value="...">, {name: X, value: Y}.
func (n *named) attribute(text []byte, at int, name []byte) kind {
	for len(name) > 0 && (name[0] == ' ' || name[0] == '-') {
		name = name[1:]
	}
	if !valueName(name) {
		return 0
	}
	before := text[max(0, at-tagBytes) : at-len(name)]
	open := bytes.LastIndexAny(before, "<{}")
	if open >= 0 {
		before = before[open:]
	}
	if k := n.nameAttribute(before); k != 0 || open >= 0 && before[0] == '<' {
		return k
	}
	if open > 0 && before[0] == '{' {
		if k := n.blockName(text[max(0, at-tagBytes) : at-len(before)-len(name)]); k != 0 {
			return k
		}
	}
	// The name behind the value, in the same braces or entry of a list.
	behind := text[at:min(len(text), at+tagBytes)]
	if end := bytes.IndexAny(behind, "{}"); end >= 0 {
		behind = behind[:end]
	}
	for _, mark := range []string{"\n-", "\n\n"} {
		if end := bytes.Index(behind, []byte(mark)); end >= 0 {
			behind = behind[:end]
		}
	}
	return n.nameAttribute(behind[1:])
}

// blockName returns what the name in quotes before a block tells: variable "token" {.
func (n *named) blockName(before []byte) kind {
	before = bytes.TrimRight(before, " \t")
	if len(before) < 3 || !quotes[before[len(before)-1]] {
		return 0
	}
	before = before[:len(before)-1]
	return n.names.tells(before[bytes.LastIndexAny(before, quoteBytes)+1:])
}

// annotated returns what the name before a type tells: password: str = "...".
func (n *named) annotated(text []byte, at int, name []byte) kind {
	before := text[:at-len(name)-(at-len(bytes.TrimRight(text[:at], " \t")))]
	if text[at] != '=' || len(before) == 0 || before[len(before)-1] != ':' {
		return 0
	}
	outer, ok := n.nameBefore(before, len(before)-1)
	if !ok {
		return 0
	}
	return n.names.tells(outer)
}

// nameAttribute returns what the value of a name= or key= in b tells.
func (n *named) nameAttribute(b []byte) kind {
	for at := 0; at < len(b); at++ {
		if b[at] != '=' && b[at] != ':' {
			continue
		}
		end := at
		for end > 0 && (white[b[end-1]] || around[b[end-1]]) {
			end--
		}
		start := end
		for start > 0 && nameSet[b[start-1]] {
			start--
		}
		if !pairName(b[start:end]) {
			continue
		}
		begin := at + 1
		for begin < len(b) && (white[b[begin]] || opening[b[begin]]) {
			begin++
		}
		if k := n.names.tells(b[begin : begin+valueSpan(b, begin)]); k != 0 {
			return k
		}
	}
	return 0
}

// strong reports whether value is a secret under a telling name: one word; random
// where a machine made it, or else at least no plain word, unless a program reads it
// there; and neither what stands in a secret's place nor an identifier.
func strong(kinds kind, value []byte, how manner) bool {
	if placeholder(value) || uuid(value) || kinds&digest != 0 && len(value) == 64 && lowerHex.all(value) {
		return false
	}
	head := value[:min(len(value), judged)]
	seen, printed := classes(head)
	switch {
	case seen&space != 0, how != held && seen&digit == 0 && bytes.IndexByte(value, '[') > 0: // Optional[str]
		return false
	case kinds&(password|token) == 0: // any name with the word key
		return kinds&bare == 0 && len(value) >= 20 && random(head) && seen&(lower|upper) != 0 && seen&digit != 0 && !hexadecimal(value)
	case len(value) >= 16 && random(head):
		return true
	case kinds&password == 0 && how == schemed:
		return len(value) >= 6 && seen&digit != 0 && seen&(lower|upper) != 0 && !versioned(value)
	case kinds&password == 0:
		return (how != held || kinds&listed != 0) && len(value) >= 8 && seen&lower != 0 && seen&upper != 0 && seen&digit != 0 && !versioned(value)
	case len(value) >= 6 && seen&digit != 0 && seen&(lower|upper) != 0:
		return true
	case how == assigned && seen&(lower|upper) != 0 && !ordinary(value):
		return true
	}
	return len(value) >= 8 && (printed >= 3 || printed == 2 && len(value) >= 20 && bytes.IndexByte(value, '@') < 0)
}

// versioned reports whether value has a number with a point in it, as names with a version
// have: Apache-2.0.
func versioned(value []byte) bool {
	for i := 1; i+1 < len(value); i++ {
		if value[i] == '.' && classOf[value[i-1]] == digit && classOf[value[i+1]] == digit {
			return true
		}
	}
	return false
}

func hexadecimal(b []byte) bool {
	for _, c := range b {
		if !lowerHex[c|0x20] {
			return false
		}
	}
	return true
}

// ordinary reports whether value is a word that says something else than a password:
// a state, a type, a kind of nothing, or a call.
func ordinary(value []byte) bool {
	if bytes.ContainsAny(value, "([{$%<") {
		return true
	}
	var room [20]byte
	if len(value) > len(room) {
		return false
	}
	word := room[:len(value)]
	for i := range word {
		word[i] = fold(value[i])
	}
	switch string(word) {
	case "true", "false", "null", "none", "nil", "undefined", "empty", "unset", "required", "optional", "hidden", "redacted", "masked",
		"removed", "string", "text", "password", "secret", "token", "default", "unknown", "missing", "invalid", "expired", "changed",
		"rotated", "updated", "reset", "enabled", "disabled", "example", "value", "never", "always", "yes", "auto", "bytes",
		"str", "optional[str]", "any", "xxxx", "xxxxx", "xxxxxx", "xxxxxxxx", "[redacted]", "prompt", "stdin", "file", "plain", "basic", "bearer":
		return true
	}
	return false
}

// awsSecret reports whether value has the form of an AWS secret access key.
func awsSecret(_ kind, value []byte, _ manner) bool {
	return len(value) == 40 && base64Std.all(value) && random(value)
}

// azureShared reports whether value has the form of a key that Azure shares: 32 or
// 64 bytes in base64.
func azureShared(_ kind, value []byte, _ manner) bool {
	body := bytes.TrimRight(value, "=")
	return (len(value) == 44 || len(value) == 88) && len(body) < len(value) && base64Std.all(body) && random(value)
}

// signed reports whether value has the form of a signed URL's signature: 32 bytes in
// base64 or hexadecimal.
func signed(_ kind, value []byte, _ manner) bool {
	return len(value) >= 43 && random(value)
}
