package detect

import "bytes"

// A member of an object has the meaning of the object's name, if its own name has none:
// {"password": {"current": ...}} is like password_current. So gate and filter find what a rule by
// name would redact with the whole object.

// aboutWords are further words that make a member of an object under a meaningful name one about
// the secret.
const aboutWords = `namespace host hostname server address port database db domain tenant project org organization account model env environment
	client provider issuer iss sub aud jti kid audience nonce login key keys ref reference resource object tool plan grant grants permission permissions
	allow allowed state display product vendor company city country language timezone`

// MaxInside is the maximum number of objects between a meaningful name and a value that has its
// meaning.
const MaxInside = tailWords

// Inside returns the name of a member of an object under the name above. own is the meaning of its
// key. value reports whether the key says no more than that its value follows, as "value" does.
func (c *Catalogue) Inside(above, own Name, key []byte, value bool) Name {
	k := above.kinds | above.inherited
	if k&(password|token) == 0 || k&(aKey|headers|digest|jar|address) != 0 || own.Tells() {
		return own
	}
	words := 1
	if !value {
		words = c.orShipped().names.about(key)
	}
	if words > above.left() {
		return own
	}
	own.inherited, own.used = k&(password|token|awsKey|azureKey), uint8(tailWords-above.left()+words)
	return own
}

// Gives reports whether names inside an object of this name may have its meaning.
func (n Name) Gives() bool { return n.kinds|n.inherited != 0 }

// left returns the number of words by which names inside may be longer.
func (n Name) left() int { return tailWords - int(n.used) }

// about returns the number of words of a name, at least one. It returns more than tailWords if a
// word says that the value is about a secret, not the secret. It does the same for a masked key,
// so that a second pass of a filter finds no more than the first, which saw the key.
func (n *names) about(name []byte) int {
	if bytes.HasPrefix(name, []byte("***")) {
		return tailWords + 1
	}
	var room [2 * nameBytes]byte
	var ends [nameBytes]int
	letters, words := splitWords(room[:0], ends[:0], name[max(0, len(name)-nameBytes):])
	begin := 0
	for _, end := range words {
		if word := letters[begin:end]; n.aside[string(word)] || n.hashing[string(word)] || n.beside[string(word)] {
			return tailWords + 1
		}
		begin = end
	}
	return max(1, len(words))
}
