package detect

import "bytes"

// Secrets that a shell passes to a program's standard input.

// taking are parts of commands that read a secret.
var taking = [][]byte{
	[]byte("--password-stdin"), []byte("--with-token"), []byte("--token-stdin"), []byte("--stdin"), []byte(" -S"), []byte("passwd"), []byte("login -"), []byte("--passphrase-fd"), []byte("--pass-stdin"),
	[]byte("secret set"), []byte("secrets set"), []byte("secret create"), []byte("secrets create"), []byte("create secret"), []byte("secrets versions add"), []byte("cryptsetup"), []byte("vault write"), []byte("vault kv put"), []byte("pass insert"), []byte("/dev/stdin"), []byte("kinit"), []byte("secret put"), []byte("env add"), []byte("configure --token"),
}

func takes(command []byte) bool {
	for _, t := range taking {
		if bytes.Contains(command, t) {
			return true
		}
	}
	return false
}

// firstLine returns b up to its first end of line.
func firstLine(b []byte) []byte { return b[:lineEnd(b, 0)] }

// lastLine returns the last line of b.
func lastLine(b []byte) []byte { return b[bytes.LastIndexByte(b, '\n')+1:] }

// printed checks echo value | program, and printf.
func (n *named) printed(window []byte, at int) (Finding, bool) {
	start := at + 1
	for start < len(window) && window[start] == '-' {
		size := bytes.IndexByte(window[start:], ' ')
		if size < 0 {
			return Finding{}, false
		}
		start += size + 1
	}
	for start < len(window) && quotes[window[start]] {
		start++
	}
	end := start + valueSpan(window, start)
	if end+1 < len(window) && bytes.IndexByte(window[start:end], '%') >= 0 && quotes[window[end]] { // printf's format
		start = end + 1
		for start < len(window) && (window[start] == ' ' || quotes[window[start]]) {
			start++
		}
		end = start + valueSpan(window, start)
	}
	rest := firstLine(window[end:])
	pipe := bytes.IndexByte(rest, '|')
	if pipe < 0 || !takes(rest[pipe+1:]) {
		return Finding{}, false
	}
	if bytes.Contains(rest, []byte("chpasswd")) {
		start += bytes.IndexByte(window[start:end], ':') + 1
	}
	return n.given(window, start, end)
}

// handed checks program <<< value, and the line after <<WORD.
func (n *named) handed(window []byte, at int) (Finding, bool) {
	start := at + 1
	if start == len(window) {
		return Finding{}, false
	}
	if window[start] == '<' {
		for start++; start < len(window) && (window[start] == ' ' || quotes[window[start]]); start++ {
		}
		if !takes(lastLine(window[:at])) {
			return Finding{}, false
		}
		return n.given(window, start, start+valueSpan(window, start))
	}
	line := firstLine(window[start:])
	if start+len(line) == len(window) || !takes(line) && !takes(lastLine(window[:at])) {
		return Finding{}, false
	}
	start += len(line) + 1
	return n.given(window, start, start+len(bytes.TrimRight(firstLine(window[start:]), "\r")))
}

// given checks a value that a program takes as a password.
func (n *named) given(window []byte, start, end int) (Finding, bool) {
	detector := n.judge(password, window[start:end], assigned)
	return Finding{Start: start, End: end, Detector: detector}, detector != ""
}

// commands are beginnings of commands that take a secret after a number of other words.
var commands = []struct {
	text string
	skip int
}{
	{"vault login ", 0}, {"net user ", 1}, {"/user:", 1}, {"convertto-securestring ", 0}, {"convertto-securestring -string ", 0}, {"snmp-server community ", 0}, {"bao login ", 0}, {"net use ", 2}, {"op signin --raw ", 0},
	{"cargo login ", 0}, {"wandb login ", 0}, {"cloudflared service install ", 0}, {"rabbitmqctl add_user ", 1}, {"rabbitmqctl change_password ", 1}, {"wpa_passphrase ", 1}, {"mc alias set ", 3}, {" pypi-token.", 1}, {" http-basic.", 2},
	{" /rp ", 0}, {"rocommunity ", 0}, {"rwcommunity ", 0}, {"addprinc -pw ", 0}, {" psk ", 0}, {"wifi-sec.psk ", 0}, {"user default on >", 0}, {"auth default ", 0}, {"pragma key = ", 0}, {"pragma key=", 0}, {"sp_addlogin ", 1},
}

// behind checks the value some words after a command's beginning.
func (n *named) behind(skip, fields int) func(window []byte, at int) (Finding, bool) {
	return func(window []byte, at int) (Finding, bool) {
		start := at + 1
		for range fields { // database:user:password
			size := fieldSet.span(window[start:])
			if start += size; size == 0 || start >= len(window) || window[start] != ':' {
				return Finding{}, false
			}
			start++
		}
		for range skip {
			start += exceptBlank.span(window[start:])
			start += blank.span(window[start:])
		}
		for start < len(window) && quotes[window[start]] {
			start++
		}
		value := window[start : start+valueSpan(window, start)]
		if len(value) == 0 || value[0] == '-' || value[0] == '/' {
			return Finding{}, false
		}
		detector := n.judge(password, value, written_)
		return Finding{Start: start, End: start + len(value), Detector: detector}, detector != ""
	}
}

// pipeAnchors returns the anchors of this file's checks.
func (n *named) pipeAnchors(extend func([]byte, Finding) int) []anchor {
	anchors := []anchor{
		{pattern: literal("echo "), back: 5, ahead: valueJudged + commandBytes, find: n.printed},
		{pattern: literal("printf "), back: 7, ahead: valueJudged + commandBytes, find: n.printed},
		{pattern: pair("<", "<"), back: commandBytes, ahead: valueJudged + commandBytes, find: n.handed},
	}
	for _, c := range commands {
		anchors = append(anchors, anchor{pattern: literal(c.text), back: len(c.text), ahead: nameBytes + valueJudged, find: n.behind(c.skip, 0), extend: extend})
	}
	for _, f := range []struct {
		text   string
		fields int
	}{{":5432:", 2}, {"*:*:*:", 1}, {"]:587 ", 1}, {"]:465 ", 1}} { // in .pgpass, and Postfix's sasl_passwd
		anchors = append(anchors, anchor{pattern: literal(f.text), back: len(f.text), ahead: nameBytes + valueJudged, find: n.behind(0, f.fields), extend: extend})
	}
	return anchors
}

// fieldSet is the set of bytes before a password in such files.
var fieldSet = func() *charset {
	set := *nameSet
	set['*'], set['@'] = true, true
	return &set
}()
