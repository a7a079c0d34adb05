package detect

import "bytes"

// Values in authorization headers, in SQL statements, and after marks of markup.

// headerBytes is the maximum number of bytes read of a header.
const headerBytes = 512

// parameters returns the length of a scheme and its parameters, as in authorization headers
// (Digest username="x", response="y"). It returns 0 if none of them is a secret.
func parameters(name, value []byte) int {
	at := schemeSet.span(value)
	const header = "authorization"
	if len(name) < len(header) || !bytes.EqualFold(name[len(name)-len(header):], []byte(header)) || at < 2 || at > 24 || at+1 >= len(value) || value[at] != ' ' {
		return 0
	}
	end, secret := 0, false
	for at++; at < len(value); {
		size := nameSet.span(value[at:])
		if size == 0 || at+size+1 >= len(value) || value[at+size] != '=' {
			break
		}
		at += size + 1
		if value[at] == '"' || value[at] == '\\' {
			at += 1 + bytes.IndexByte(value[at:], '"')
		}
		one := value[at : at+parameterBytes.span(value[at:])]
		if len(one) == 0 {
			break
		}
		secret = secret || strong(token|password, one, written_)
		at += len(one)
		end = at
		for at < len(value) && (value[at] == ' ' || value[at] == ',' || value[at] == '"' || value[at] == '\\') {
			at++
		}
	}
	if !secret {
		return 0
	}
	return end
}

// parameterBytes is the set of bytes in the value of such a parameter.
var parameterBytes = setOf(bytesBut(charsetOf(" \t\r\n,\"'\\")))

// assignment reports whether a value is the name of an assignment to a quoted text after it:
// CREDENTIALS=(TOKEN='...').
func assignment(text []byte, start int, value []byte) bool {
	end := start + len(value)
	return len(value) > 1 && value[len(value)-1] == '=' && end < len(text) && quotes[text[end]] && (start == 0 || !quotes[text[start-1]])
}

// otherwise returns the meaning of a value after a sign from something other than its own name.
func (n *named) otherwise(text []byte, at int, name []byte) kind {
	kinds := n.annotated(text, at, name)
	if kinds == 0 {
		kinds = n.attribute(text, at, name)
	}
	if kinds == 0 {
		kinds = partOfJWK(text, at, name)
	}
	if kinds == 0 {
		kinds = n.listedUnder(text, at, name)
	}
	if i := bytes.LastIndex(name, []byte(" -")); kinds == 0 && i >= 0 {
		kinds = n.names.tells(name[i+1:]) // a flag whose command gives it another meaning: start --token=
	}
	if begin := at - len(name); kinds == 0 && begin >= 0 && bytes.HasSuffix(text[:begin], []byte("--from-literal=")) {
		return password // kubectl's flag for a secret
	}
	if kinds == 0 && text[at] == ':' && at+1 < len(text) && admins[string(bytes.TrimLeft(name[bytes.LastIndexByte(name, ' ')+1:], " "))] && mixedWord(wordAt(text, at+1)) && text[at+1] != ' ' {
		kinds = password // admin:password
	}
	return kinds
}

var admins = wordSet("admin root administrator")

// inlineTags are HTML elements that may occur between a name and its value.
var inlineTags = wordSet("b i em strong code tt pre kbd span p br td dd samp mark u")

// markup returns the length of the Markdown marks or HTML tags at the beginning of b, between a
// name and its value: "**Password:** x", "Password: <code>x".
func markup(b []byte) int {
	for _, marks := range []string{"** ", "* ", "__ ", "_ "} {
		if bytes.HasPrefix(b, []byte(marks)) {
			return len(marks) - 1
		}
	}
	size := 0
	for range 3 {
		if size >= len(b) || b[size] != '<' {
			break
		}
		rest := b[size+1 : min(len(b), size+1+tagBytes/2)]
		end := bytes.IndexByte(rest, '>')
		if end < 1 {
			break
		}
		tag := bytes.Trim(rest[:end], "/ ")
		if i := bytes.IndexByte(tag, ' '); i > 0 {
			tag = tag[:i]
		}
		if !inlineTags[string(tag)] {
			break
		}
		size += 1 + end + 1
		size += blank.span(b[size:])
	}
	return size
}

// insertBytes is the number of bytes read before and after VALUES in a statement.
const insertBytes = 512

// inserted checks INSERT INTO t (a, password) VALUES (1, 'value').
func (n *named) inserted(text []byte, at int) (Finding, bool) {
	before := bytes.TrimRight(text[max(0, at-insertBytes):at], " ")
	before = bytes.TrimRight(before[:len(before)-len("values")], " \t\r\n")
	if len(before) == 0 || before[len(before)-1] != ')' {
		return Finding{}, false
	}
	open := bytes.LastIndexByte(before, '(')
	if open < 0 {
		return Finding{}, false
	}
	columns := before[open+1 : len(before)-1]
	found, ok := Finding{}, false
	from := at + 1
	limit := min(len(text), from+insertBytes)
	for len(columns) > 0 && from < limit {
		name := columns
		if i := bytes.IndexByte(columns, ','); i >= 0 {
			name, columns = columns[:i], columns[i+1:]
		} else {
			columns = nil
		}
		start, end, next := sqlValue(text[:limit], from)
		if kinds := n.names.tells(bytes.Trim(name, " \"`[]\r\n\t")); kinds != 0 {
			if detector := n.judge(kinds, text[start:end], assigned); detector != "" {
				if !ok {
					found = Finding{Start: start, Detector: detector}
				}
				found.End, ok = end, true
			}
		}
		from = next
	}
	return found, ok
}

// sqlValue returns the start and end of the value at text[from:], without its quotes, and the
// start of the next one.
func sqlValue(text []byte, from int) (start, end, next int) {
	start = from
	for start < len(text) && white[text[start]] {
		start++
	}
	if start+1 < len(text) && text[start] == 'N' && text[start+1] == '\'' {
		start++
	}
	if start < len(text) && quotes[text[start]] {
		start++
		end = start + valueSpan(text, start)
		next = end + 1
	} else {
		end = start
		for end < len(text) && text[end] != ',' && text[end] != ')' {
			end++
		}
		next = end
	}
	for next < len(text) && text[next] != ',' && text[next] != ')' {
		next++
	}
	if next < len(text) && text[next] == ')' {
		return start, end, len(text)
	}
	return start, end, next + 1
}
