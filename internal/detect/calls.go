package detect

import "bytes"

// Values written beside their names without a sign between them, as in programs and protocols.

// partBytes is the maximum length of the headers of a form part.
const partBytes = 256

// variableName is the set of characters in names of variables.
var variableName = charsetOf("a-z0-9_")

var schemeSet = charsetOf("A-Za-z0-9-")

// argument checks "name", "value": arguments of a call, and lists.
func (n *named) argument(window []byte, at int) (Finding, bool) {
	quote := window[at-1]
	end := at - 1
	for end > 0 && window[end-1] == '\\' {
		end--
	}
	start := bytes.LastIndexByte(window[:end], quote) + 1
	if start == 0 || end-start < 2 {
		return Finding{}, false
	}
	kinds := n.names.tells(window[start:end])
	if kinds == 0 {
		return Finding{}, false
	}
	value := at + 1
	for value < len(window) && (white[window[value]] || window[value] == '\\') {
		value++
	}
	if value == len(window) || window[value] != quote {
		return Finding{}, false
	}
	return n.quoted(kinds, window, value+1)
}

// call checks name("value"), as in set_password("...").
func (n *named) call(window []byte, at int) (Finding, bool) {
	start := at - 1
	for start > 0 && nameSet[window[start-1]] {
		start--
	}
	name := window[start : at-1]
	if len(name) > 3 && (bytes.EqualFold(name[:3], []byte("get")) || bytes.EqualFold(name[:3], []byte("has"))) {
		return Finding{}, false
	}
	kinds := n.names.tells(name)
	if string(name) == "default" { // in a template: {{ password | default('...') }}
		if before := bytes.TrimRight(window[:start], " "); len(before) > 0 && before[len(before)-1] == '|' {
			before = bytes.TrimRight(before[:len(before)-1], " ")
			kinds = n.names.tells(before[nameStart(before):])
		}
	}
	if f, ok := n.login(name, window, start, at+1); ok || kinds == 0 {
		return f, ok
	}
	return n.quoted(kinds, window, at+1)
}

// logins are functions that take a password after other strings, with the number of those
// strings.
var logins = map[string]int{"httpbasicauth": 1, "basicauth": 1, "basic_auth": 1, "setbasicauth": 1, "usernamepasswordcredentials": 1, "passwordauthentication": 1, "login": 1, "mysqli_connect": 2, "pdo": 2, "networkcredential": 1}

// login checks the password argument of a call of such a function, and auth=("user",
// "password").
func (n *named) login(name, window []byte, start, at int) (Finding, bool) {
	var room [32]byte
	skip, ok := logins[string(folded(room[:0], name[bytes.LastIndexByte(name, '.')+1:]))]
	if len(name) == 0 && bytes.HasSuffix(bytes.TrimRight(window[:start], " ="), []byte("auth")) {
		skip, ok = 1, true
	}
	if !ok {
		return Finding{}, false
	}
	for range skip {
		at += valueSpan(window, at) + 1
		for at < len(window) && (window[at] == ' ' || window[at] == ',' || window[at] == '\n') {
			at++
		}
		if at >= len(window) || !quotes[window[at]] {
			return Finding{}, false
		}
		at++
	}
	return n.quoted(password, window, at)
}

func (n *named) quoted(kinds kind, window []byte, start int) (Finding, bool) {
	value := window[start : start+valueSpan(window, start)]
	if len(value) < 16 && variableName.all(value) {
		return Finding{}, false
	}
	detector := n.judge(kinds, value, written_)
	return Finding{Start: start, End: start + len(value), Detector: detector}, detector != ""
}

// part checks the value of a form part, after its headers.
func (n *named) part(window []byte, at int) (Finding, bool) {
	begin := at + 1
	for begin < len(window) && (quotes[window[begin]] || window[begin] == '\\') {
		begin++
	}
	name := window[begin : begin+nameSet.span(window[begin:])]
	kinds := n.names.tells(name)
	if kinds == 0 {
		return Finding{}, false
	}
	for _, blankLine := range []string{"\r\n\r\n", "\n\n", `\r\n\r\n`, `\n\n`} {
		i := bytes.Index(window[begin:min(len(window), begin+partBytes)], []byte(blankLine))
		if i < 0 {
			continue
		}
		start := begin + i + len(blankLine)
		end := start
		for end < len(window) && window[end] != '\r' && window[end] != '\n' && window[end] != '\\' {
			end++
		}
		detector := n.judge(kinds, window[start:end], assigned)
		return Finding{Start: start, End: end, Detector: detector}, detector != ""
	}
	return Finding{}, false
}

// elementBefore returns the meaning of the content of the preceding element. name is that of
// the value's element: <name>API_TOKEN</name><value>..., or a property list's <key>.
func (n *named) elementBefore(name, before []byte) kind {
	if len(before) == 0 || before[len(before)-1] != '>' {
		return 0
	}
	open := bytes.LastIndexByte(before, '<')
	if open < 0 || open+2 >= len(before) {
		return 0
	}
	if before[open+1] != '/' { // <setting name="ApiKey"><value>
		if !valueName(name) {
			return 0
		}
		return n.nameAttribute(before[open:])
	}
	tag := before[open+2 : len(before)-1]
	if content := before[:open]; labelCell(tag) && valueCell(name) {
		return n.names.tells(content[bytes.LastIndexByte(content, '>')+1:])
	}
	if string(tag) != "key" && (!pairName(tag) || !valueName(name)) {
		return 0
	}
	content := before[:open]
	return n.names.tells(content[bytes.LastIndexByte(content, '>')+1:])
}

// easyConnect checks user/password@//host, the notation of Oracle's clients.
func (n *named) easyConnect(window []byte, at int) (Finding, bool) {
	end := at - 2
	start := end
	for start > 0 && classOf[window[start-1]] != space && !quotes[window[start-1]] {
		start--
	}
	slash := bytes.IndexByte(window[start:end], '/')
	if slash < 1 || !nameSet.all(window[start:start+slash]) {
		return Finding{}, false
	}
	start += slash + 1
	detector := n.judge(password, window[start:end], assigned)
	return Finding{Start: start, End: end, Detector: detector}, detector != ""
}
