package auditrelay

import "strconv"

// Key makes keyed pseudonyms. It goes by a name, which its holder keeps.
type Key struct {
	// Version stands in every pseudonym, beside the key's name. Zero is a key without
	// versions: the name stands alone.
	Version int
	Secret  Secret
}

// Label is what a pseudonym that the key makes says of it: the name, and the version
// after a dot (team.2). Names have no dots.
func (k Key) Label(name string) string {
	if k.Version == 0 {
		return name
	}
	return name + "." + strconv.Itoa(k.Version)
}
