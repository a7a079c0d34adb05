package detect

import "bytes"

// jwkBytes is how far around a part of a private JSON Web Key its type is searched.
const jwkBytes = 1024

// partOfJWK returns the meaning of the name of a part of a private JSON Web Key in a text that
// contains the key: {"kty": "RSA", "d": "..."}.
func partOfJWK(text []byte, at int, name []byte) kind {
	switch string(name) {
	case "d", "p", "q", "dp", "dq", "qi", "k":
	default:
		return 0
	}
	if text[at] != ':' || at == 0 || !quotes[text[at-1]] {
		return 0
	}
	around := text[max(0, at-jwkBytes):min(len(text), at+jwkBytes)]
	if i := bytes.Index(around, []byte("kty")); i < 0 || i == 0 || !quotes[around[i-1]] {
		return 0
	}
	return token
}
