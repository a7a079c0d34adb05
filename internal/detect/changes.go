package detect

import "bytes"

// Values in sentences about a changed secret, and in notes in other words.

// followed are words directly followed by a space and a value, as in SQL, in netrc files and in
// what people write.
var followed = []string{"password", "passwd", "secret", "token", "key", "pass", "auth", "pwd", "phrase", "rootpw", "bindpw", "pw", "\u5bc6\u7801", "\u5bc6\u78bc", "passcode", "passwort", "kennwort", "mot de passe", "contrase\u00f1a", "contrasena", "clave", "senha", "has\u0142o", "\u043f\u0430\u0440\u043e\u043b\u044c", "\u041f\u0430\u0440\u043e\u043b\u044c", "\u015fifre", "wachtwoord"}

// participles are final words of a phrase that say what happened to a secret: "API token
// created".
var participles = wordSet(`set changed reset updated rotated modified created generated regenerated issued reissued renewed replaced revoked refreshed used
	geändert gesetzt zurückgesetzt rotiert erneuert erstellt changé modifié renouvelé réinitialisé cambiada cambiado cambió rotado rotada renovado restablecida alterada alterado redefinida cambiata cambiato`)

// newly are words before a new value of a secret named earlier in the sentence.
var newly = []string{"new value ", "new value: ", "new one ", "new one: ", "current one is ", "value is ", "it is now ", "it's now ", ", now ", "; now ", ", use ", " new: ", " neu: ", "neuer wert ", "neuer wert: ", "nuevo valor ", "nuevo valor: ", "novo valor ", "novo valor: ", "nouvelle valeur ", "nouvelle valeur : "}

// changed are words between a secret's name and its new value.
var changed = []string{"replaced by ", "replaced with ", "geändert auf ", "gesetzt auf ", "changé en ", "cambiada a ", "cambiado a ", "cambió a ", "alterada para ", "alterado para ", "cambiata in ", "\u0438\u0437\u043c\u0435\u043d\u0451\u043d \u043d\u0430 ", "\u0438\u0437\u043c\u0435\u043d\u0435\u043d \u043d\u0430 "}

// supposing are words between a name and a value that rarely introduce a value. After them, the
// value must look generated.
var supposing = []string{" should be ", " must be ", " will be ", " looks like ", " should read ", " equals ", " - ", " – "}

// renewedBytes is how far before a new value the secret's name is searched.
const renewedBytes = 96

// changeAnchors returns the anchors of this file's checks.
func (n *named) changeAnchors(extend func([]byte, Finding) int) []anchor {
	anchors := []anchor{
		{pattern: literal(" with "), findIn: func(text []byte, at int) (Finding, bool) { return n.changing(text, at-len(" with"), at) }, extend: extend},
		{pattern: literal(" auf "), findIn: n.auf, extend: extend},
		{pattern: literal(" in ("), findIn: func(text []byte, at int) (Finding, bool) { return n.told(text, at+1-len(" in ("), at) }, extend: extend},
	}
	for _, w := range newly {
		anchors = append(anchors, anchor{pattern: literal(w), findIn: func(text []byte, at int) (Finding, bool) { return n.renewed(text, at+1-len(w), at) }, extend: extend})
	}
	for _, w := range changed {
		anchors = append(anchors, anchor{pattern: literal(w), findIn: func(text []byte, at int) (Finding, bool) { return n.renewed(text, at+1-len(w), at) }, extend: extend})
	}
	for _, w := range supposing {
		anchors = append(anchors, anchor{pattern: literal(w), findIn: func(text []byte, at int) (Finding, bool) {
			if !mixedWord(wordAt(text, at+1)) {
				return Finding{}, false
			}
			return n.told(text, at+1-len(w), at)
		}, extend: extend})
	}
	for _, w := range []string{"\u5bc6\u7801", "\u5bc6\u78bc", "\u53e3\u4ee4"} {
		anchors = append(anchors, anchor{pattern: append(literal(w), alphanumeric), findIn: func(text []byte, at int) (Finding, bool) { return n.told(text, at, at-1) }, extend: extend})
	}
	return anchors
}

// changing checks "set the password to value", "replaced the token with value" and "token
// changed from value to value". The name ends before end, and a verb of change precedes it.
func (n *named) changing(text []byte, end, at int) (Finding, bool) {
	value := wordAt(text, at+1)
	if seen, _ := classes(value); seen&digit == 0 || len(value) < 8 || end <= 0 {
		return Finding{}, false
	}
	low := max(0, end-renewedBytes)
	before := text[low:end]
	if i := bytes.LastIndex(before, []byte(" from ")); i >= 0 {
		if kinds := n.phrased(before[nameStart(before[:i]):i]); kinds != 0 {
			return n.renewedValue(kinds, text, at)
		}
	}
	for _, verb := range []string{"set ", "Set ", "SET ", "hange ", "hanged ", "eset ", "pdate ", "pdated ", "otate ", "otated ", "etting ", "eplace ", "eplaced "} {
		if bytes.Contains(before[max(0, len(before)-tagBytes/4):], []byte(verb)) {
			return n.told(text, end, at)
		}
	}
	return Finding{}, false
}

