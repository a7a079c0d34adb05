package detect

import "bytes"

// strong reports whether value is a secret under a meaningful name. It must be one word: random
// if a machine generates it; otherwise no plain word, unless a program reads it there. It must
// be neither a placeholder nor an identifier.
func strong(kinds kind, value []byte, how manner) bool {
	if placeholder(value) || uuid(value) || kinds&digest != 0 && len(value) == 64 && lowerHex.all(value) {
		return false
	}
	head := value[:min(len(value), judged)]
	seen, printed := classes(head)
	switch {
	case seen&space != 0, how != held && reference(value):
		return false
	case kinds&(password|token) == 0: // any name with the word key
		return kinds&bare == 0 && len(value) >= 20 && random(head) && seen&(lower|upper) != 0 && seen&digit != 0 && !hexadecimal(value)
	case len(value) >= 16 && random(head):
		return true
	case kinds&password == 0 && how == schemed:
		return len(value) >= 6 && seen&digit != 0 && seen&(lower|upper) != 0 && !versioned(value)
	case kinds&password == 0 && bytes.HasPrefix(value, []byte("sk-")) && len(value) >= 7 && keyLetters.all(value[3:]):
		return true
	case kinds&password == 0 && how == assigned && numbered(value):
		return true
	case kinds&password == 0:
		return (how != held || kinds&listed != 0) && len(value) >= 8 && seen&lower != 0 && seen&upper != 0 && seen&digit != 0 && !versioned(value)
	case how == assigned && len(value) >= 6 && digitSet.all(value):
		return true
	case len(value) >= 6 && seen&digit != 0 && seen&(lower|upper) != 0:
		return true
	case how == assigned && seen&(lower|upper) != 0 && !ordinary(value):
		return true
	}
	return len(value) >= 8 && (printed >= 3 || printed == 2 && len(value) >= 20 && bytes.IndexByte(value, '@') < 0)
}

// reference reports whether value is a program's reference in place of a value: a type or a
// variable.
func reference(value []byte) bool {
	if value[0] == '$' && variable.all(value[1:]) {
		return true
	}
	if i := bytes.IndexByte(value, '['); i > 0 {
		seen, _ := classes(value)
		switch string(value[:i]) {
		case "Optional", "List", "Dict", "Union", "Literal", "Annotated", "list", "dict":
			return true
		}
		return seen&digit == 0 // Sequence[str]
	}
	if i := bytes.IndexByte(value, '('); i > 3 && callNames.all(value[:i]) && classOf[value[0]] == lower && (i+1 == len(value) || classOf[value[i+1]]&(lower|upper) != 0) { // a call
		return true
	}
	i := bytes.IndexByte(value, '.')
	if i < 1 || !dottedName.all(value) {
		return false
	}
	switch string(value[:i]) {
	case "process", "import", "os", "env", "settings", "config", "self", "this", "req", "request", "secrets", "vars", "var", "local", "module", "cfg", "conf", "ctx", "C", "params", "args", "opts", "options":
		return true
	}
	return false
}

var (
	dottedName = charsetOf("A-Za-z0-9_.")
	variable   = charsetOf("A-Z_")
	keyLetters = charsetOf("A-Za-z0-9_-")
	callNames  = charsetOf("A-Za-z_.")
)

// numbered reports whether value is one word of letters with three or more digits, like short
// tokens. It must not contain a point, hyphen or slash: names of things contain them.
func numbered(value []byte) bool {
	digits, letters := 0, 0
	for _, c := range value {
		switch {
		case classOf[c] == digit:
			digits++
		case classOf[c]&(lower|upper) != 0:
			letters++
		case c != '_':
			return false
		}
	}
	return len(value) >= 8 && digits >= 3 && letters >= 2
}

// versioned reports whether value contains a number with a point, like names with a version:
// Apache-2.0.
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

// ordinary reports whether value is a common word that is no password: a state, a type, a word
// for nothing, or a call.
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
		"raise", "return", "break", "continue", "yield", "assert", "await", "async", "lambda", "pass", "str", "optional[str]", "any", "xxxx", "xxxxx", "xxxxxx", "xxxxxxxx", "[redacted]", "prompt", "stdin", "file", "plain", "basic", "bearer":
		return true
	}
	return false
}

// awsSecret reports whether value has the form of an AWS secret access key.
func awsSecret(_ kind, value []byte, _ manner) bool {
	return len(value) == 40 && base64Std.all(value) && random(value)
}

// azureShared reports whether value has the form of a shared key of Azure: 32 or 64 bytes in
// base64.
func azureShared(_ kind, value []byte, _ manner) bool {
	body := bytes.TrimRight(value, "=")
	return (len(value) == 44 || len(value) == 88) && len(body) < len(value) && base64Std.all(body) && random(value)
}

// signed reports whether value has the form of a signed URL's signature: 32 bytes in base64 or
// hexadecimal.
func signed(_ kind, value []byte, _ manner) bool {
	return len(value) >= 43 && random(value)
}
