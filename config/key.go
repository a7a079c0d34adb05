package config

import (
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"auditrelay"
	"auditrelay/internal/keyform"
)

// Key is one entry of keys: a secret, or versions of one. For do: encrypt, a version can be a
// public key for X25519 in PEM instead; then only the holder of the private key can decrypt the
// values. A secret without versions is stored as version 0, so that all readers see one form.
type Key struct {
	// Current is the version that makes new pseudonyms.
	Current int
	// Versions has the versions by number, from 0 to 999999.
	Versions map[int]KeyVersion
}

// KeyVersion is one version of a key.
type KeyVersion struct {
	Secret auditrelay.Secret
	// Destroyed: the operator destroyed the secret and said so.
	Destroyed bool
}

// destroyed replaces a secret that the operator destroyed.
const destroyed = "destroyed"

const (
	maxKeyVersion  = 999_999
	maxKeyVersions = 1000
	minKeyBytes    = 16
)

// Numbers returns the versions' numbers, sorted.
func (k Key) Numbers() []int { return slices.Sorted(maps.Keys(k.Versions)) }

// At returns the key of a version for making pseudonyms. A destroyed version has no secret.
func (k Key) At(version int) auditrelay.Key {
	return auditrelay.Key{Version: version, Secret: k.Versions[version].Secret}
}

// alone reports whether the key is a secret without versions.
func (k Key) alone() bool {
	_, zero := k.Versions[0]
	return zero && k.Current == 0 && len(k.Versions) == 1
}

// CurrentKeys returns the keys by name, each in its current version.
func (c *Config) CurrentKeys() map[string]auditrelay.Key {
	current := make(map[string]auditrelay.Key, len(c.Keys))
	for name, key := range c.Keys {
		current[name] = key.At(key.Current)
	}
	return current
}

// numbered reports whether the mapping at path has whole numbers as keys, as a key's versions
// have.
func numbered(path string) bool {
	return strings.HasPrefix(path, "keys.") && strings.HasSuffix(path, ".versions")
}

func (k *Key) decodeNode(d *decoder, n *node, path string) {
	k.Versions = map[int]KeyVersion{}
	if n.kind != kindMapping {
		k.Versions[0] = KeyVersion{Secret: decodeSecret(d, n, path)}
		return
	}
	for i, key := range n.keys {
		item, at := n.items[i], join(path, key.text)
		switch key.text {
		case "current":
			d.value(item, reflect.ValueOf(&k.Current).Elem(), at, fieldTag{least: "0", most: strconv.Itoa(maxKeyVersion)})
		case "versions":
			k.decodeVersions(d, item, at)
		default:
			d.report.add(key, path, "found a key that is neither current nor versions") // the key is not shown, since it may be the secret
		}
	}
}

func (k *Key) decodeVersions(d *decoder, n *node, path string) {
	if n.kind != kindMapping {
		d.expected(n, path, "a mapping of versions to their secrets")
		return
	}
	if len(n.keys) > maxKeyVersions {
		d.report.add(n, path, "%d versions, at most %d", len(n.keys), maxKeyVersions)
		return
	}
	for i, key := range n.keys {
		number, err := strconv.Atoi(key.text)
		if err != nil || number < 0 || number > maxKeyVersion || strconv.Itoa(number) != key.text {
			d.report.add(key, path, "a version that is no whole number from 0 to %d", maxKeyVersion) // the key is not shown, since it may be the secret
			continue
		}
		item := n.items[i]
		if item.kind == kindString && item.ref == "" && item.text == destroyed {
			k.Versions[number] = KeyVersion{Destroyed: true}
			continue
		}
		k.Versions[number] = KeyVersion{Secret: decodeSecret(d, item, join(path, key.text))}
	}
}

func decodeSecret(d *decoder, n *node, path string) (s auditrelay.Secret) {
	if n.kind == kindNull {
		d.report.add(n, path, "found nothing, expected a secret, or %s", destroyed)
		return ""
	}
	d.secret(n, reflect.ValueOf(&s).Elem(), path)
	return s
}

