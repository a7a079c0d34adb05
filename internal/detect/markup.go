package detect

import "bytes"

// element checks <name>value</name>, <entry key="name">value, and the value after
// <key>name</key><string>.
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
	how := assigned
	if valueCell(name) {
		how = written_ // in a table for people
	}
	detector := n.judge(kinds, value, how)
	return Finding{Start: start, End: start + len(value), Detector: detector}, detector != ""
}

// labelCell and valueCell report whether a tag is that of a label, or of the cell beside a
// label.
func labelCell(tag []byte) bool {
	return string(tag) == "td" || string(tag) == "th" || string(tag) == "dt"
}

func valueCell(tag []byte) bool { return string(tag) == "td" || string(tag) == "dd" }

// attribute returns the meaning of the attribute beside value="...". name is the name of the
// value's attribute: <add key="ApiToken" value="...">, {name: X, value: Y}.
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
	// The name after the value, in the same braces or list entry.
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

// blockName returns the meaning of the quoted name before a block: variable "token" {.
func (n *named) blockName(before []byte) kind {
	before = bytes.TrimRight(before, " \t")
	signed := bytes.TrimRight(before, ":= \t") // "api_key": {"new": ...}
	if of := len(signed) < len(before); len(signed) < 3 || !quotes[signed[len(signed)-1]] {
		if of {
			return n.names.tells(signed[nameStart(signed):])
		}
		return 0
	}
	before = signed
	before = before[:len(before)-1]
	return n.names.tells(before[bytes.LastIndexAny(before, quoteBytes)+1:])
}

// annotated returns the meaning of the name before a type: password: str = "...".
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

// nameAttribute returns the meaning of the value of a name= or key= in b.
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
