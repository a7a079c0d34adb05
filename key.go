package auditrelay

import (
	"encoding/pem"
	"strconv"
)

// Key makes keyed pseudonyms or encrypts values. The code that uses a Key stores its name.
type Key struct {
	// Version is part of every pseudonym, after the key's name. If it is 0, the key has no versions and its
	// pseudonyms contain only the name.
	Version int
	Secret  Secret
}

// Label returns the part of a pseudonym that identifies the key: the name, or the name, a dot and the
// version (team.2). name must not contain a dot.
func (k Key) Label(name string) string {
	if k.Version == 0 {
		return name
	}
	return name + "." + strconv.Itoa(k.Version)
}

// Public reports whether Secret contains a public key in PEM, possibly after other text. A public key
// encrypts values. It cannot decrypt them, and makes no pseudonyms. Public does not check that the key is
// valid.
func (k Key) Public() bool {
	block, _ := pem.Decode([]byte(k.Secret.Reveal()))
	return block != nil && block.Type == "PUBLIC KEY"
}