// privateKey is the error for a private key under keys.
const privateKey = "a private key, which stays with its holder: give the public key, as openssl pkey -pubout prints it"

func private(s auditrelay.Secret) bool { return strings.Contains(s.Reveal(), "PRIVATE KEY-----") }

func (c checker) keys() {
	for name, key := range c.Keys {
		place, n := c.in("keys").key(name), c.in("keys", name)
		switch {
		case !nameForm.MatchString(name):
			// The name is not shown, since it may be the secret in the wrong place.
			c.report.add(place, "keys", "a name of another form: %s", expectedName)
		case n.kind == kindMapping:
			c.versions(name, key)
		case n.kind == kindString && !n.unset && private(key.Versions[0].Secret):
			c.report.add(place, "keys."+name, "%s", privateKey)
		case n.kind == kindString && !n.unset && keyform.Check(key.Versions[0].Secret.Reveal()) != nil:
			c.report.add(place, "keys."+name, "%v", keyform.Check(key.Versions[0].Secret.Reveal()))
		case n.kind == kindString && !n.unset && len(key.Versions[0].Secret) < minKeyBytes:
			// The name is not shown, since name and secret may be exchanged.
			c.report.add(place, "keys", "a key shorter than %d bytes: it can be guessed from the pseudonyms that it makes", minKeyBytes)
		}
	}
}

// versions checks a key with versions.
func (c checker) versions(name string, key Key) {
	steps := at("keys", name)
	first := map[auditrelay.Secret]int{}
	for _, number := range key.Numbers() {
		v, at := key.Versions[number], append(steps[:2:2], "versions", strconv.Itoa(number))
		n := c.in(at...)
		if v.Destroyed || n.kind != kindString || n.unset {
			continue
		}
		if private(v.Secret) {
			c.bad(at, "%s", privateKey)
		} else if err := keyform.Check(v.Secret.Reveal()); err != nil {
			c.bad(at, "%v", err)
		} else if len(v.Secret) < minKeyBytes {
			c.bad(at, "a key shorter than %d bytes: it can be guessed from the pseudonyms that it makes", minKeyBytes)
		} else if earlier, twice := first[v.Secret]; twice {
			c.bad(at, "the secret of version %d once more: a new version needs a secret of its own", earlier)
		} else {
			first[v.Secret] = number
		}
	}
	current := append(steps[:2:2], "current")
	v, known := key.Versions[key.Current]
	switch n := c.in(steps...).get("current"); {
	case !c.in(steps...).get("versions").given():
		c.bad(append(steps[:2:2], "versions"), "it is required: a mapping of versions to their secrets")
	case !n.given():
		c.bad(current, "it is required: the version that makes new pseudonyms")
	case n.kind != kindInt && n.ref == "" || n.unset:
		// already reported
	case !known:
		c.bad(current, "there is no such version under versions")
	case v.Destroyed:
		c.bad(current, "this version was destroyed: name one that has a secret, since new pseudonyms are made with it")
	}
}

// key writes a key into a digest. A key without versions counts as its secret.
func (d digest) key(k Key) {
	if k.alone() {
		d.string(k.Versions[0].Secret.Reveal())
		return
	}
	d.string("versions " + strconv.Itoa(len(k.Versions)))
	d.string(strconv.Itoa(k.Current))
	for _, number := range k.Numbers() {
		v := k.Versions[number]
		d.string(strconv.Itoa(number))
		d.string(strconv.FormatBool(v.Destroyed))
		d.string(v.Secret.Reveal())
	}
}

// current writes the part of a key on which new pseudonyms depend.
func (d digest) current(k Key) {
	d.string(k.Versions[k.Current].Secret.Reveal())
	if k.Current != 0 {
		d.string("version " + strconv.Itoa(k.Current))
	}
}
