package config

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"time"

	"auditrelay"
	"auditrelay/internal/format"
)

// Digest identifies the configuration's meaning. It does not depend on the text, its order or
// its references. It is an HMAC of 64 hexadecimal digits. key must be random and is stored with
// the caller's data. Without key nobody can use the digest to test guesses of the secrets.
// Options that are not set do not count, so a new version with new options does not change the
// digest.
func (c *Config) Digest(key []byte) string {
	d := newDigest(key)
	d.value(reflect.ValueOf(c).Elem())
	for i := range c.Filters {
		d.string(c.Filters[i].module)
	}
	for _, content := range c.tlsFiles {
		d.string(content)
	}
	return d.sum()
}

// FleetDigest is Digest without the parts that may differ between the relays of a fleet:
// addresses, paths and certificates of their machines.
func (c *Config) FleetDigest(key []byte) string {
	same := *c
	same.Listen, same.DataDir, same.Socket, same.Log, same.TLS, same.tlsFiles = "", "", Socket{}, Log{}, TLS{}, nil
	same.Journal.Postgres.Fleet, same.Journal.Postgres.URL = Fleet{}, "" // they use the same server, possibly at different addresses
	return same.Digest(key)
}

// CallbackDigest is Digest for one callback with everything that it uses: its filters, their
// modules' content and their keys.
func (c *Config) CallbackDigest(key []byte, cb *Callback) string {
	d := newDigest(key)
	d.value(reflect.ValueOf(cb).Elem())
	if revision := format.Revision(cb.Format); revision != "" {
		d.string("format " + revision)
	}
	if slices.Contains(c.Alerts.Callbacks, cb.Name) {
		d.string("alerts")
	}
	d.detectors(c)
	d.sinkFiles(cb.Sink.Options)
	for _, name := range cb.Filters {
		for i := range c.Filters {
			f := &c.Filters[i]
			if f.Name == name {
				d.filter(c, f)
			}
		}
	}
	return d.sum()
}

// sinkFiles writes the contents of the certificates and keys that a sink's options name, as
// paths or in the URL of a database, so that a replaced file counts as a change.
func (d digest) sinkFiles(s Section) {
	if s.node == nil {
		return
	}
	for i, k := range s.node.keys {
		item := s.node.items[i]
		if item.kind != kindString {
			continue
		}
		var files []string
		switch k.text {
		case "ca":
			files = append(files, s.Path(item.text))
		case "url":
			files = urlFiles(item.text)
		}
		for _, name := range files {
			if content, err := digestFile(name); err == nil { // opening the sink reports the error
				d.string(k.text + " " + content)
			}
		}
	}
}

// urlFile matches a file in the URL or the key-value form of a database's address.
var urlFile = regexp.MustCompile(`(?:^|[?&\s])(?:sslrootcert|sslcert|sslkey)\s*=\s*'?([^&\s']+)`)

func urlFiles(address string) (names []string) {
	for _, m := range urlFile.FindAllStringSubmatch(address, -1) {
		if name, err := url.QueryUnescape(m[1]); err == nil && name != "system" {
			names = append(names, name)
		}
	}
	return names
}

// FilterDigest is Digest for one filter, with its module's content and its keys.
func (c *Config) FilterDigest(key []byte, f *Filter) string {
	d := newDigest(key)
	d.filter(c, f)
	d.detectors(c)
	return d.sum()
}

// detectors writes the operator's detectors, which affect filters, gates and guests.
func (d digest) detectors(c *Config) {
	if c.ownDetectors() {
		d.string("detectors " + c.catalogue.Digest())
	}
}

func (d digest) filter(c *Config, f *Filter) {
	d.string(f.Name)
	d.value(reflect.ValueOf(f).Elem())
	d.string(f.module)
	if !f.Native() && c.Guests.Sandbox != SandboxPreferred {
		d.string("sandbox " + c.Guests.Sandbox.String()) // a change of the sandbox loads the guest anew
	}
	for _, name := range f.KeyNames() {
		d.current(c.Keys[name])
	}
}

// Digest identifies the section's resolved content, as Config.Digest does.
func (s Section) Digest(key []byte) string {
	d := newDigest(key)
	d.node(s.node)
	return d.sum()
}

type digest struct{ h hash.Hash }

func newDigest(key []byte) digest { return digest{hmac.New(sha256.New, key)} }

func (d digest) sum() string { return hex.EncodeToString(d.h.Sum(nil)) }

// string writes s with its length, so that different sequences of strings have different
// encodings.
func (d digest) string(s string) { fmt.Fprintf(d.h, "%d:%s", len(s), s) }

func (d digest) value(v reflect.Value) {
	switch x := v.Interface().(type) {
	case Section:
		d.node(x.node)
		return
	case time.Time:
		d.string(x.UTC().Format(time.RFC3339Nano))
		return
	case Key:
		d.key(x)
		return
	case auditrelay.Secret:
		d.string(x.Reveal())
		return
	case fmt.Stringer:
		if v.Kind() == reflect.Uint8 { // from a closed set
			d.string(x.String())
			return
		}
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			d.value(v.Elem())
		}
	case reflect.String:
		d.string(v.String())
	case reflect.Bool:
		d.string(strconv.FormatBool(v.Bool()))
	case reflect.Int, reflect.Int32, reflect.Int64:
		d.string(strconv.FormatInt(v.Int(), 10))
	case reflect.Float64:
		d.string(strconv.FormatFloat(v.Float(), 'g', -1, 64))
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			d.string(string(v.Bytes()))
			return
		}
		d.string(fmt.Sprintf("list %d", v.Len()))
		for i := range v.Len() {
			d.value(v.Index(i))
		}
	case reflect.Map:
		d.string(fmt.Sprintf("map %d", v.Len()))
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int {
			if a.String() < b.String() {
				return -1
			}
			return 1
		})
		for _, k := range keys {
			d.string(k.String())
			d.value(v.MapIndex(k))
		}
	case reflect.Struct:
		d.structure(v)
	default:
		panic(fmt.Sprintf("config: no digest for %v", v.Type())) // cannot happen: a test covers all types
	}
}

// structure writes the fields that are set, by name.
func (d digest) structure(v reflect.Value) {
	d.string("{")
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if !f.IsExported() || f.Name == "Notes" || f.Name == "Redaction" || v.Field(i).IsZero() {
			continue
		}
		d.string(f.Name)
		d.value(v.Field(i))
	}
	d.string("}")
}

func (d digest) node(n *node) {
	if n == nil {
		d.string("mapping 0")
		return
	}
	switch n.kind {
	case kindMapping:
		d.string(fmt.Sprintf("mapping %d", len(n.keys)))
		order := make([]int, len(n.keys))
		for i := range order {
			order[i] = i
		}
		slices.SortFunc(order, func(a, b int) int {
			if n.keys[a].text < n.keys[b].text {
				return -1
			}
			return 1
		})
		for _, i := range order {
			d.string(n.keys[i].text)
			d.node(n.items[i])
		}
	case kindList:
		d.string(fmt.Sprintf("list %d", len(n.items)))
		for _, item := range n.items {
			d.node(item)
		}
	default:
		d.string(strconv.Itoa(int(n.kind)))
		d.string(n.text)
	}
}
