package auditrelay

import "strconv"

// Key makes keyed pseudonyms. Its name is kept by its user, not in the Key.
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
