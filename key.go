package auditrelay

import (
	"encoding/pem"
	"strconv"
)

// Key makes keyed pseudonyms, or encrypts values. Its name is kept by its user, not in the Key.
type Key struct {
	// Version is part of every pseudonym, after the key's name. Zero is a key
	// without versions; its pseudonyms contain the name alone.
	Version int
	Secret  Secret
}

// Label returns the part of a pseudonym that names the key: the name, and after a
// dot the version (team.2). Names have no dots.
func (k Key) Label(name string) string {
	if k.Version == 0 {
		return name
	}
	return name + "." + strconv.Itoa(k.Version)
}

// Public reports whether Secret holds a public key in PEM, whatever stands before it: with it
// values can be encrypted, not decrypted, and no pseudonyms are made. It may be invalid.
func (k Key) Public() bool {
	block, _ := pem.Decode([]byte(k.Secret.Reveal()))
	return block != nil && block.Type == "PUBLIC KEY"
}