// auf checks German's "Passwort auf value gesetzt".
func (n *named) auf(text []byte, at int) (Finding, bool) {
	before := text[max(0, at-renewedBytes) : at+1-len(" auf ")]
	for _, verb := range []string{" wurde", " wird", " ist"} {
		before = bytes.TrimSuffix(before, []byte(verb))
	}
	kinds := n.names.tells(before[nameStart(before):])
	if kinds == 0 {
		return Finding{}, false
	}
	return n.renewedValue(kinds, text, at)
}

// renewed checks the value after text[at] if the text before end says that a secret changed:
// "token has been rotated, new value ...".
func (n *named) renewed(text []byte, end, at int) (Finding, bool) {
	if !mixedWord(wordAt(text, at+1)) && !bytes.HasPrefix(text[at+1:], []byte("is ")) || end < 2 {
		return Finding{}, false
	}
	before := text[max(0, end-renewedBytes):end]
	before = before[bytes.LastIndexByte(before, '\n')+1:]
	for _, article := range []string{" the ", " The ", " der ", " el ", " o ", " la "} {
		before = bytes.TrimSuffix(before, []byte(article))
	}
	before = bytes.TrimRight(before, " ,.;:-'\"")
	before = bytes.TrimSuffix(before, []byte("'s"))
	before = before[nameStart(before):]
	if i := bytes.LastIndex(before, []byte(". ")); i >= 0 {
		before = before[i+2:]
	}
	kinds := n.phrased(before)
	if kinds == 0 {
		return Finding{}, false
	}
	if bytes.HasPrefix(text[at+1:], []byte("is ")) {
		at += len("is ")
	}
	return n.renewedValue(kinds, text, at)
}

// renewedValue checks the word after text[at], which a sentence calls a secret's new value.
func (n *named) renewedValue(kinds kind, text []byte, at int) (Finding, bool) {
	value := wordAt(text, at+1)
	start := at + 1
	for start < len(text) && (text[start] == ' ' || quotes[text[start]]) {
		start++
	}
	if !mixedWord(value) {
		return Finding{}, false
	}
	detector := n.judge(kinds|password, value, written_)
	return Finding{Start: start, End: start + len(value), Detector: detector}, detector != ""
}

// phrased returns the meaning of a phrase, perhaps before a participle.
func (n *named) phrased(phrase []byte) kind {
	phrase = bytes.TrimRight(phrase, " .,")
	for _, adverb := range []string{" to", " today", " yesterday", " now", " again", " successfully"} {
		phrase = bytes.TrimSuffix(phrase, []byte(adverb))
	}
	word, before := lastWord(phrase)
	if len(before) > 0 && participles[string(word)] {
		phrase = bytes.TrimRight(before, " ")
		for _, verb := range []string{" has been", " have been", " was", " is", " wurde", " se", " foi", " fue", " a \u00e9t\u00e9", " I", " we", " they"} {
			phrase = bytes.TrimSuffix(phrase, []byte(verb))
		}
	}
	if kinds := n.spoken(phrase); kinds != 0 {
		return kinds
	}
	if i := bytes.LastIndex(phrase, []byte(" to ")); i > 0 { // "the token to log in"
		return n.names.tells(phrase[:i])
	}
	return 0
}

// remarked returns the meaning of the phrase before a colon if its last words are no name but a
// remark: in brackets, about its place, or about what happened. "password (new): value", "API
// token created: value", "generated for root@localhost: value".
func (n *named) remarked(text []byte, at int, name []byte) kind {
	if text[at] != ':' || at+1 == len(text) || text[at+1] != ' ' && text[at+1] != '\n' {
		return 0
	}
	if text[at-1] == ')' {
		before := text[max(0, at-notedBytes-2):at]
		open := bytes.LastIndex(before, []byte(" ("))
		if open < 1 || n.names.aside[string(before[open+2:len(before)-1])] {
			return 0
		}
		before = text[:at-len(before)+open]
		return n.names.tells(before[nameStart(before):])
	}
	if begin := at - len(name); begin > 0 && text[begin-1] == '@' { // a user
		before := text[:begin-1]
		return n.phrased(before[nameStart(before):])
	}
	name = bytes.TrimLeft(name, " ")
	if bytes.IndexByte(name, ' ') < 0 {
		return 0
	}
	return n.phrased(name)
}

// wordAt returns the word after any spaces and quotes at text[start:].
func wordAt(text []byte, start int) []byte {
	for most := start + betweenBytes; start < len(text) && start < most && (text[start] == ' ' || quotes[text[start]]); {
		start++
	}
	if start >= len(text) {
		return nil
	}
	return bytes.TrimRight(text[start:start+valueSpan(text[:min(len(text), start+valueJudged)], start)], ".!?")
}

// mixedWord reports whether a word of a sentence looks like a secret: random, or with both
// cases and digits. Dates, versions, paths and addresses do not count.
func mixedWord(word []byte) bool {
	if len(word) < 8 || path(word) || versioned(word) || bytes.IndexByte(word, '@') >= 0 {
		return false
	}
	seen, _ := classes(word)
	switch {
	case seen&digit == 0 || seen&(lower|upper) == 0 || digitSet.span(word) >= 4 && bytes.IndexByte([]byte("-./:"), word[4]) >= 0:
		return false
	case seen&lower != 0 && seen&upper != 0:
		return true
	}
	return len(word) >= 16 && random(word)
}
